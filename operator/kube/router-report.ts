/** What a router says: which generation of each model it follows, and its counters. `telemetry.proto` as TypeScript. */

export interface VersionReport {
  readonly version: string;
  /** Servers that may get requests now. */
  readonly servers: number;
  /** Pods that the router has as servers, whatever checks say of them; a router of an older release does not say. */
  readonly pods?: number;
  /** Since the start of the epoch. */
  readonly requests: number;
  readonly errors: number;
  /** Requests being answered now. */
  readonly inFlight: number;
  /** Requests per latency bucket. */
  readonly latency: readonly number[];
  /** Requests that latency is estimated from. */
  readonly timed: number;
}

export interface ModelReport {
  readonly model: string;
  readonly uid: string;
  readonly generation: number;
  readonly versions: readonly VersionReport[];
}

export interface Report {
  readonly router: string;
  /** Changes when counters start again from zero. */
  readonly epoch: string;
  /** Upper bounds of the latency buckets, milliseconds. */
  readonly latencyBoundsMs: readonly number[];
  readonly models: readonly ModelReport[];
}
