/**
 * From weights to exact shares. A request draws a bucket from 0..9999; every bucket belongs to exactly one
 * version, so shares are exact to 0.01 % however many pods there are.
 */

/** Buckets of one model; one is 0.01 %. */
export const buckets = 10_000;

/** Map keys of one model: the power of two above `buckets`, so that few prefixes cover a range. */
export const span = 16_384;

export interface Weighted<T> {
  readonly of: T;
  /** Percent, 0..100. Anything that is no positive number counts as 0. */
  readonly weight: number;
}

export interface Share<T> {
  readonly of: T;
  /** First bucket. */
  readonly from: number;
  /** Bucket after the last. */
  readonly to: number;
}

/**
 * Buckets per entry, in the same order: they sum to 10,000 unless all weights are zero. Weights that do not sum
 * to 100 are scaled; what rounding leaves over goes to the largest remainders, first entry first.
 */
export function apportion(weights: readonly number[]): number[] {
  const clean = weights.map((weight) => (Number.isFinite(weight) && weight > 0 ? Math.min(weight, 1e9) : 0));
  const total = clean.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return clean.map(() => 0);
  // Percentages with two decimals are whole numbers of buckets; binary fractions must not turn 0.29 into 28.
  const exact = clean.map((weight) => {
    const quota = (weight / total) * buckets;
    return Math.abs(quota - Math.round(quota)) < 1e-6 ? Math.round(quota) : quota;
  });
  const whole = exact.map(Math.floor);
  let left = buckets - whole.reduce((sum, units) => sum + units, 0);
  const byRemainder = exact
    .map((quota, index) => ({ index, remainder: quota - whole[index]! }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  for (const { index } of byRemainder) {
    if (left <= 0) break;
    whole[index]!++;
    left--;
  }
  return whole;
}

/**
 * Lays the shares out end to end in the given order. The caller puts the stable version first: then raising the
 * last entry at the cost of the first moves only buckets from the first to the last, when there are two.
 */
export function layOut<T>(entries: readonly Weighted<T>[]): Share<T>[] {
  const units = apportion(entries.map((entry) => entry.weight));
  const shares: Share<T>[] = [];
  let at = 0;
  entries.forEach((entry, index) => {
    const size = units[index]!;
    if (size > 0) shares.push({ of: entry.of, from: at, to: at + size });
    at += size;
  });
  return shares;
}

/**
 * The fewest address prefixes that cover `from..to-1`. HAProxy finds a prefix in a tree, in a time that does not
 * grow with the number of models; an integer range it would have to search for in a list.
 */
export function prefixes(from: number, to: number): string[] {
  const found: string[] = [];
  let at = from;
  while (at < to) {
    let size = at === 0 ? 2 ** 31 : at & -at;
    while (size > to - at) size /= 2;
    found.push(`${dotted(at)}/${32 - Math.log2(size)}`);
    at += size;
  }
  return found;
}

function dotted(key: number): string {
  return [key >>> 24, (key >>> 16) & 255, (key >>> 8) & 255, key & 255].join('.');
}
