import { tolerates } from '../../scheduler/filters.ts';
import { timestamp } from '../deployment/status.ts';
import { type Condition, conditionOf, type Node, type Pod, type Taint } from '../machinery/kinds.ts';

const prefix = 'node.kubernetes.io/';

/** Conditions that keep new pods away, with their taints. */
const pressure: Readonly<Record<string, string>> = {
  MemoryPressure: 'memory-pressure',
  DiskPressure: 'disk-pressure',
  PIDPressure: 'pid-pressure',
  NetworkUnavailable: 'network-unavailable',
};

/** Taints that this controller puts on and takes off; all others are somebody else's. */
const owned: ReadonlySet<string> = new Set(
  ['not-ready', 'unreachable', 'unschedulable', ...Object.values(pressure)].map((name) => prefix + name),
);

/**
 * Conditions of a node whose kubelet was last heard of at `seenAt` (milliseconds since the epoch): when that is
 * more than `graceMs` ago, nothing is known of it any more. `undefined`: as they are. Pure.
 */
export function staleConditions(
  node: Readonly<Node>,
  seenAt: number,
  graceMs: number,
  now: number,
): Condition[] | undefined {
  if (now - seenAt <= graceMs) return undefined;
  const before = node.status?.conditions ?? [];
  const types = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];
  if (types.every((type) => conditionOf(before, type)?.status === 'Unknown')) return undefined;
  const at = timestamp(now);
  const unknown = types.map((type): Condition => {
    const known = conditionOf(before, type);
    if (known?.status === 'Unknown') return known;
    return {
      type,
      status: 'Unknown',
      reason: known === undefined ? 'NodeStatusNeverUpdated' : 'NodeStatusUnknown',
      message:
        known === undefined ? 'Kubelet never posted node status.' : 'Kubelet stopped posting node status.',
      lastHeartbeatTime: known?.lastHeartbeatTime ?? at,
      lastTransitionTime: at,
    };
  });
  return [...before.filter(({ type }) => !types.includes(type)), ...unknown];
}

/** The taints that a node's conditions ask for, beside those that others put there. `undefined`: as they are. Pure. */
export function taintsOf(node: Readonly<Node>, now: number): Taint[] | undefined {
  const before = node.spec?.taints ?? [];
  const conditions = node.status?.conditions;
  const wanted: Taint[] = [];
  const ready = conditionOf(conditions, 'Ready')?.status;
  const trouble = ready === 'True' ? undefined : ready === 'Unknown' ? 'unreachable' : 'not-ready';
  if (trouble !== undefined) {
    wanted.push({ key: prefix + trouble, effect: 'NoSchedule' });
    // A node that never reported has no pods to send away.
    if (ready !== undefined) wanted.push({ key: prefix + trouble, effect: 'NoExecute' });
  }
  for (const [type, name] of Object.entries(pressure)) {
    if (conditionOf(conditions, type)?.status === 'True') {
      wanted.push({ key: prefix + name, effect: 'NoSchedule' });
    }
  }
  if (node.spec?.unschedulable === true) wanted.push({ key: `${prefix}unschedulable`, effect: 'NoSchedule' });
  const same = (a: Taint, b: Taint) => a.key === b.key && a.effect === b.effect;
  const kept = before.filter((taint) => !owned.has(taint.key) || wanted.some((one) => same(one, taint)));
  const added = wanted.filter((taint) => !before.some((one) => same(one, taint)));
  if (kept.length === before.length && added.length === 0) return undefined;
  return [...kept, ...added.map((taint) => ({ ...taint, timeAdded: timestamp(now) }))];
}

/**
 * When a pod has to leave a node because of its taints, in milliseconds since the epoch; `undefined`: it may stay. Pure.
 */
export function evictionTime(pod: Readonly<Pod>, taints: readonly Taint[], now: number): number | undefined {
  let due: number | undefined;
  for (const taint of taints) {
    if (taint.effect !== 'NoExecute') continue;
    const tolerations = (pod.spec.tolerations ?? []).filter((one) => tolerates([one], taint));
    if (tolerations.length === 0) return now;
    const limits = tolerations.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
    if (limits.length === 0) continue;
    const since = taint.timeAdded === undefined ? now : Date.parse(taint.timeAdded);
    const at = since + Math.max(0, Math.min(...limits)) * 1000;
    due = Math.min(due ?? at, at);
  }
  return due;
}
