/**
 * How often the analysis raises a false alarm, and how long it takes to find what is bad: many rollouts, whose traffic
 * is judged after every second as the operator judges it. Only the analysis is studied, so no pods come into it.
 */

import { type AnalysisPolicy, freshEvidence, judge, weigh } from '../decide/analysis/evidence.ts';
import { binomial, generator, poisson, type Random } from './random.ts';
import { answer, type Behaviour, boundsMs, type Shape, shapeOf } from './traffic.ts';

export interface StudyOptions {
  readonly seed: number;
  /** Null rollouts of each kind. */
  readonly rollouts: number;
  /** Rollouts of a bad candidate for each request rate. */
  readonly trials: number;
  readonly steps: readonly { readonly weight: number; readonly holdMs: number }[];
  readonly analysis: AnalysisPolicy;
}

/** Rollouts in which nothing was worse than it may be. */
export interface FalseAlarms {
  /** `equal`: the candidate is as stable is. `margin`: it is just as bad as it may be. */
  readonly kind: 'equal' | 'margin';
  readonly errors: number;
  readonly requestsPerSecond: number;
  readonly rollouts: number;
  readonly alarms: number;
}

/** How long it took to find a bad candidate, in seconds; ascending, and of those only that were found. */
export interface Delays {
  readonly what: 'errors' | 'latency';
  readonly requestsPerSecond: number;
  readonly trials: number;
  readonly seconds: readonly number[];
}

export interface Study {
  readonly options: StudyOptions;
  readonly falseAlarms: readonly FalseAlarms[];
  readonly delays: readonly Delays[];
}

const baseErrors = [0, 0.001, 0.01, 0.05, 0.2] as const;
const nullRates = [10, 100, 1_000] as const;
const delayRates = [10, 20, 50, 100, 200, 500, 1_000, 2_000] as const;
const latencyMs = 20;
const spread = 0.5;

/** The bad candidates: this much more errors, or this many times slower, at this share of the traffic. */
export const bad = { moreErrors: 0.05, slower: 1.5, share: 0.1, baseErrors: 0.001 } as const;
export const longestSeconds = 3_600;

/** Runs it all. `progress` is told of every finished row. */
export function study(options: StudyOptions, progress: () => void = () => {}): Study {
  const random = generator(options.seed);
  const cells = baseErrors.flatMap((errors) =>
    nullRates.map((rate) => ({ errors, requestsPerSecond: rate })),
  );
  const falseAlarms = (['equal', 'margin'] as const).flatMap((kind) =>
    cells.map((cell, index) => {
      // Every rollout belongs to one cell, and none is left over.
      const rollouts = Math.floor((options.rollouts + cells.length - 1 - index) / cells.length);
      let alarms = 0;
      for (let run = 0; run < rollouts; run += 1) {
        if (nullRollout(random, { ...cell, kind }, options)) alarms += 1;
      }
      progress();
      return { kind, ...cell, rollouts, alarms };
    }),
  );
  const delays = (['errors', 'latency'] as const).flatMap((what) =>
    delayRates.map((requestsPerSecond) => {
      const found = Array.from({ length: options.trials }, () =>
        detection(random, what, requestsPerSecond, options.analysis),
      );
      progress();
      const seconds = found.filter((delay) => delay !== undefined).sort((a, b) => a - b);
      return { what, requestsPerSecond, trials: options.trials, seconds };
    }),
  );
  return { options, falseAlarms, delays };
}

/** Whether a candidate that is not worse than it may be fails. */
function nullRollout(
  random: Random,
  { errors, requestsPerSecond, kind }: Pick<FalseAlarms, 'errors' | 'requestsPerSecond' | 'kind'>,
  { steps, analysis }: StudyOptions,
): boolean {
  const atMargin = kind === 'margin';
  const stable = { errors, latencyMs };
  const candidate = {
    errors: Math.min(1, errors + (atMargin ? analysis.maxErrorIncrease : 0)),
    latencyMs,
    // Whatever counts as slow, so much more of the candidate's requests are.
    stuck: atMargin && analysis.latency !== undefined ? 1 - analysis.latency.quantile : 0,
  };
  const seconds = steps.flatMap(({ weight, holdMs }) =>
    new Array<number>(Math.round(holdMs / 1_000)).fill(weight / 100),
  );
  return (
    firstFailure(random, { stable, candidate, requestsPerSecond, shares: seconds }, analysis) !== undefined
  );
}

/** Seconds until a bad candidate fails. */
function detection(
  random: Random,
  what: Delays['what'],
  requestsPerSecond: number,
  analysis: AnalysisPolicy,
): number | undefined {
  const stable = { errors: bad.baseErrors, latencyMs };
  const candidate =
    what === 'errors'
      ? { errors: bad.baseErrors + bad.moreErrors, latencyMs }
      : { errors: bad.baseErrors, latencyMs: latencyMs * bad.slower };
  const shares = new Array<number>(longestSeconds).fill(bad.share);
  return firstFailure(random, { stable, candidate, requestsPerSecond, shares }, analysis);
}

interface Traffic {
  readonly stable: Behaviour;
  readonly candidate: Behaviour;
  readonly requestsPerSecond: number;
  /** The candidate's share in each second, 0 to 1. */
  readonly shares: readonly number[];
}

/** The second after which the verdict is `Fail`, from 1. */
function firstFailure(random: Random, traffic: Traffic, analysis: AnalysisPolicy): number | undefined {
  const shapes = { stable: known(traffic.stable), candidate: known(traffic.candidate) };
  let evidence = freshEvidence;
  for (const [second, share] of traffic.shares.entries()) {
    const requests = poisson(random, traffic.requestsPerSecond);
    const drawn = binomial(random, requests, share);
    const block = {
      stable: answer(random, requests - drawn, traffic.stable.errors, shapes.stable),
      candidate: answer(random, drawn, traffic.candidate.errors, shapes.candidate),
    };
    evidence = weigh(evidence, block, boundsMs, analysis);
    if (judge(evidence, analysis).verdict === 'Fail') return second + 1;
  }
  return undefined;
}

const shapes = new Map<string, Shape>();

/** The shape of a behaviour's times, computed once. */
function known({ latencyMs: median, stuck = 0 }: Behaviour): Shape {
  const key = `${median} ${stuck}`;
  const shape = shapes.get(key) ?? shapeOf({ errors: 0, latencyMs: median, stuck }, spread);
  shapes.set(key, shape);
  return shape;
}
