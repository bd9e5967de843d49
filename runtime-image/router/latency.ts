/** Latency per version, from the log lines of timed requests. */
import { loopServerId } from './config.ts';

/** Milliseconds; each bound is 1.15 times the one before, so a quantile read from it is off by 7 % at most. */
export const latencyBoundsMs: readonly number[] = Array.from(
  { length: 96 },
  (_, index) => Math.round(0.1 * 1.15 ** index * 1e4) / 1e4,
);

export class Latency {
  readonly #samplesPerSecond: number;
  readonly #keyOf: (slot: number) => string | undefined;
  readonly #byVersion = new Map<string, Float64Array>();
  /** Requests that were really timed, by version. */
  readonly #timed = new Map<string, number>();

  /**
   * @param samplesPerSecond above this rate of requests only so many are timed, and each stands for more
   * @param keyOf `uid/version` that has the slot now
   */
  constructor(samplesPerSecond: number, keyOf: (slot: number) => string | undefined) {
    this.#samplesPerSecond = samplesPerSecond;
    this.#keyOf = keyOf;
  }

  /** @param line `slot rate microseconds serverId`, as the configuration logs it; anything else is left out */
  take(line: string): void {
    const [slot, rate, micros, server] = line.trim().split(' ').map(Number);
    const key = Number.isInteger(slot) ? this.#keyOf(slot!) : undefined;
    if (key === undefined || !Number.isFinite(rate) || !Number.isFinite(micros) || server === loopServerId)
      return;
    const counts = this.#byVersion.get(key) ?? new Float64Array(latencyBoundsMs.length + 1);
    this.#byVersion.set(key, counts);
    counts[bucketOf(micros! / 1000)]! += Math.max(1, rate! / this.#samplesPerSecond);
    this.#timed.set(key, (this.#timed.get(key) ?? 0) + 1);
  }

  /** Requests per bucket, one more than bounds; undefined when none was timed. */
  of(uid: string, version: string): readonly number[] | undefined {
    const counts = this.#byVersion.get(`${uid}/${version}`);
    return counts && Array.from(counts);
  }

  /** How many requests the buckets are estimated from. */
  timed(uid: string, version: string): number {
    return this.#timed.get(`${uid}/${version}`) ?? 0;
  }

  /** Forgets versions that are not among the keys. */
  keep(keys: ReadonlySet<string>): void {
    for (const key of this.#byVersion.keys()) {
      if (keys.has(key)) continue;
      this.#byVersion.delete(key);
      this.#timed.delete(key);
    }
  }
}

/** Index of the first bound that is not below the value, by bisection. */
function bucketOf(ms: number): number {
  let low = 0;
  let high = latencyBoundsMs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (latencyBoundsMs[middle]! < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}
