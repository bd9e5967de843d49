/** Made-up traffic: requests that arrive at random, fail at random and take a random time. */

import type { Totals } from '../api/traffic.ts';
import { binomial, type Random } from './random.ts';

/** How a version answers. */
export interface Behaviour {
  /** Part of the requests that fail, 0 to 1. */
  readonly errors: number;
  /** Median of the time that a request takes, milliseconds. */
  readonly latencyMs: number;
  /** Part of the requests that take longer than any bound, on top; 0 to 1. */
  readonly stuck?: number;
}

/** Upper bounds of the latency buckets, milliseconds: each 1.15 times the one before, like those of the routers. */
export const boundsMs: readonly number[] = Array.from({ length: 96 }, (_, index) => 0.1 * 1.15 ** index);

/** Requests that the routers time in a second. Beyond that each timed one stands for others. */
export const timedPerSecond = 200;

/** Below so many, times are drawn one by one. */
const few = 64;

/** The part of the times in each bucket, one more than there are bounds. */
export interface Shape {
  readonly parts: readonly number[];
  /** Sums of the parts from the first on. */
  readonly below: readonly number[];
}

/**
 * Times whose logarithms are normally distributed, which is what times of servers look like.
 *
 * @param spread standard deviation of the natural logarithm; 0.5 makes the 99th percentile 3.2 times the median
 */
export function shapeOf({ latencyMs, stuck = 0 }: Behaviour, spread: number): Shape {
  const below = boundsMs.map((bound) => (1 - stuck) * normal(Math.log(bound / latencyMs) / spread));
  below.push(1);
  return { parts: below.map((part, bucket) => part - (below[bucket - 1] ?? 0)), below };
}

/** What a router counts of requests to one version within one second or less. */
export function answer(random: Random, requests: number, errors: number, shape: Shape): Totals {
  const timed = Math.min(requests, binomial(random, requests, Math.min(1, timedPerSecond / requests)));
  const weight = timed === 0 ? 0 : requests / timed;
  return {
    requests,
    errors: binomial(random, requests, errors),
    latency: spreadOut(random, timed, shape).map((count) => count * weight),
    timed,
  };
}

/** Puts that many times into buckets. */
function spreadOut(random: Random, count: number, { parts, below }: Shape): number[] {
  const buckets = new Array<number>(below.length).fill(0);
  if (count < few) {
    for (let drawn = 0; drawn < count; drawn += 1) buckets[bucketOf(below, random())]! += 1;
    return buckets;
  }
  let [left, rest] = [count, 1];
  for (const [bucket, part] of parts.entries()) {
    if (left === 0 || rest <= 0) break;
    const here = bucket === parts.length - 1 ? left : binomial(random, left, Math.min(1, part / rest));
    buckets[bucket] = here;
    left -= here;
    rest -= part;
  }
  return buckets;
}

/** The first bucket up to which there is more than `part`. */
function bucketOf(below: readonly number[], part: number): number {
  let [low, high] = [0, below.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (below[middle]! > part) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Distribution function of the standard normal distribution, off by less than 1e-7 (Abramowitz and Stegun, 26.2.17). */
function normal(x: number): number {
  if (x < 0) return 1 - normal(-x);
  const t = 1 / (1 + 0.2316419 * x);
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return 1 - (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
}
