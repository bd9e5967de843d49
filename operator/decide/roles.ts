/** What part each version plays, and hence which versions have pods. */

import { milliseconds } from '../api/duration.ts';
import type { ModelRetention } from '../api/generated/model.ts';
import { optional } from '../api/optional.ts';
import { isLatched } from './rollout/draft.ts';
import type { RolloutState } from './rollout/state.ts';
import type { Target, VersionFacts } from './rollout/types.ts';

export type Role = 'stable' | 'candidate' | 'member' | 'routed' | 'warm' | 'idle' | 'failed';

/** The part of one version: whether it has pods, and until when if that ends by itself. */
export interface Part {
  readonly role: Role;
  readonly runs: boolean;
  /** Since when it has had no part in serving; milliseconds. Absent while it has one, and if it never had pods. */
  readonly idleSince?: number;
  /** When it is scaled to zero if nothing changes. */
  readonly parksAt?: number;
  /** Whether it stands by for a stable version that may have to be returned from, or is in trouble. */
  readonly needed?: true;
  readonly gaveWay?: GaveWay;
}

/** That a version was parked before its time. */
export interface GaveWay {
  /** The version that found no room. */
  readonly to: string;
  /** Pods that had room. */
  readonly pods: number;
  readonly at: number;
}

export const gaveWayText = ({ to }: GaveWay): string => `scaled to zero to make room for ${to}`;

/** What roles depend on besides the rollout. */
export interface Standing {
  /** `status.idleSince` in milliseconds. */
  readonly idleSince?: number;
  /** Whether its Deployment has pods now. */
  readonly running: boolean;
  /** Whether routers may still send requests to it. */
  readonly mayHaveTraffic: boolean;
  readonly needed: boolean;
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
  needed: boolean,
): Role {
  if (state.stable === facts.version) return 'stable';
  if (isLatched(state.latched, facts)) return 'failed';
  if (state.candidate?.version === facts.version) return 'candidate';
  if (target.kind === 'split' && target.parts.some((part) => part.version === facts.version)) return 'member';
  if (leads.has(facts.version)) return 'routed';
  const rank = state.previous.indexOf(facts.version);
  return needed || (rank >= 0 && rank < retention.warm) ? 'warm' : 'idle';
}

/** While stable may have to be returned from, or is in trouble, the version before it stands by, parked or not. */
export const isNeeded = (version: string, state: RolloutState, bakingUntil: number, now: number): boolean =>
  state.previous[0] === version && (now < bakingUntil || state.stableUnreadySince !== undefined);

/**
 * Whether the version has pods. One without a part in serving keeps them for `parkAfter`, unless it gave way to another one, and for
 * as long as a router may still send it requests. One that gave way is not warm again before it has had a part.
 */
export function partOf(role: Role, standing: Standing, retention: ModelRetention, now: number): Part {
  const { running, mayHaveTraffic, needed, gaveWay } = standing;
  const spare = role === 'idle' || role === 'failed' || (role === 'warm' && !needed);
  if (role === 'warm' && needed) return { role, runs: true, needed };
  if (!spare || (role === 'warm' && gaveWay === undefined)) return { role, runs: true };
  if (!running && standing.idleSince === undefined) return { role, runs: false };
  const idleSince = standing.idleSince ?? now;
  const parksAt = gaveWay?.at ?? idleSince + milliseconds(retention.parkAfter);
  const runs = running && (now < parksAt || mayHaveTraffic);
  return { role, runs, idleSince, ...(runs ? { parksAt } : {}), ...optional('gaveWay', gaveWay) };
}
