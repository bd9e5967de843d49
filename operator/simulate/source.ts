/** Where the counters of a simulation come from: traffic that is made up as it goes. A recording is the other source. */

import { noTotals, plus, type Totals, type Traffic } from '../api/traffic.ts';
import { binomial, poisson, type Random } from './random.ts';
import { answer, type Behaviour, boundsMs, shapeOf } from './traffic.ts';

export interface Source {
  /**
   * Lets requests come, at most a second's worth.
   *
   * @param fromMs from the beginning of the simulation, as is `toMs`
   * @param shares parts of the requests by version, in percent; what is left to 100 finds nobody
   */
  advance(fromMs: number, toMs: number, shares: ReadonlyMap<string, number>): void;
  /** What the routers have counted by then. */
  read(atMs: number): Traffic;
  /** Requests that found nobody. */
  readonly unanswered: number;
}

export interface MadeUpOptions {
  readonly random: Random;
  readonly requestsPerSecond: number;
  /** Standard deviation of the logarithm of times. */
  readonly spread: number;
  readonly stable: string;
  readonly candidate: string;
  readonly behaviours: { readonly stable: Behaviour; readonly candidate: Behaviour };
  /** Until then the candidate behaves as stable does. */
  readonly badFromMs: number;
}

export class MadeUpTraffic implements Source {
  unanswered = 0;
  readonly #options: MadeUpOptions;
  readonly #versions = new Map<string, Totals>();

  constructor(options: MadeUpOptions) {
    this.#options = options;
  }

  advance(fromMs: number, toMs: number, shares: ReadonlyMap<string, number>): void {
    const { random, requestsPerSecond, spread } = this.#options;
    let left = poisson(random, (requestsPerSecond * (toMs - fromMs)) / 1_000);
    let rest = 100;
    for (const [version, share] of shares) {
      const requests = binomial(random, left, Math.min(1, share / rest));
      left -= requests;
      rest -= share;
      if (requests === 0) continue;
      const behaviour = this.#behaviour(version, fromMs);
      const counted = answer(random, requests, behaviour.errors, shapeOf(behaviour, spread));
      this.#versions.set(version, plus(this.#versions.get(version) ?? noTotals, counted));
      if (rest <= 0) break;
    }
    this.unanswered += left;
  }

  read(): Traffic {
    return { boundsMs, versions: new Map(this.#versions) };
  }

  #behaviour(version: string, atMs: number): Behaviour {
    const { candidate, behaviours, badFromMs } = this.#options;
    return version === candidate && atMs >= badFromMs ? behaviours.candidate : behaviours.stable;
  }
}
