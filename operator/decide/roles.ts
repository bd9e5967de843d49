/** What part each version plays, and hence which versions have pods. */

import { milliseconds } from '../api/duration.ts';
import type { ModelRetention } from '../api/generated/model.ts';
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
}

/** What roles depend on besides the rollout. */
export interface Standing {
  /** `status.idleSince` in milliseconds. */
  readonly idleSince?: number;
  /** Whether its Deployment has pods now. */
  readonly running: boolean;
  /** Whether routers may still send requests to it. */
  readonly mayHaveTraffic: boolean;
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
  bakingUntil: number,
  now: number,
): Role {
  if (state.stable === facts.version) return 'stable';
  if (isLatched(state.latched, facts)) return 'failed';
  if (state.candidate?.version === facts.version) return 'candidate';
  if (target.kind === 'split' && target.parts.some((part) => part.version === facts.version)) return 'member';
  if (leads.has(facts.version)) return 'routed';
  const rank = state.previous.indexOf(facts.version);
  // While stable may have to be returned from, or is in trouble, the version before it stands by, parked or not.
  const needed = now < bakingUntil || state.stableUnreadySince !== undefined;
  const kept = Math.max(retention.warm, needed ? 1 : 0);
  return rank >= 0 && rank < kept ? 'warm' : 'idle';
}

/**
 * Whether the version has pods. One without a part in serving keeps them for `parkAfter`, and for as long as a
 * router may still send it requests.
 */
export function partOf(role: Role, standing: Standing, retention: ModelRetention, now: number): Part {
  if (role !== 'idle' && role !== 'failed') return { role, runs: true };
  if (!standing.running && standing.idleSince === undefined) return { role, runs: false };
  const idleSince = standing.idleSince ?? now;
  const parksAt = idleSince + milliseconds(retention.parkAfter);
  if (!standing.running) return { role, runs: false, idleSince };
  const runs = now < parksAt || standing.mayHaveTraffic;
  return runs ? { role, runs, idleSince, parksAt } : { role, runs, idleSince };
}
