/** Random numbers that are the same everywhere for the same seed, and exact draws from two distributions. */

/** A number from 0 to below 1. */
export type Random = () => number;

/** A small fast counter generator (sfc32): 128 bits of state, more than any study draws. */
export function generator(seed: number): Random {
  let [a, b, c, counter] = [0x9e3779b9, seed | 0, 0x243f6a88, 1];
  const next: Random = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 4_294_967_296;
  };
  // Seeds that are close to each other begin alike.
  for (let warm = 0; warm < 16; warm += 1) next();
  return next;
}

/** Expected hits up to which one inversion stays far away from the smallest numbers there are. */
const largestMean = 30;

/** Hits in `n` trials that each hit with probability `p`. */
export function binomial(random: Random, n: number, p: number): number {
  if (p <= 0 || n <= 0) return 0;
  if (p >= 1) return n;
  if (p > 0.5) return n - binomial(random, n, 1 - p);
  const atOnce = Math.max(1, Math.floor(largestMean / p));
  let hits = 0;
  for (let left = n; left > 0; left -= atOnce) hits += inversion(random, Math.min(left, atOnce), p);
  return hits;
}

/** Adds up probabilities of 0, 1, 2 … hits until they pass a random number. */
function inversion(random: Random, n: number, p: number): number {
  const odds = p / (1 - p);
  let probability = (1 - p) ** n;
  let passed = random();
  let hits = 0;
  while (passed >= probability && hits < n) {
    passed -= probability;
    hits += 1;
    probability *= (odds * (n - hits + 1)) / hits;
  }
  return hits;
}

/** Arrivals in a time in which `mean` are expected. */
export function poisson(random: Random, mean: number): number {
  let arrivals = 0;
  for (let left = mean; left > 0; left -= largestMean) {
    const limit = Math.exp(-Math.min(left, largestMean));
    for (let product = random(); product > limit; product *= random()) arrivals += 1;
  }
  return arrivals;
}
