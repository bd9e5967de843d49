/**
 * A sequential test of two proportions that may be looked at after every block of data, for as long as one likes,
 * without inflating false alarms.
 *
 * Null hypothesis: the candidate's proportion exceeds stable's by at most `margin`. Each block contributes a factor
 * whose expectation under every such pair is at most 1: the likelihood of the block under what was learnt from the
 * blocks before, divided by its likelihood under the closest pair of the null (the reverse information projection).
 * The product is a test supermartingale, so by Ville's inequality it ever reaches 1/alpha with probability at most
 * alpha. Source: Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for
 * optional stopping" (2024), and Turner and Grünwald, "Exact anytime-valid confidence intervals for contingency
 * tables" (2023), where the null has a margin.
 */

/** Trials, and how many of them had what is counted (an error, a slow answer). */
export interface Counts {
  readonly hits: number;
  readonly total: number;
}

/** The evidence so far. */
export interface EProcess {
  /** Natural logarithm of the product. */
  readonly logE: number;
  /** Its largest value so far: evidence once found does not go away. */
  readonly peak: number;
  readonly stable: Counts;
  readonly candidate: Counts;
}

const none: Counts = { hits: 0, total: 0 };

export const noEvidence: EProcess = { logE: 0, peak: 0, stable: none, candidate: none };

/** The smallest alpha at which the null would have been refused by now; 1 when nothing speaks against it. */
export const anytimePValue = ({ peak }: EProcess): number => Math.min(1, Math.exp(-peak));

/** The evidence after another block. Blocks without candidate requests teach about stable only. */
export function observe(before: EProcess, stable: Counts, candidate: Counts, margin: number): EProcess {
  const logE = before.logE + logFactor(before, stable, candidate, margin);
  return {
    logE,
    peak: Math.max(before.peak, logE),
    stable: plus(before.stable, stable),
    candidate: plus(before.candidate, candidate),
  };
}

function logFactor(before: EProcess, stable: Counts, candidate: Counts, margin: number): number {
  if (candidate.total === 0) return 0;
  const s = estimate(before.stable);
  const c = estimate(before.candidate);
  // Nothing is bet on a candidate that has looked harmless so far: the factor is 1.
  if (c <= s + margin) return 0;
  const nearest = projection(s, c, stable.total, candidate.total, margin);
  return logLikelihoodRatio(stable, s, nearest) + logLikelihoodRatio(candidate, c, nearest + margin);
}

/** Krichevsky and Trofimov's estimate: never 0 or 1, so that no outcome is impossible. */
const estimate = ({ hits, total }: Counts): number => (hits + 0.5) / (total + 1);

const plus = (a: Counts, b: Counts): Counts => ({ hits: a.hits + b.hits, total: a.total + b.total });

const logLikelihoodRatio = ({ hits, total }: Counts, p: number, q: number): number =>
  hits * Math.log(p / q) + (total - hits) * Math.log((1 - p) / (1 - q));

/**
 * Stable's proportion in the pair (p, p + margin) that is closest, in Kullback-Leibler divergence weighted by the
 * numbers of requests, to what was learnt. The divergence is convex in p: its slope is bisected.
 */
function projection(
  s: number,
  c: number,
  stableTotal: number,
  candidateTotal: number,
  margin: number,
): number {
  const slope = (p: number): number => {
    const q = p + margin;
    return (stableTotal * (p - s)) / (p * (1 - p)) + (candidateTotal * (q - c)) / (q * (1 - q));
  };
  let low = Math.max(1e-12, Math.min(s, c - margin));
  let high = Math.min(1 - margin - 1e-12, Math.max(s, c - margin));
  for (let step = 0; step < 60 && high - low > 1e-12; step += 1) {
    const middle = (low + high) / 2;
    if (slope(middle) < 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
