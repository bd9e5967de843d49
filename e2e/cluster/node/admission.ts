/** Whether a pod that was bound to the node fits on it. Pure. */

import { milli } from '../quantity.ts';
import { isExtended } from './devices.ts';
import type { Container, Pod, Quantities } from './pod.ts';

export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

/** Requests of the pod in thousandths: the sum of what runs together, or the largest init container if that is more. */
export function podRequests(pod: Pod): Map<string, number> {
  const total = new Map<string, number>();
  const add = (to: Map<string, number>, amounts: ReadonlyMap<string, number>) => {
    for (const [resource, amount] of amounts) to.set(resource, (to.get(resource) ?? 0) + amount);
  };
  for (const container of pod.spec.containers) add(total, containerRequests(container));
  const sidecars = new Map<string, number>();
  const peak = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const own = containerRequests(container);
    if (container.restartPolicy === 'Always') add(sidecars, own);
    const now = new Map(sidecars);
    if (container.restartPolicy !== 'Always') add(now, own);
    for (const [resource, amount] of now) peak.set(resource, Math.max(peak.get(resource) ?? 0, amount));
  }
  add(total, sidecars);
  for (const [resource, amount] of peak) total.set(resource, Math.max(total.get(resource) ?? 0, amount));
  add(total, amounts(pod.spec.overhead));
  return total;
}

function containerRequests({ resources }: Container): Map<string, number> {
  return amounts({ ...resources?.limits, ...resources?.requests });
}

function amounts(quantities: Quantities | undefined): Map<string, number> {
  return new Map(Object.entries(quantities ?? {}).map(([resource, amount]) => [resource, milli(amount)]));
}

/** What is looked at first, in this order. */
const firstResources = ['pods', 'cpu', 'memory', 'ephemeral-storage'];

/** Why the pod is refused, or `undefined`. `others` are the pods that hold resources here. */
export function refusal(pod: Pod, others: readonly Pod[], allocatable: Quantities): Rejection | undefined {
  const used = new Map<string, number>([['pods', others.length * 1000]]);
  for (const other of others) {
    for (const [resource, amount] of podRequests(other))
      used.set(resource, (used.get(resource) ?? 0) + amount);
  }
  const wanted = new Map([['pods', 1000], ...podRequests(pod)]);
  const order = (resource: string) =>
    firstResources.includes(resource) ? firstResources.indexOf(resource) : firstResources.length;
  for (const [resource, amount] of [...wanted].sort(([a], [b]) => order(a) - order(b))) {
    // A device that the node knows nothing of is somebody else's to give.
    if (amount === 0 || (isExtended(resource) && allocatable[resource] === undefined)) continue;
    const capacity = milli(allocatable[resource] ?? 0);
    const taken = used.get(resource) ?? 0;
    if (taken + amount <= capacity) continue;
    const shown = (value: number) => (resource === 'cpu' ? value : Math.ceil(value / 1000));
    const numbers = `requested: ${shown(amount)}, used: ${shown(taken)}, capacity: ${shown(capacity)}`;
    return {
      reason: `OutOf${resource}`,
      message: `Node didn't have enough resource: ${resource}, ${numbers}`,
    };
  }
  return undefined;
}
