import type { Pod } from '../controllers/machinery/kinds.ts';
import { type Refusal, refuse, type Surroundings } from './filters.ts';
import type { Failure } from './message.ts';
import type { Room } from './room.ts';

/** A node that would take the pod if these pods left it. */
export interface Preemption {
  readonly room: Room;
  readonly victims: readonly Readonly<Pod>[];
}

/** What preemption came to. */
export type Outcome = { readonly kind: 'found'; readonly preemption: Preemption } | Failure;

/**
 * Finds the node where making room costs least: the lowest of the highest victim priorities, then the lowest
 * sum of priorities, then the fewest victims, then those that started last. Pure: rooms are left as they were.
 */
export function preempt(
  pod: Readonly<Pod>,
  refusals: ReadonlyMap<Room, Refusal>,
  around: Surroundings,
  isProtected: (pod: Readonly<Pod>) => boolean,
): Outcome {
  if (pod.spec.preemptionPolicy === 'Never') {
    return { kind: 'ineligible', reason: 'not eligible due to preemptionPolicy=Never.' };
  }
  const found: Preemption[] = [];
  const reasons: string[] = [];
  for (const [room, refusal] of refusals) {
    if (!refusal.curable) {
      reasons.push('Preemption is not helpful for scheduling');
      continue;
    }
    const victims = victimsOn(pod, room, around, isProtected);
    if (victims === undefined) reasons.push('No preemption victims found for incoming pod');
    else found.push({ room, victims });
  }
  const [preemption] = found.toSorted(byCost(isProtected));
  return preemption === undefined ? { kind: 'fruitless', reasons } : { kind: 'found', preemption };
}

/** The fewest, least important pods whose leaving makes the node fit; `undefined` where nothing does. */
function victimsOn(
  pod: Readonly<Pod>,
  room: Room,
  around: Surroundings,
  isProtected: (pod: Readonly<Pod>) => boolean,
): Readonly<Pod>[] | undefined {
  const priority = priorityOf(pod);
  const lower = [...room.pods].filter((one) => priorityOf(one) < priority);
  if (lower.length === 0) return undefined;
  for (const one of lower) room.remove(one);
  try {
    if (refuse(pod, room, around) !== undefined) return undefined;
    // Spare the protected first, then the most important, then those that have run longest.
    const order = lower.toSorted(
      (a, b) =>
        Number(isProtected(b)) - Number(isProtected(a)) ||
        priorityOf(b) - priorityOf(a) ||
        startOf(a).localeCompare(startOf(b)),
    );
    const victims: Readonly<Pod>[] = [];
    for (const one of order) {
      room.add(one);
      if (refuse(pod, room, around) === undefined) continue;
      room.remove(one);
      victims.push(one);
    }
    return victims;
  } finally {
    for (const one of lower) {
      room.remove(one);
      room.add(one);
    }
  }
}

function byCost(isProtected: (pod: Readonly<Pod>) => boolean): (a: Preemption, b: Preemption) => number {
  const keys: ((one: Preemption) => number)[] = [
    ({ victims }) => victims.filter(isProtected).length,
    ({ victims }) => Math.max(...victims.map(priorityOf)),
    ({ victims }) => victims.reduce((total, one) => total + priorityOf(one), 0),
    ({ victims }) => victims.length,
    ({ victims }) => -Math.min(...victims.map((one) => Date.parse(startOf(one)))),
  ];
  return (a, b) => {
    for (const key of keys) {
      const difference = key(a) - key(b);
      if (difference !== 0) return difference;
    }
    return a.room.name.localeCompare(b.room.name);
  };
}

export function priorityOf(pod: Readonly<Pod>): number {
  return pod.spec.priority ?? 0;
}

function startOf(pod: Readonly<Pod>): string {
  return pod.status?.startTime ?? pod.metadata.creationTimestamp ?? '';
}
