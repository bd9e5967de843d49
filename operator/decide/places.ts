/** Who has room in a pool, who lacks it, and which versions of the model give theirs up for others. */

import type { GPUPool } from '../api/generated/gpu-pool.ts';
import { isFinished, isTerminating, type Pod } from '../api/kubernetes.ts';
import { optional } from '../api/optional.ts';
import { unscheduled } from './failure.ts';
import type { VersionObserved } from './observed.ts';
import type { GaveWay, Part, Role } from './roles.ts';
import type { VersionFacts } from './rollout/types.ts';

/** The room that pods of a version have, and lack. One place is the room for one pod. */
export interface Places {
  /** Name of the GPUPool that they are in; absent outside of any. */
  readonly pool?: string;
  /** What a rollout does when the pool is full; absent outside of any. */
  readonly whenFull?: GPUPool['spec']['whenFull'];
  /** GPUs of one place. */
  readonly gpus: number;
  /** GPUs of the pool that nobody has asked for, by its own status. */
  readonly free?: number;
  /** Pods that have a place and stay. */
  readonly held: number;
  /** Pods that have one and are being ended. Those do not count that should have gone long ago: their node is lost. */
  readonly leaving: number;
  /** When one of them no longer counts; milliseconds. */
  readonly leavingUntil?: number;
  /** Pods for which the scheduler has found none, and makes none. */
  readonly lacking: number;
}

/** How long a pod may still be there after the end of its grace period. */
const overdueMs = 60_000;

/** When a pod that is being ended counts as lost. */
const lostAt = ({ metadata: { deletionTimestamp = '' } }: Pod): number =>
  Date.parse(deletionTimestamp) + overdueMs;

/** What the scheduler has done for a version. Quota that refuses pods is something else: those do not exist. */
export function placesOf({ object, pods }: VersionObserved, pool: GPUPool | undefined, now: number): Places {
  const { pool: name, gpus } = object.spec.placement;
  const placed = pods.filter((pod) => pod.spec?.nodeName !== undefined && !isFinished(pod));
  const leaving = placed.filter(isTerminating).map(lostAt);
  const awaited = leaving.filter((at) => now < at);
  return {
    ...optional('pool', name),
    ...optional('whenFull', pool === undefined ? undefined : (pool.spec.whenFull ?? 'wait')),
    gpus,
    ...optional('free', pool?.status?.free),
    held: placed.length - leaving.length,
    leaving: awaited.length,
    ...optional('leavingUntil', awaited.length === 0 ? undefined : Math.min(...awaited)),
    lacking: pods.filter(lacks).length,
  };
}

const lacks = (pod: Pod): boolean =>
  !isTerminating(pod) && unscheduled(pod) !== undefined && pod.status?.nominatedNodeName === undefined;

/** A version in the contest for room. */
export interface Tenant {
  readonly facts: VersionFacts;
  readonly part: Part;
  /** Whether it may be parked at once: no router sends requests to it, and nothing is in the way of writing. */
  readonly free: boolean;
}

/** The parts after some versions gave way. */
export interface Room {
  readonly parts: ReadonlyMap<string, Part>;
  /** When more may be given, if what has been given does not do. */
  readonly wakeAt?: number;
}

/**
 * How long room that was given may go unused before more is given: the scheduler comes back to a pod within ten seconds, and pods
 * take some to end.
 */
const patienceMs = 20_000;

/** In this order they get room; the others have no claim to any. */
const claims: readonly Role[] = ['stable', 'candidate', 'member', 'routed', 'warm'];

/**
 * Versions without a part in serving give way to those that have one and find no room in the same pool: the one that has been without
 * traffic for the longest first, and no more than it takes.
 */
export function makeRoom(tenants: readonly Tenant[], now: number): Room {
  const parts = new Map(tenants.map(({ facts, part }) => [facts.version, part]));
  const wakes: number[] = [];
  for (const pool of new Set(tenants.map(({ facts }) => facts.places.pool))) {
    const there = tenants.filter(({ facts }) => facts.places.pool === pool);
    const claimants = there
      .filter(({ facts, part }) => facts.places.lacking > 0 && part.runs && !isSpare(part))
      .sort((a, b) => claims.indexOf(a.part.role) - claims.indexOf(b.part.role));
    const [first] = claimants;
    if (first === undefined) continue;
    // Where GPUs are missing, a version without any has none to give.
    const inGpus = claimants.some(({ facts }) => facts.places.gpus > 0);
    const room = (pods: number, { gpus }: Places): number => (inGpus ? pods * gpus : pods);
    const wanted = sum(claimants, ({ facts: { places } }) => room(places.lacking, places));
    const unserved = new Set(claimants.map(({ facts }) => facts.version));
    const coming = (tenant: Tenant) => room(comingFrom(tenant, unserved, now), tenant.facts.places);
    let missing = wanted - sum(there, coming);
    for (const { facts, part } of there.filter((one) => canGiveWay(one, first)).sort(byIdleness)) {
      const { places } = facts;
      const holds = room(places.held, places);
      // One that has nothing to give would take what others give.
      if (holds > 0 ? missing <= 0 : places.lacking === 0) continue;
      const pods =
        part.needed === undefined
          ? places.held
          : Math.min(places.held, first.facts.places.lacking, Math.ceil(missing / room(1, places)));
      missing -= room(pods, places);
      const kept = places.held - pods;
      const gaveWay = { to: first.facts.version, pods, ...optional('kept', kept || undefined), at: now };
      parts.set(
        facts.version,
        kept > 0
          ? { ...part, pods: kept, gaveWay }
          : { role: part.role, runs: false, idleSince: part.idleSince ?? now, gaveWay },
      );
    }
    wakes.push(...there.flatMap(({ part }) => part.gaveWay?.at ?? []).map((at) => at + patienceMs));
    wakes.push(...there.flatMap(({ facts }) => facts.places.leavingUntil ?? []));
  }
  const ahead = wakes.filter((at) => at > now);
  return { parts, ...optional('wakeAt', ahead.length === 0 ? undefined : Math.min(...ahead)) };
}

/**
 * Whether versions without a part in serving hold room that a candidate lacks, or have just given it up.
 *
 * @param spare those versions
 */
export function isRoomComing(
  candidate: Places & { readonly version: string },
  spare: readonly { readonly places: Places; readonly gaveWay?: GaveWay }[],
  now: number,
): boolean {
  return spare.some(
    ({ places, gaveWay }) =>
      places.pool === candidate.pool &&
      (candidate.gpus === 0 || places.gpus > 0) &&
      (places.held + places.leaving > 0 ||
        (gaveWay?.to === candidate.version && now < gaveWay.at + patienceMs)),
  );
}

/** Whether the version could be done without now. */
const isSpare = ({ role, needed }: Part): boolean =>
  role === 'idle' || role === 'failed' || (role === 'warm' && needed === undefined);

/**
 * What could be done without gives way to everything that has a part. Where places are swapped, stable gets those that it still lacks from the version
 * that it has just replaced, and that stands by with what is left.
 */
const canGiveWay = ({ facts, part, free }: Tenant, claimant: Tenant): boolean =>
  free &&
  part.runs &&
  (isSpare(part) ||
    (part.needed === 'bake' &&
      claimant.part.role === 'stable' &&
      facts.places.whenFull === 'swap' &&
      facts.places.gpus >= claimant.facts.places.gpus));

/**
 * Places that become free without anybody doing anything, those included that the scheduler may not have noticed yet.
 *
 * @param unserved versions that lack room
 */
function comingFrom({ facts: { places }, part }: Tenant, unserved: ReadonlySet<string>, now: number): number {
  const { runs, gaveWay } = part;
  const stays = runs ? Math.min(places.held, part.pods ?? places.held) : 0;
  const isFresh = gaveWay !== undefined && now < gaveWay.at + patienceMs && unserved.has(gaveWay.to);
  return Math.max(places.held - stays + places.leaving, isFresh ? gaveWay.pods : 0);
}

/** Without traffic for longest first; former stable versions that are kept warm last, and at the very end the one that stands by. */
const byIdleness = (a: Tenant, b: Tenant): number =>
  Number(a.part.needed !== undefined) - Number(b.part.needed !== undefined) ||
  (a.part.idleSince ?? Number.POSITIVE_INFINITY) - (b.part.idleSince ?? Number.POSITIVE_INFINITY) ||
  0;

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);
