/** What live traffic says of a candidate, compared with stable over the same time. */

import { noTotals, plus, type Totals } from '../../api/traffic.ts';
import { anytimePValue, type Counts, type EProcess, noEvidence, observe } from './e-process.ts';

export interface AnalysisPolicy {
  /** Requests of the candidate below which noTotals can be said for it. */
  readonly minRequests: number;
  /** How much larger its proportion of errors may be than stable's, 0 to 1. */
  readonly maxErrorIncrease: number;
  /** The candidate's quantile may be at most so many times stable's. */
  readonly latency?: { readonly quantile: number; readonly maxRatio: number };
  readonly onInconclusive: 'proceed' | 'hold' | 'rollback';
}

/** All tests together raise a false alarm in at most this part of all rollouts. */
export const falseAlarms = 0.01;

/** What each test may contribute to that. */
export const alphas = {
  errors: falseAlarms / 2,
  slowness: falseAlarms / 4,
  servers: falseAlarms / 4,
} as const;

export interface Evidence {
  readonly stable: Totals;
  readonly candidate: Totals;
  readonly errors: EProcess;
  readonly slowness: EProcess;
  /** Failures by the servers' own count: a test of its own, since many of them are counted by routers too. */
  readonly servers: EProcess;
}

export const freshEvidence: Evidence = {
  stable: noTotals,
  candidate: noTotals,
  errors: noEvidence,
  slowness: noEvidence,
  servers: noEvidence,
};

export interface Block {
  readonly stable: Totals;
  readonly candidate: Totals;
  /** Failed requests by the servers' own count; absent where that is not looked at. */
  readonly servers?: { readonly stable: Counts; readonly candidate: Counts };
}

/**
 * The evidence after another block of traffic.
 *
 * @param boundsMs upper bounds of the latency buckets
 */
export function weigh(
  before: Evidence,
  block: Block,
  boundsMs: readonly number[],
  policy: AnalysisPolicy,
): Evidence {
  const limit = policy.latency === undefined ? undefined : slowFrom(before.stable, boundsMs, policy.latency);
  return {
    stable: plus(before.stable, block.stable),
    candidate: plus(before.candidate, block.candidate),
    errors: observe(
      before.errors,
      errorsOf(block.stable),
      errorsOf(block.candidate),
      policy.maxErrorIncrease,
    ),
    slowness:
      limit === undefined
        ? before.slowness
        : observe(
            before.slowness,
            slowerThan(block.stable, limit),
            slowerThan(block.candidate, limit),
            1 - policy.latency!.quantile,
          ),
    servers:
      block.servers === undefined
        ? before.servers
        : observe(before.servers, block.servers.stable, block.servers.candidate, policy.maxErrorIncrease),
  };
}

/** What the evidence says now. */
export interface Judgement {
  readonly verdict: 'Pass' | 'Fail' | 'Inconclusive';
  readonly reason?: 'ErrorRate' | 'Latency';
  readonly message: string;
}

export function judge(evidence: Evidence, policy: AnalysisPolicy): Judgement {
  const { stable, candidate } = evidence;
  const rates = `${rate(candidate)} of ${candidate.requests} requests failed, ${rate(stable)} of stable's ${stable.requests}`;
  if (anytimePValue(evidence.errors) <= alphas.errors) {
    return {
      verdict: 'Fail',
      reason: 'ErrorRate',
      message: `${rates} (p = ${text(anytimePValue(evidence.errors))})`,
    };
  }
  if (anytimePValue(evidence.servers) <= alphas.servers) {
    const { stable: s, candidate: c } = evidence.servers;
    return {
      verdict: 'Fail',
      reason: 'ErrorRate',
      message: `${percent(c)} of ${c.total} requests failed by its servers' own count, ${percent(s)} of stable's ${s.total} (p = ${text(anytimePValue(evidence.servers))})`,
    };
  }
  if (policy.latency !== undefined && anytimePValue(evidence.slowness) <= alphas.slowness) {
    const { quantile, maxRatio } = policy.latency;
    const { stable: s, candidate: c } = evidence.slowness;
    return {
      verdict: 'Fail',
      reason: 'Latency',
      message: `${percent(c)} of its requests took more than ${maxRatio} times stable's ${quantile} quantile, ${percent(s)} of stable's (p = ${text(anytimePValue(evidence.slowness))})`,
    };
  }
  if (candidate.requests < policy.minRequests) {
    return {
      verdict: 'Inconclusive',
      message: `${candidate.requests} of ${policy.minRequests} requests seen`,
    };
  }
  return { verdict: 'Pass', message: rates };
}

const errorsOf = ({ errors, requests }: Totals): Counts => ({
  hits: Math.min(errors, requests),
  total: requests,
});

/**
 * First bucket that is slow; undefined until stable's quantile is known from enough timed requests. The quantile is
 * interpolated in its bucket, and the limit is the bound nearest to it: rounding both up would let a candidate be
 * slower by two more buckets than it may be. Wherever the limit lies, stable's own slow requests are counted by it too.
 */
function slowFrom(
  stable: Totals,
  boundsMs: readonly number[],
  { quantile, maxRatio }: NonNullable<AnalysisPolicy['latency']>,
): number | undefined {
  const total = sum(stable.latency);
  if (stable.timed * (1 - quantile) < 1 || total === 0) return undefined;
  let seen = 0;
  const bucket = stable.latency.findIndex((count) => {
    seen += count;
    return seen >= total * quantile;
  });
  const upper = boundsMs[bucket];
  if (upper === undefined) return undefined;
  const lower = boundsMs[bucket - 1] ?? upper;
  const above = (seen - total * quantile) / stable.latency[bucket]!;
  const limit = maxRatio * upper * (lower / upper) ** above;
  const next = boundsMs.findIndex((bound) => bound >= limit);
  if (next < 0) return undefined;
  const isNearer = next > 0 && limit / boundsMs[next - 1]! < boundsMs[next]! / limit;
  return isNearer ? next : next + 1;
}

/** Timed requests at or above a bucket. Estimates are scaled back to what was timed: only that is evidence. */
function slowerThan({ latency, timed }: Totals, bucket: number): Counts {
  const total = sum(latency);
  if (total === 0) return { hits: 0, total: 0 };
  return { hits: (sum(latency.slice(bucket)) / total) * timed, total: timed };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const rate = ({ errors, requests }: Totals): string => percent({ hits: errors, total: requests });
const percent = ({ hits, total }: Counts): string =>
  total === 0 ? '0 %' : `${((100 * hits) / total).toFixed(2)} %`;
const text = (p: number): string => (p < 1e-4 ? '< 0.0001' : p.toFixed(4));
