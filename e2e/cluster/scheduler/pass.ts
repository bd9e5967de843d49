import { isFinished, type Namespace, type Node, type Pod } from '../controllers/machinery/kinds.ts';
import { type NamespaceLabels, type Refusal, refuse, type Surroundings } from './filters.ts';
import { unschedulableMessage } from './message.ts';
import { preempt, priorityOf } from './preempt.ts';
import { Room } from './room.ts';
import { score } from './scores.ts';

export interface Observed {
  readonly nodes: readonly Readonly<Node>[];
  readonly pods: readonly Readonly<Pod>[];
  readonly namespace: (name: string) => Readonly<Namespace> | undefined;
  /** Nodes of pods that were bound, though the watch doesn't show it yet, by UID. */
  readonly assumed: ReadonlyMap<string, string>;
  /** Pods that are known to fit nowhere as things are, by UID. */
  readonly parked: ReadonlySet<string>;
  /** Whether a disruption budget has nothing left for this pod. */
  readonly isProtected: (pod: Readonly<Pod>) => boolean;
}

export type Decision =
  | { readonly kind: 'bind'; readonly pod: Readonly<Pod>; readonly node: string }
  | { readonly kind: 'gated'; readonly pod: Readonly<Pod> }
  | {
      readonly kind: 'refuse';
      readonly pod: Readonly<Pod>;
      readonly message: string;
      readonly nominate: string | undefined;
      readonly victims: readonly Readonly<Pod>[];
    };

/** One look at all pods that wait for a node, the most important first. Pure. */
export function pass(observed: Observed): Decision[] {
  const rooms = new Map(observed.nodes.map((node) => [node.metadata.name ?? '', new Room(node)]));
  const waiting: Readonly<Pod>[] = [];
  for (const pod of observed.pods) {
    if (isFinished(pod)) continue;
    const node = pod.spec.nodeName || observed.assumed.get(pod.metadata.uid ?? '');
    if (node) rooms.get(node)?.add(pod);
    else if (observed.parked.has(pod.metadata.uid ?? '')) continue;
    else if (pod.metadata.deletionTimestamp === undefined && isOurs(pod)) waiting.push(pod);
  }
  const namespaceLabels: NamespaceLabels = (name) => observed.namespace(name)?.metadata.labels;
  const around: Surroundings = { rooms: [...rooms.values()], namespaceLabels };
  const evicted = new Set<Readonly<Pod>>();
  return waiting.toSorted(byUrgency).map((pod): Decision => {
    if ((pod.spec.schedulingGates ?? []).length > 0) return { kind: 'gated', pod };
    return place(pod, around, observed, evicted);
  });
}

function place(
  pod: Readonly<Pod>,
  around: Surroundings,
  observed: Observed,
  evicted: Set<Readonly<Pod>>,
): Decision {
  const refusals = new Map<Room, Refusal>();
  let best: { room: Room; value: number } | undefined;
  for (const room of around.rooms) {
    const refusal = refuse(pod, room, around);
    if (refusal !== undefined) {
      refusals.set(room, refusal);
      continue;
    }
    const value = score(pod, room, around);
    if (best === undefined || value > best.value) best = { room, value };
  }
  if (best !== undefined) {
    best.room.add(pod);
    return { kind: 'bind', pod, node: best.room.name };
  }
  const reasons = [...refusals.values()].flatMap((refusal) => refusal.reasons);
  const nodes = around.rooms.length;
  const nominated = around.rooms.find(({ name }) => name === pod.status?.nominatedNodeName);
  const leaving =
    nominated !== undefined &&
    [...nominated.pods].some(
      (one) => one.metadata.deletionTimestamp !== undefined && priorityOf(one) < priorityOf(pod),
    );
  if (leaving) {
    // Room is being made already: nobody less important may take it.
    nominated.add(pod);
    const reason = 'not eligible due to a terminating pod on the nominated node.';
    const message = unschedulableMessage(nodes, reasons, { kind: 'ineligible', reason });
    return { kind: 'refuse', pod, message, nominate: nominated.name, victims: [] };
  }
  const isProtected = (one: Readonly<Pod>) => evicted.has(one) || observed.isProtected(one);
  const outcome = preempt(pod, refusals, around, isProtected);
  if (outcome.kind !== 'found') {
    const message = unschedulableMessage(nodes, reasons, outcome);
    return { kind: 'refuse', pod, message, nominate: undefined, victims: [] };
  }
  const { room, victims } = outcome.preemption;
  for (const victim of victims) {
    room.remove(victim);
    evicted.add(victim);
  }
  room.add(pod);
  const message = unschedulableMessage(nodes, reasons, undefined);
  return { kind: 'refuse', pod, message, nominate: room.name, victims };
}

function isOurs(pod: Readonly<Pod>): boolean {
  return (pod.spec.schedulerName ?? 'default-scheduler') === 'default-scheduler';
}

function byUrgency(a: Readonly<Pod>, b: Readonly<Pod>): number {
  return (
    priorityOf(b) - priorityOf(a) ||
    (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
    (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '')
  );
}
