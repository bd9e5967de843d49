import type { Container, Node, Pod } from '../controllers/machinery/kinds.ts';
import { parseQuantity } from '../quantity.ts';

/** Amounts by resource name, in base units (cores, bytes, devices). */
export type Amounts = Readonly<Record<string, number>>;

/**
 * What a pod takes of its node: containers and sidecars together, or the largest start-up moment of its init
 * containers if that is more. `pods` is always 1.
 */
export function demandOf(pod: Readonly<Pod>): Amounts {
  const total: Record<string, number> = {};
  let sidecars: Record<string, number> = {};
  const peaks: Record<string, number>[] = [];
  for (const container of pod.spec.initContainers ?? []) {
    const own = requests(container);
    if (container.restartPolicy === 'Always') sidecars = plus(sidecars, own);
    else peaks.push(plus(sidecars, own));
  }
  let running = sidecars;
  for (const container of pod.spec.containers) running = plus(running, requests(container));
  for (const moment of [running, ...peaks]) {
    for (const [name, amount] of Object.entries(moment)) total[name] = Math.max(total[name] ?? 0, amount);
  }
  return { ...plus(total, numbers(pod.spec.overhead)), pods: 1 };
}

/** What a node has for pods. */
export function supplyOf(node: Readonly<Node>): Amounts {
  return numbers(node.status?.allocatable ?? node.status?.capacity);
}

export function plus(left: Amounts, right: Amounts): Record<string, number> {
  const sum: Record<string, number> = { ...left };
  for (const [name, amount] of Object.entries(right)) sum[name] = (sum[name] ?? 0) + amount;
  return sum;
}

export function minus(left: Amounts, right: Amounts): Record<string, number> {
  const difference: Record<string, number> = { ...left };
  for (const [name, amount] of Object.entries(right)) difference[name] = (difference[name] ?? 0) - amount;
  return difference;
}

/** Names of the resources of which there isn't enough. */
export function shortOf(demand: Amounts, supply: Amounts, used: Amounts): string[] {
  return Object.entries(demand)
    .filter(([name, amount]) => amount > 0 && amount > (supply[name] ?? 0) - (used[name] ?? 0) + 1e-9)
    .map(([name]) => name);
}

/** Requests of one container; a limit without a request is one. */
function requests(container: Container): Record<string, number> {
  return numbers({ ...container.resources?.limits, ...container.resources?.requests });
}

function numbers(quantities: Readonly<Record<string, string | number>> | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(quantities ?? {}).map(([name, quantity]) => [name, parseQuantity(quantity)]),
  );
}
