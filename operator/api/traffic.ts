/** What routers say: what they follow, and what they count, as numbers that only grow. */

/** What a router says of a Model. */
export interface Following {
  /** Generation of the Model's shares that it follows. */
  readonly generation: number;
  /** Versions of which it knows a pod. */
  readonly reaches: ReadonlySet<string>;
}

/** What routers counted for one version, from some beginning on. */
export interface Totals {
  readonly requests: number;
  readonly errors: number;
  /** Requests per latency bucket, one more than there are bounds. Estimates, where only a part was timed. */
  readonly latency: readonly number[];
  /** Requests that were really timed. */
  readonly timed: number;
}

export const noTotals: Totals = { requests: 0, errors: 0, latency: [], timed: 0 };

/** What the servers of one version counted themselves. */
export interface ServerTotals {
  /** Requests that were answered, or failed by the server's fault. */
  readonly requests: number;
  readonly failures: number;
}

/** By version. */
export type ServerCounts = ReadonlyMap<string, ServerTotals>;

/** Counters of one model at one time. */
export interface Traffic {
  /** Upper bounds of the latency buckets, milliseconds, ascending. */
  readonly boundsMs: readonly number[];
  readonly versions: ReadonlyMap<string, Totals>;
}

export const noTraffic: Traffic = { boundsMs: [], versions: new Map() };

/** What was counted between two readings; a reading that went back begins anew. */
export function difference(before: Totals, now: Totals): Totals {
  if (now.requests < before.requests || now.timed < before.timed) return noTotals;
  return {
    requests: now.requests - before.requests,
    errors: Math.max(0, now.errors - before.errors),
    latency: now.latency.map((count, bucket) => Math.max(0, count - (before.latency[bucket] ?? 0))),
    timed: now.timed - before.timed,
  };
}

export const plus = (a: Totals, b: Totals): Totals => ({
  requests: a.requests + b.requests,
  errors: a.errors + b.errors,
  latency: Array.from(
    { length: Math.max(a.latency.length, b.latency.length) },
    (_, bucket) => (a.latency[bucket] ?? 0) + (b.latency[bucket] ?? 0),
  ),
  timed: a.timed + b.timed,
});
