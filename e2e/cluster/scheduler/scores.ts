import type { Pod } from '../controllers/machinery/kinds.ts';
import { matches } from '../controllers/machinery/selector.ts';
import { demandOf } from './demand.ts';
import { fitsTerm, meetsTerm, type Surroundings, tolerates } from './filters.ts';
import type { Room } from './room.ts';

/** How good a place a node is for a pod, among those that can take it; higher is better. Pure. */
export function score(pod: Readonly<Pod>, room: Room, around: Surroundings): number {
  return (
    freeShare(pod, room) * 100 -
    siblings(pod, room) * 50 -
    crowding(pod, room, around) * 100 -
    softTaints(pod, room) * 300 +
    wishes(pod, room, around)
  );
}

/** Share (0 to 1) of processor and memory that stays free. */
function freeShare(pod: Readonly<Pod>, room: Room): number {
  const demand = demandOf(pod);
  const shares = ['cpu', 'memory'].map((name) => {
    const supply = room.supply[name] ?? 0;
    const used = (room.used[name] ?? 0) + (demand[name] ?? 0);
    return supply === 0 ? 0 : Math.max(0, 1 - used / supply);
  });
  return shares.reduce((total, share) => total + share, 0) / shares.length;
}

/** Pods of the same owner that are there already. */
function siblings(pod: Readonly<Pod>, room: Room): number {
  const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller === true)?.uid;
  if (owner === undefined) return 0;
  return [...room.pods].filter((one) => one.metadata.ownerReferences?.some(({ uid }) => uid === owner))
    .length;
}

/** Pods in the node's domain that the pod would rather spread away from. */
function crowding(pod: Readonly<Pod>, room: Room, around: Surroundings): number {
  let crowd = 0;
  for (const constraint of pod.spec.topologySpreadConstraints ?? []) {
    if (constraint.whenUnsatisfiable !== 'ScheduleAnyway') continue;
    const domain = room.label(constraint.topologyKey);
    for (const other of around.rooms) {
      if (domain === undefined || other.label(constraint.topologyKey) !== domain) continue;
      crowd += [...other.pods].filter(
        (one) =>
          one.metadata.namespace === pod.metadata.namespace &&
          matches(constraint.labelSelector, one.metadata.labels),
      ).length;
    }
  }
  return crowd;
}

function softTaints(pod: Readonly<Pod>, room: Room): number {
  return (room.node.spec?.taints ?? []).filter(
    (taint) => taint.effect === 'PreferNoSchedule' && !tolerates(pod.spec.tolerations, taint),
  ).length;
}

/** Preferred affinities, by their weights (1 to 100 each). */
function wishes(pod: Readonly<Pod>, room: Room, around: Surroundings): number {
  const { nodeAffinity, podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  let total = 0;
  for (const { weight, preference } of nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
    if (meetsTerm(preference, room)) total += weight;
  }
  for (const [terms, sign] of [
    [podAffinity?.preferredDuringSchedulingIgnoredDuringExecution, 1],
    [podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution, -1],
  ] as const) {
    for (const { weight, podAffinityTerm: term } of terms ?? []) {
      const domain = room.label(term.topologyKey);
      if (domain === undefined) continue;
      for (const other of around.rooms) {
        if (other.label(term.topologyKey) !== domain) continue;
        total += sign * weight * [...other.pods].filter((one) => fitsTerm(term, pod, one, around)).length;
      }
    }
  }
  return total;
}
