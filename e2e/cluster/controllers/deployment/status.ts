import {
  type Condition,
  type ConditionStatus,
  conditionOf,
  type Deployment,
  type DeploymentStatus,
  type ReplicaSet,
} from '../machinery/kinds.ts';
import { fenceposts } from './arithmetic.ts';

/** `progressDeadlineSeconds` that means none. */
const noDeadline = 2 ** 31 - 1;

/** RFC 3339 to the second, as Kubernetes writes times. */
export function timestamp(now: number): string {
  return new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Pods that the replica sets of a deployment are told to have, together. */
export function totalReplicas(replicaSets: readonly Readonly<ReplicaSet>[]): number {
  return replicaSets.reduce((total, set) => total + (set.spec.replicas ?? 0), 0);
}

/** The counts of a deployment's status, from those of its replica sets. */
export function countStatus(
  deployment: Readonly<Deployment>,
  all: readonly Readonly<ReplicaSet>[],
  newest: Readonly<ReplicaSet> | undefined,
  now: number,
): DeploymentStatus {
  const count = (field: 'replicas' | 'readyReplicas' | 'availableReplicas' | 'terminatingReplicas') =>
    all.reduce((total, set) => total + (set.status?.[field] ?? 0), 0);
  const available = count('availableReplicas');
  const status: DeploymentStatus = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: count('replicas'),
    updatedReplicas: newest?.status?.replicas ?? 0,
    readyReplicas: count('readyReplicas'),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, totalReplicas(all) - available),
    terminatingReplicas: count('terminatingReplicas'),
    conditions: [...(deployment.status?.conditions ?? [])],
  };
  if (deployment.status?.collisionCount !== undefined) {
    status.collisionCount = deployment.status.collisionCount;
  }
  const desired = deployment.spec.replicas ?? 1;
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const spare =
    deployment.spec.strategy?.type === 'Recreate'
      ? 0
      : fenceposts(desired, rolling?.maxSurge, rolling?.maxUnavailable).unavailable;
  if (available >= desired - spare) {
    setCondition(
      status,
      condition('Available', 'True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.', now),
    );
  } else {
    setCondition(
      status,
      condition(
        'Available',
        'False',
        'MinimumReplicasUnavailable',
        'Deployment does not have minimum availability.',
        now,
      ),
    );
  }
  return status;
}

/**
 * The status during and after a rollout, with `Progressing` and `ReplicaFailure`, and the milliseconds after
 * which the progress deadline has to be looked at again.
 */
export function rolloutStatus(
  deployment: Readonly<Deployment>,
  all: readonly Readonly<ReplicaSet>[],
  newest: Readonly<ReplicaSet> | undefined,
  now: number,
): { status: DeploymentStatus; requeueAfter: number | undefined } {
  const status = countStatus(deployment, all, newest, now);
  const before = deployment.status ?? {};
  const progressing = conditionOf(before.conditions, 'Progressing');
  const settled =
    status.replicas === status.updatedReplicas && progressing?.reason === 'NewReplicaSetAvailable';
  const deadline = deployment.spec.progressDeadlineSeconds;
  const what =
    newest === undefined
      ? `Deployment "${deployment.metadata.name}"`
      : `ReplicaSet "${newest.metadata.name}"`;
  let requeueAfter: number | undefined;
  if (deadline !== undefined && deadline !== noDeadline && !settled) {
    const dueAt = Date.parse(progressing?.lastUpdateTime ?? '') + deadline * 1000;
    if (isComplete(deployment, status)) {
      setCondition(
        status,
        condition(
          'Progressing',
          'True',
          'NewReplicaSetAvailable',
          `${what} has successfully progressed.`,
          now,
        ),
      );
    } else if (hasProgressed(before, status)) {
      const next = condition('Progressing', 'True', 'ReplicaSetUpdated', `${what} is progressing.`, now);
      if (progressing?.status === 'True' && progressing.lastTransitionTime !== undefined) {
        next.lastTransitionTime = progressing.lastTransitionTime;
      }
      status.conditions = (status.conditions ?? []).filter((one) => one.type !== 'Progressing');
      status.conditions.push(next);
      requeueAfter = deadline * 1000;
    } else if (
      progressing !== undefined &&
      (progressing.reason === 'ProgressDeadlineExceeded' || dueAt <= now)
    ) {
      setCondition(
        status,
        condition(
          'Progressing',
          'False',
          'ProgressDeadlineExceeded',
          `${what} has timed out progressing.`,
          now,
        ),
      );
    } else if (progressing !== undefined && progressing.reason !== 'NewReplicaSetAvailable') {
      requeueAfter = dueAt - now;
    }
  }
  const failure = all
    .map((set) => conditionOf(set.status?.conditions, 'ReplicaFailure'))
    .find((one) => one?.status === 'True');
  if (failure === undefined) {
    status.conditions = (status.conditions ?? []).filter((one) => one.type !== 'ReplicaFailure');
  } else {
    setCondition(
      status,
      condition('ReplicaFailure', 'True', failure.reason ?? '', failure.message ?? '', now),
    );
  }
  return { status, requeueAfter: requeueAfter === undefined ? undefined : Math.max(requeueAfter, 1000) };
}

/** Whether every pod is of the newest template, wanted and available. */
function isComplete(deployment: Readonly<Deployment>, status: DeploymentStatus): boolean {
  const desired = deployment.spec.replicas ?? 1;
  return (
    status.updatedReplicas === desired && status.replicas === desired && status.availableReplicas === desired
  );
}

function hasProgressed(before: DeploymentStatus, now: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(now) < old(before) ||
    (now.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

export function condition(
  type: string,
  status: ConditionStatus,
  reason: string,
  message: string,
  now: number,
): Condition {
  const at = timestamp(now);
  return { type, status, lastUpdateTime: at, lastTransitionTime: at, reason, message };
}

/** Puts a condition in, unless it says nothing new; the transition time moves only with the status. */
export function setCondition(status: { conditions?: Condition[] }, next: Condition): void {
  const before = conditionOf(status.conditions, next.type);
  if (before?.status === next.status && before.reason === next.reason && before.message === next.message) {
    return;
  }
  const kept = (status.conditions ?? []).filter((one) => one.type !== next.type);
  const since = before?.status === next.status ? before.lastTransitionTime : next.lastTransitionTime;
  kept.push(since === undefined ? next : { ...next, lastTransitionTime: since });
  status.conditions = kept;
}
