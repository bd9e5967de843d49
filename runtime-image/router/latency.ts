/** Latency per version, from the log lines of timed requests. */
import { loopServerId } from './config.ts';

/** Milliseconds; each bound is 1.15 times the one before, so a quantile read from it is off by 7 % at most. */
export const latencyBoundsMs: readonly number[] = Array.from(
  { length: 96 },
  (_, index) => Math.round(0.1 * 1.15 ** index * 1e4) / 1e4,
);

/** A request is timed when its random number, below this, lies in the range. */
export const sampleUnits = 1024;

/** What a process starts with: to log all requests of a busy one would halve its throughput. */
export const firstUnits = 64;

/** The range for so many of `sampleUnits`, as HAProxy writes it. */
export function sampleRange(units: number): string {
  return `0:${units - 1}`;
}

/** Requests whose latency is taken, about, whatever the rate. */
const samplesPerSecond = 200;

/**
 * The rates of requests at which so many units are right, as HAProxy writes a range. At the beginning of a burst, the log lines of all that come before
 * anybody has seen it would take half of the throughput.
 */
export function rateRange(units: number): string {
  return `0:${Math.ceil((burst * samplesPerSecond * sampleUnits) / units)}`;
}

/** How many times as many samples as are wanted there may be for a moment. */
const burst = 4;

/** How many of `sampleUnits` to take so that about as many as are wanted are timed, at `rate` requests a second. */
export function unitsFor(rate: number): number {
  if (!(rate > samplesPerSecond)) return sampleUnits;
  return Math.max(1, Math.round((sampleUnits * samplesPerSecond) / rate));
}

export class Latency {
  /** Of `sampleUnits`, those that are timed now; each stands for the rest. Few, until the rate is known. */
  units: number = firstUnits;
  readonly #keyOf: (slot: number) => string | undefined;
  readonly #byVersion = new Map<string, Float64Array>();
  /** Requests that were really timed, by version. */
  readonly #timed = new Map<string, number>();

  /** @param keyOf `uid/version` that has the slot now */
  constructor(keyOf: (slot: number) => string | undefined) {
    this.#keyOf = keyOf;
  }

  /** @param line `slot/version microseconds serverId`, as the configuration logs it; anything else is left out */
  take(line: string): void {
    const [, slot, micros, server] = /^ ?(\d+)\/\S* (\d+) (\S+)$/.exec(line) ?? [];
    const key = slot === undefined ? undefined : this.#keyOf(Number(slot));
    if (key === undefined || Number(server) === loopServerId) return;
    const counts = this.#byVersion.get(key) ?? new Float64Array(latencyBoundsMs.length + 1);
    this.#byVersion.set(key, counts);
    counts[bucketOf(Number(micros) / 1000)]! += sampleUnits / this.units;
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
