/** What pods say of how they start. Pods need not say anything. */

/** The artifact is fetched now, or the pod serves. */
export type StartStage = 'fetching' | 'serving';

/** How far the fetching of an artifact is. */
export interface Fetching {
  readonly fetchedBytes: number;
  /** Absent while it is not known. */
  readonly sizeBytes?: number;
}

/** How a server that is ready came to be so. */
export interface Started {
  /** For loading the model and the first run. */
  readonly loadSeconds?: number;
  /** What computes. */
  readonly provider?: string;
  /** What was to; another one where that could not be used. */
  readonly wantedProvider?: string;
}

export interface StartSaid {
  readonly fetching?: Fetching;
  readonly started?: Started;
}

/** By uid of the pod. */
export type StartsSaid = ReadonlyMap<string, StartSaid>;
