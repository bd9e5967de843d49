/** Asks the probes of one run of a container, in time, and tells verdicts. */
import type { Answer } from './handlers.ts';
import type { ProbeKind } from './lifecycle.ts';
import type { Container, Probe } from './pod.ts';
import type { Clock } from './ports.ts';
import { count, probeTimes, type Tally } from './probe-tally.ts';

export interface ProberOptions {
  readonly container: Container;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly ask: (probe: Probe, timeout: number) => Promise<Answer>;
  readonly onVerdict: (probe: ProbeKind, ok: boolean) => void;
  /** A single result that was not a success, for events. */
  readonly onTrouble: (probe: ProbeKind, answer: Answer) => void;
}

const kinds = ['startup', 'readiness', 'liveness'] as const;
/** Times that a question which could not be put is put again at once. */
const tries = 3;

export class Prober {
  readonly #options: ProberOptions;
  readonly #loops = new Map<ProbeKind, Loop>();
  #passed: boolean;
  #draining = false;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#passed = options.container.startupProbe === undefined;
    for (const kind of kinds) {
      const probe = options.container[`${kind}Probe`];
      if (!probe) continue;
      this.#loops.set(kind, new Loop(probe, kind, options, (ok) => this.#hear(kind, ok)));
    }
    if (this.#passed) this.#startOthers();
    else this.#loops.get('startup')?.start();
  }

  /** The container is asked to end: from now on only its readiness matters. */
  drain(): void {
    this.#draining = true;
    this.#loops.get('startup')?.stop();
    this.#loops.get('liveness')?.stop();
  }

  stop(): void {
    this.#draining = true;
    for (const loop of this.#loops.values()) loop.stop();
  }

  #hear(kind: ProbeKind, ok: boolean): void {
    if (kind === 'startup' && ok && !this.#passed) {
      this.#passed = true;
      this.#loops.get('startup')?.stop();
      if (!this.#draining) this.#startOthers();
    }
    // After a verdict of death nobody asks again: the next run has a prober of its own.
    if (kind !== 'readiness' && !ok) this.#loops.get(kind)?.stop();
    this.#options.onVerdict(kind, ok);
  }

  #startOthers(): void {
    this.#loops.get('readiness')?.start();
    this.#loops.get('liveness')?.start();
  }
}

/** Ticks every period from its start on; a tick that meets a question under way, or the initial delay, passes. */
class Loop {
  readonly #probe: Probe;
  readonly #kind: ProbeKind;
  readonly #options: ProberOptions;
  readonly #onVerdict: (ok: boolean) => void;
  #cancel: (() => void) | undefined;
  #tally: Tally | undefined;
  #asking = false;
  #nextAt = 0;
  #stopped = false;

  constructor(probe: Probe, kind: ProbeKind, options: ProberOptions, onVerdict: (ok: boolean) => void) {
    this.#probe = probe;
    this.#kind = kind;
    this.#options = options;
    this.#onVerdict = onVerdict;
  }

  start(): void {
    if (this.#stopped || this.#cancel) return;
    this.#nextAt = this.#options.clock.now();
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #tick(): void {
    if (this.#stopped) return;
    const { clock, startedAt } = this.#options;
    const times = probeTimes(this.#probe);
    const now = clock.now();
    while (this.#nextAt <= now) this.#nextAt += times.period * 1000;
    this.#cancel = clock.after(this.#nextAt - now, () => this.#tick());
    if (this.#asking || now - startedAt < times.initialDelay * 1000) return;
    this.#asking = true;
    void this.#ask(times.timeout * 1000).finally(() => {
      this.#asking = false;
    });
  }

  async #ask(timeout: number): Promise<void> {
    let answer: Answer = { result: 'unknown', output: '' };
    for (let left = tries; left > 0 && answer.result === 'unknown' && !this.#stopped; left--) {
      answer = await this.#options.ask(this.#probe, timeout);
    }
    if (this.#stopped) return;
    if (answer.result !== 'success') this.#options.onTrouble(this.#kind, answer);
    if (answer.result === 'unknown') return;
    const { tally, verdict } = count(this.#probe, this.#tally, answer.result !== 'failure');
    this.#tally = tally;
    if (verdict !== undefined) this.#onVerdict(verdict);
  }
}
