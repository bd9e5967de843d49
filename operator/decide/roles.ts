/** What part each version plays, and hence which versions have pods. */

import { milliseconds } from '../api/duration.ts';
import type { ModelRetention } from '../api/generated/model.ts';
import type { ModelVersionStatus } from '../api/generated/model-version.ts';
import { optional } from '../api/optional.ts';
import { isLatched } from './rollout/draft.ts';
import type { RolloutState } from './rollout/state.ts';
import type { Target, VersionFacts } from './rollout/types.ts';

export type Role = 'stable' | 'candidate' | 'member' | 'routed' | 'warm' | 'idle' | 'failed';

/** Whether versions of that role serve, or are about to. */
export const hasPart = (role: Role): boolean =>
  role === 'stable' || role === 'candidate' || role === 'member' || role === 'routed';

/** The part of one version: whether it has pods, and until when if that ends by itself. */
export interface Part {
  readonly role: Role;
  readonly runs: boolean;
  /** Pods that it has, where they are fewer than its spec says. */
  readonly pods?: number;
  /** Since when it has had no part in serving; milliseconds. Absent while it has one, and if it never had pods. */
  readonly idleSince?: number;
  /** When it is scaled to zero if nothing changes. */
  readonly parksAt?: number;
  readonly needed?: Need;
  readonly gaveWay?: GaveWay;
}

/** Why a former stable version stands by: stable may have to be returned from, or has too few ready pods. */
export type Need = 'bake' | 'trouble';

/** That a version gave up places. It gets no more pods by itself. */
export interface GaveWay {
  /** The version that found no room. */
  readonly to: string;
  /** Pods that it gave up then; 0 when it had lent them before. */
  readonly pods: number;
  /** Pods that it kept, where it did not give up all. */
  readonly kept?: number;
  readonly at: number;
}

export const isSameGiving = <T extends { readonly at: unknown; readonly kept?: number }>(
  one: T | undefined,
  other: T | undefined,
): boolean => one?.at === other?.at && one?.kept === other?.kept;

export const gaveWayOf = (status: ModelVersionStatus | undefined): GaveWay | undefined =>
  status?.gaveWay === undefined ? undefined : { ...status.gaveWay, at: Date.parse(status.gaveWay.at) };

export const gaveWayText = ({ to, kept = 0 }: GaveWay): string =>
  `scaled to ${kept === 0 ? 'zero' : kept} to make room for ${to}`;

/** What roles depend on besides the rollout. */
export interface Standing {
  /** `status.idleSince` in milliseconds. */
  readonly idleSince?: number;
  /** Whether its Deployment has pods now. */
  readonly running: boolean;
  /** Whether routers may still send requests to it. */
  readonly mayHaveTraffic: boolean;
  readonly needed?: Need;
  readonly gaveWay?: GaveWay;
}

/** The versions that have nothing left to keep children for: parked, and more than `keep` have been parked since. */
export function releasable(
  versions: Iterable<readonly [version: string, part: Part, pods: number]>,
  keep: number,
): ReadonlySet<string> {
  const parked = [...versions].flatMap(([version, { runs, idleSince }, pods]) =>
    runs || idleSince === undefined || pods > 0 ? [] : [{ version, idleSince }],
  );
  const latestFirst = parked.sort((a, b) => b.idleSince - a.idleSince || (a.version < b.version ? 1 : -1));
  return new Set(latestFirst.slice(keep).map(({ version }) => version));
}

/**
 * The role of one version.
 *
 * @param leads versions that routes name
 */
export function roleOf(
  facts: VersionFacts,
  state: RolloutState,
  target: Target,
  leads: ReadonlySet<string>,
  retention: ModelRetention,
  needed: Need | undefined,
): Role {
  if (state.stable === facts.version) return 'stable';
  if (isLatched(state.latched, facts)) return 'failed';
  if (state.candidate?.version === facts.version) return 'candidate';
  if (target.kind === 'split' && target.parts.some((part) => part.version === facts.version)) return 'member';
  if (leads.has(facts.version)) return 'routed';
  const rank = state.previous.indexOf(facts.version);
  return needed !== undefined || (rank >= 0 && rank < retention.warm) ? 'warm' : 'idle';
}

/** While stable may have to be returned from, or is in trouble, the version before it stands by, parked or not. */
export function needOf(
  version: string,
  { previous, stableUnreadySince }: RolloutState,
  bakingUntil: number,
  now: number,
): Need | undefined {
  if (previous[0] !== version) return undefined;
  return stableUnreadySince !== undefined ? 'trouble' : now < bakingUntil ? 'bake' : undefined;
}

/**
 * Whether the version has pods, and how many if not all. One without a part in serving keeps them for `parkAfter`, and for as long as a
 * router may still send it requests. One that gave way has no more than it kept; but all while it stands by for a stable version in trouble.
 */
export function partOf(role: Role, standing: Standing, retention: ModelRetention, now: number): Part {
  const { running, mayHaveTraffic, needed, gaveWay } = standing;
  if (hasPart(role)) return { role, runs: true };
  const stands = {
    role,
    ...optional('needed', role === 'warm' ? needed : undefined),
    ...optional('gaveWay', gaveWay),
  };
  const kept = optional('pods', gaveWay?.kept);
  if (role === 'warm' && (gaveWay === undefined || needed === 'trouble')) return { ...stands, runs: true };
  if (role === 'warm' && gaveWay?.kept !== undefined) return { ...stands, runs: true, ...kept };
  if (!running && standing.idleSince === undefined && role !== 'warm') return { ...stands, runs: false };
  const idleSince = standing.idleSince ?? now;
  const parksAt = gaveWay?.at ?? idleSince + milliseconds(retention.parkAfter);
  const gaveAll = gaveWay !== undefined && gaveWay.kept === undefined;
  const runs = running && !gaveAll && (now < parksAt || mayHaveTraffic);
  return { ...stands, runs, idleSince, ...(runs ? { parksAt, ...kept } : {}) };
}
