/**
 * What a rollout remembers between two visits. It lives in the Model's status, in milliseconds here and in RFC 3339
 * there, so that an operator that starts anew goes on where the last one stopped.
 */

import type { ModelStatus } from '../../api/generated/model.ts';
import { optional } from '../../api/optional.ts';
import type { EventReason } from '../../api/reasons.ts';

/** The version being rolled out. */
export interface Candidate {
  readonly version: string;
  readonly contentHash: string;
  /** 0 while its pods start, then the number of the step, from 1. */
  readonly step: number;
  readonly startedAt: number;
  /** When this step began, or began again. */
  readonly since: number;
  /** Since when every endpoint has followed the share of this step; the hold counts from here. */
  readonly followedSince?: number;
  /** Since when too few of its pods are ready; it has no traffic then. */
  readonly unreadySince?: number;
  /** Since when not all of its pods are ready, though enough to have traffic. */
  readonly incompleteSince?: number;
  /** The last step that somebody approved. */
  readonly approvedStep?: number;
  /** What it waits for before its hold begins, or though it is over. */
  readonly waitingFor?: 'Approval' | 'Routers' | 'Gateways' | 'Traffic' | 'Pods' | 'Capacity' | 'Places';
  /** How places change hands, while the pool is full. */
  readonly swap?: Swap;
}

/** The places that one version lends to another, one pod after the other. */
export interface Swap {
  /** The version that lends: the stable one. */
  readonly lender: string;
  /** Pods that it keeps. */
  readonly kept: number;
  /** Pods that the candidate has places for, the one included that was given up for it last. */
  readonly given: number;
  /** Since when that place has been free without the candidate having taken it. */
  readonly freeSince?: number;
  /** Whether the candidate has taken that place. If it has fewer now, it has lost one. */
  readonly taken?: true;
  /** Whether the candidate could not use one. No other is given before it finds room. */
  readonly futile?: true;
}

/** A content that failed. */
export interface Latch {
  readonly version: string;
  readonly contentHash: string;
  readonly reason: string;
  readonly message: string;
  readonly at: number;
}

export interface HistoryEntry {
  readonly at: number;
  readonly reason: EventReason;
  readonly version?: string;
  readonly message: string;
}

export interface RolloutState {
  readonly stable?: string;
  readonly stableSince?: number;
  /** Since when too few of stable's pods are ready. */
  readonly stableUnreadySince?: number;
  /** Former stable versions, latest first. */
  readonly previous: readonly string[];
  readonly candidate?: Candidate;
  readonly latched: readonly Latch[];
  /** Latest first. */
  readonly history: readonly HistoryEntry[];
}

export const historyLimit = 30;
export const previousLimit = 10;
export const latchLimit = 50;

const time = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Date.parse(text);
function text(ms: number): string;
function text(ms: number | undefined): string | undefined;
function text(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

/** Reads the state from a Model's status; a new Model has an empty one. */
export function stateFrom(status: ModelStatus | undefined): RolloutState {
  const candidate = status?.candidate;
  return {
    ...optional('stable', status?.stable),
    ...optional('stableSince', time(status?.stableSince)),
    ...optional('stableUnreadySince', time(status?.stableUnreadySince)),
    previous: status?.previous ?? [],
    ...optional(
      'candidate',
      candidate === undefined
        ? undefined
        : {
            version: candidate.version,
            contentHash: candidate.contentHash,
            step: candidate.step,
            startedAt: Date.parse(candidate.startedAt),
            since: Date.parse(candidate.since),
            ...optional('followedSince', time(candidate.followedSince)),
            ...optional('unreadySince', time(candidate.unreadySince)),
            ...optional('incompleteSince', time(candidate.incompleteSince)),
            ...optional('approvedStep', candidate.approvedStep),
            ...optional('waitingFor', candidate.waitingFor),
            ...optional('swap', swapFrom(candidate.swap)),
          },
    ),
    latched: (status?.latched ?? []).map((latch) => ({ ...latch, at: Date.parse(latch.at) })),
    history: (status?.history ?? []).map((entry) => ({
      at: Date.parse(entry.at),
      reason: entry.reason as EventReason,
      ...optional('version', entry.version),
      message: entry.message,
    })),
  };
}

type StoredSwap = NonNullable<ModelStatus['candidate']>['swap'];

function swapFrom(stored: StoredSwap): Swap | undefined {
  if (stored === undefined) return undefined;
  const { freeSince, taken, futile, ...swap } = stored;
  return {
    ...swap,
    ...optional('freeSince', time(freeSince)),
    ...optional('taken', taken === true ? true : undefined),
    ...optional('futile', futile === true ? true : undefined),
  };
}

function storedSwap(swap: Swap | undefined): StoredSwap {
  if (swap === undefined) return undefined;
  const { freeSince, ...rest } = swap;
  return { ...rest, ...optional('freeSince', text(freeSince)) };
}

type StoredState = Pick<
  ModelStatus,
  'stable' | 'stableSince' | 'stableUnreadySince' | 'previous' | 'latched' | 'history'
>;

/** Writes the state, but for the candidate, as fields of a Model's status; the inverse of `stateFrom`. */
export function statusFrom(state: RolloutState): StoredState {
  const { stable, stableSince, stableUnreadySince, previous, latched, history } = state;
  return {
    ...optional('stable', stable),
    ...optional('stableSince', text(stableSince)),
    ...optional('stableUnreadySince', text(stableUnreadySince)),
    previous: [...previous],
    latched: latched.map((latch) => ({ ...latch, at: text(latch.at) })),
    history: history.map((entry) => ({ ...entry, at: text(entry.at) })),
  };
}

/** Writes the candidate as it stands in a Model's status. */
export function storedCandidate(candidate: Candidate, weight: number): NonNullable<ModelStatus['candidate']> {
  return {
    version: candidate.version,
    contentHash: candidate.contentHash,
    step: candidate.step,
    weight,
    startedAt: text(candidate.startedAt),
    since: text(candidate.since),
    ...optional('followedSince', text(candidate.followedSince)),
    ...optional('unreadySince', text(candidate.unreadySince)),
    ...optional('incompleteSince', text(candidate.incompleteSince)),
    ...optional('approvedStep', candidate.approvedStep),
    ...optional('waitingFor', candidate.waitingFor),
    ...optional('swap', storedSwap(candidate.swap)),
  };
}
