import {
  availableAt,
  type Condition,
  conditionOf,
  isActive,
  isReady,
  type Pod,
  type ReplicaSet,
  type ReplicaSetStatus,
} from '../machinery/kinds.ts';
import { matches } from '../machinery/selector.ts';

/** What a replica set does about its pods. */
export interface Plan {
  readonly create: number;
  readonly remove: readonly Readonly<Pod>[];
}

/** How many pods to create, or which to delete: those that do least good first. Pure. */
export function decide(set: Readonly<ReplicaSet>, pods: readonly Readonly<Pod>[]): Plan {
  if (set.metadata.deletionTimestamp !== undefined) return { create: 0, remove: [] };
  const active = pods.filter(isActive);
  const missing = (set.spec.replicas ?? 1) - active.length;
  if (missing >= 0) return { create: missing, remove: [] };
  const perNode = new Map<string, number>();
  for (const pod of active) {
    const node = pod.spec.nodeName ?? '';
    perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  return { create: 0, remove: active.toSorted(byUse(perNode)).slice(0, -missing) };
}

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** Order in which pods are given up, least useful first. */
function byUse(perNode: ReadonlyMap<string, number>): (a: Readonly<Pod>, b: Readonly<Pod>) => number {
  const keys: ((pod: Readonly<Pod>) => number)[] = [
    (pod) => (pod.spec.nodeName ? 1 : 0),
    (pod) => phaseRank[pod.status?.phase ?? 'Pending'] ?? 1,
    (pod) => (isReady(pod) ? 1 : 0),
    (pod) =>
      Number.parseInt(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? '0', 10),
    (pod) => -(perNode.get(pod.spec.nodeName ?? '') ?? 0),
    // Ready for longer is worth more, and so is running without restarts.
    (pod) =>
      -Date.parse(conditionOf(pod.status?.conditions, 'Ready')?.lastTransitionTime ?? '1970-01-01T00:00:00Z'),
    (pod) =>
      -(pod.status?.containerStatuses ?? []).reduce(
        (most, container) => Math.max(most, container.restartCount ?? 0),
        0,
      ),
    (pod) => -Date.parse(pod.metadata.creationTimestamp ?? '1970-01-01T00:00:00Z'),
  ];
  return (a, b) => {
    for (const key of keys) {
      const difference = key(a) - key(b);
      if (difference !== 0) return difference;
    }
    return (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '');
  };
}

/**
 * The status by the pods there are, and the milliseconds after which the next ready pod becomes available.
 * `failure` is why creating or deleting pods failed, if it did.
 */
export function statusOf(
  set: Readonly<ReplicaSet>,
  pods: readonly Readonly<Pod>[],
  failure: { reason: string; message: string } | undefined,
  now: number,
): { status: ReplicaSetStatus; requeueAfter: number | undefined } {
  const active = pods.filter(isActive);
  const minReady = set.spec.minReadySeconds ?? 0;
  let requeueAfter: number | undefined;
  let availableReplicas = 0;
  for (const pod of active) {
    const at = availableAt(pod, minReady);
    if (at === undefined) continue;
    if (at <= now) availableReplicas += 1;
    else requeueAfter = Math.min(requeueAfter ?? Number.POSITIVE_INFINITY, at - now);
  }
  const conditions = failureConditions(set.status?.conditions ?? [], failure, now);
  const status: ReplicaSetStatus = {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) =>
      matches({ matchLabels: set.spec.template.metadata?.labels ?? {} }, pod.metadata.labels),
    ).length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas,
    terminatingReplicas: pods.filter(
      (pod) => pod.metadata.deletionTimestamp !== undefined && !isFinishedPhase(pod),
    ).length,
    observedGeneration: set.metadata.generation ?? 0,
    ...(conditions.length > 0 ? { conditions } : {}),
  };
  return { status, requeueAfter };
}

function isFinishedPhase(pod: Readonly<Pod>): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

function failureConditions(
  before: readonly Condition[],
  failure: { reason: string; message: string } | undefined,
  now: number,
): Condition[] {
  const others = before.filter((condition) => condition.type !== 'ReplicaFailure');
  if (failure === undefined) return others;
  const known = conditionOf([...before], 'ReplicaFailure');
  const lastTransitionTime = known?.lastTransitionTime ?? new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
  return [...others, { type: 'ReplicaFailure', status: 'True', ...failure, lastTransitionTime }];
}
