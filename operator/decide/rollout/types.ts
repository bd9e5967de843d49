/** What a rollout is decided from, and what comes of it. */

import type { EventReason, ProgressReason, VersionFailureReason } from '../../api/reasons.ts';
import type { AnalysisPolicy, Judgement } from '../analysis/evidence.ts';
import type { Failure } from '../failure.ts';
import type { Places } from '../places.ts';
import type { Requests } from '../requests.ts';
import type { GaveWay } from '../roles.ts';
import type { Share } from '../shares.ts';
import type { RolloutState } from './state.ts';

/** What a rollout needs to know of one version. */
export interface VersionFacts {
  readonly version: string;
  readonly contentHash: string;
  /** Pods it should have while it runs. */
  readonly wanted: number;
  readonly ready: number;
  /**
   * Pods that have been ready at once, at most `wanted`; `wanted` before that. Fewer than these are a loss; pods that
   * somebody has just asked for in addition are none.
   */
  readonly established: number;
  /** The room that its pods have, and lack. */
  readonly places: Places;
  /** Requests that one pod can answer at the same time, where that is known. */
  readonly targetConcurrency?: number;
  readonly failure?: Failure;
  /** Why it cannot have pods at all now, though nothing has been tried yet. */
  readonly blocked?: Failure;
}

/** `spec.rollout` and `spec.rollback`, in milliseconds and fractions. */
export interface RolloutPolicy {
  readonly strategy: 'canary' | 'blueGreen' | 'immediate';
  readonly steps: readonly { readonly weight: number; readonly holdMs: number; readonly approval: boolean }[];
  /** Whether a blueGreen switch waits for somebody. */
  readonly approval: boolean;
  readonly analysis: AnalysisPolicy;
  readonly onNewVersion: 'supersede' | 'queue';
  readonly bakeMs: number;
  readonly unreadyForMs: number;
  /** Fraction of the wanted pods, 0 to 1. */
  readonly minReady: number;
  readonly startupDeadlineMs: number;
}

/** What the spec wants, after `latest` and names have been looked up. */
export type Target =
  | {
      readonly kind: 'version';
      readonly version: string;
      /** Whether it is only wanted for being the newest: a named version never queues. */
      readonly latest: boolean;
    }
  | { readonly kind: 'split'; readonly parts: readonly Share[] }
  /** Nothing to serve, or nothing that may be served: what runs goes on. */
  | { readonly kind: 'unchanged' };

export interface RolloutInput {
  readonly state: RolloutState;
  readonly target: Target;
  readonly facts: ReadonlyMap<string, VersionFacts>;
  readonly policy: RolloutPolicy;
  readonly requests: Requests;
  /** What live traffic says of the candidate, since its first step. */
  readonly judgement: Judgement;
  /** Failed versions that somebody wants tried again. */
  readonly retried: ReadonlySet<string>;
  /** Requests in flight that capacity is held against; absent while routers have not said. */
  readonly demand?: number;
  /** Shares that routers were told last. */
  readonly published: readonly Share[];
  /** An endpoint that clients may come through and that does not follow the shares published last. */
  readonly lagging?: 'router' | 'gateway';
  /** Whether room is being made by versions that do not serve: then none is lent by one that does. */
  readonly roomComing: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Something to tell people: about the model, and about a version where one is concerned. */
export interface RolloutEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly version?: string;
  readonly message: string;
  /** For a failure: the reason that the version's own event carries. */
  readonly failure?: VersionFailureReason;
}

/** What a rollout has waited for too long, though nothing is wrong with the candidate. */
export interface Overdue {
  readonly reason: VersionFailureReason;
  readonly message: string;
}

/** Why a candidate has fewer pods than it should. */
export interface Shortage {
  readonly reason: Extract<EventReason, 'SwapImpossible'> | Extract<ProgressReason, 'AwaitingPlaces'>;
  readonly message: string;
  /** Whether it is stable that cannot spare its places now, so that the candidate does not fail by it. */
  readonly blameless?: true;
}

export interface RolloutOutput {
  readonly state: RolloutState;
  readonly shares: readonly Share[];
  readonly events: readonly RolloutEvent[];
  /** For a person to look at, while the rollout waits on. */
  readonly overdue?: Overdue;
  readonly shortage?: Shortage;
  /** Pods that versions are to have, where that is not what their specs say. */
  readonly replicas: ReadonlyMap<string, number>;
  /** The version that has been replaced with places that were its own. */
  readonly lent?: { readonly version: string; readonly gaveWay: GaveWay };
  /** When something is due though nothing happens. */
  readonly wakeAt?: number;
}
