import { controllerReference } from '../machinery/claim.ts';
import { conditionOf, type Deployment, type DeploymentStatus, type ReplicaSet } from '../machinery/kinds.ts';
import { fenceposts, nextNew, nextOld, proportional } from './arithmetic.ts';
import { annotations, newestAnnotations, revisionOf } from './revision.ts';
import { condition, countStatus, rolloutStatus, setCondition, totalReplicas } from './status.ts';
import { hashLabel, sameTemplate, templateHash } from './template.ts';

export interface Observed {
  readonly deployment: Readonly<Deployment>;
  /** Replica sets that the deployment owns. */
  readonly sets: readonly Readonly<ReplicaSet>[];
  /** Whether pods of replica sets other than the newest still run, terminating ones included. */
  readonly oldPodsRun: (newest: Readonly<ReplicaSet> | undefined) => boolean;
}

export interface Change {
  readonly set: Readonly<ReplicaSet>;
  readonly replicas: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What a visit does, in this order, and the status it reports. */
export interface Plan {
  readonly create: ReplicaSet | undefined;
  readonly change: readonly Change[];
  readonly remove: readonly Readonly<ReplicaSet>[];
  /** Revision for the deployment's own annotation. */
  readonly revision: string | undefined;
  readonly status: DeploymentStatus;
  readonly requeueAfter: number | undefined;
}

/** What is to be done about a deployment now. Pure. */
export function decide(observed: Observed, now: number): Plan {
  const { deployment } = observed;
  const byAge = [...observed.sets].sort(
    (a, b) =>
      (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
      (a.metadata.name ?? '').localeCompare(b.metadata.name ?? ''),
  );
  const newest = byAge.find((set) => sameTemplate(set.spec.template, deployment.spec.template));
  const old = byAge.filter((set) => set !== newest);
  const all = newest === undefined ? old : [...old, newest];
  if (deployment.metadata.deletionTimestamp !== undefined) {
    return nothing(countStatus(deployment, all, newest, now));
  }
  if (deployment.spec.paused === true || isResized(deployment, all)) {
    const status = countStatus(deployment, all, newest, now);
    markPaused(deployment, status, now);
    return { ...nothing(status), change: resize(deployment, newest, old) };
  }
  return deployment.spec.strategy?.type === 'Recreate'
    ? recreate(observed, newest, old, now)
    : roll(observed, newest, old, now);
}

function roll(
  observed: Observed,
  newest: Readonly<ReplicaSet> | undefined,
  old: readonly Readonly<ReplicaSet>[],
  now: number,
): Plan {
  const { deployment } = observed;
  const posts = postsOf(deployment);
  const desired = deployment.spec.replicas ?? 1;
  const oldSizes = old.map(sizeOf);
  if (newest === undefined) {
    return create(deployment, old, nextNew(desired, posts, 0, oldSizes), now);
  }
  const grown = nextNew(desired, posts, newest.spec.replicas ?? 0, oldSizes);
  if (grown !== (newest.spec.replicas ?? 0)) {
    return finish(observed, newest, old, [resizeTo(deployment, newest, grown, old)], now);
  }
  const next = nextOld(desired, posts, sizeOf(newest), oldSizes);
  const shrink = old.flatMap((set, index) =>
    next[index] === (set.spec.replicas ?? 0) ? [] : [resizeTo(deployment, set, next[index] ?? 0)],
  );
  return finish(observed, newest, old, shrink, now);
}

function recreate(
  observed: Observed,
  newest: Readonly<ReplicaSet> | undefined,
  old: readonly Readonly<ReplicaSet>[],
  now: number,
): Plan {
  const { deployment } = observed;
  const alive = old.filter((set) => (set.spec.replicas ?? 0) > 0);
  const desired = deployment.spec.replicas ?? 1;
  if (alive.length > 0 || observed.oldPodsRun(newest)) {
    const down = alive.map((set) => resizeTo(deployment, set, 0));
    return finish(observed, newest, old, down, now);
  }
  if (newest === undefined) return create(deployment, old, desired, now);
  const up = newest.spec.replicas === desired ? [] : [resizeTo(deployment, newest, desired, old)];
  return finish(observed, newest, old, up, now);
}

/** The plan of a visit in which the newest replica set exists, or can't exist yet. */
function finish(
  observed: Observed,
  newest: Readonly<ReplicaSet> | undefined,
  old: readonly Readonly<ReplicaSet>[],
  change: readonly Change[],
  now: number,
): Plan {
  const { deployment } = observed;
  const all = newest === undefined ? old : [...old, newest];
  const { status, requeueAfter } = rolloutStatus(deployment, all, newest, now);
  markPaused(deployment, status, now);
  const changes = [...change];
  let revision: string | undefined;
  if (newest !== undefined) {
    const wanted = newestAnnotations(deployment, newest, old);
    revision = wanted[annotations.revision];
    const touched = changes.some(({ set }) => set === newest);
    const differs = Object.entries(wanted).some(
      ([key, value]) => newest.metadata.annotations?.[key] !== value,
    );
    if (!touched && differs) {
      changes.push({ set: newest, replicas: newest.spec.replicas ?? 0, annotations: wanted });
    }
    const deadline = deployment.spec.progressDeadlineSeconds;
    if (deadline !== undefined && conditionOf(status.conditions, 'Progressing') === undefined) {
      const found = `Found new replica set "${newest.metadata.name}"`;
      setCondition(status, condition('Progressing', 'True', 'FoundNewReplicaSet', found, now));
    }
  }
  const complete =
    status.updatedReplicas === (deployment.spec.replicas ?? 1) &&
    status.replicas === status.updatedReplicas &&
    status.availableReplicas === status.updatedReplicas;
  const remove = complete ? surplus(deployment, old) : [];
  return { create: undefined, change: changes, remove, revision, status, requeueAfter };
}

function create(
  deployment: Readonly<Deployment>,
  old: readonly Readonly<ReplicaSet>[],
  replicas: number,
  now: number,
): Plan {
  const hash = templateHash(deployment.spec.template, deployment.status?.collisionCount ?? 0);
  const labels = { ...deployment.spec.template.metadata?.labels, [hashLabel]: hash };
  const { template, selector } = deployment.spec;
  const wanted = newestAnnotations(deployment, undefined, old);
  const set: ReplicaSet = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace ?? '',
      labels,
      annotations: { ...wanted, ...sizeAnnotations(deployment) },
      ownerReferences: [controllerReference(deployment)],
    },
    spec: {
      replicas,
      minReadySeconds: deployment.spec.minReadySeconds ?? 0,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
  const status = countStatus(deployment, old, undefined, now);
  const deadline = deployment.spec.progressDeadlineSeconds;
  if (deadline !== undefined) {
    const message = `Created new replica set "${set.metadata.name}"`;
    setCondition(status, condition('Progressing', 'True', 'NewReplicaSetCreated', message, now));
  }
  const requeueAfter = deadline === undefined ? undefined : deadline * 1000;
  const revision = wanted[annotations.revision];
  return { create: set, change: [], remove: [], revision, status, requeueAfter };
}

/** Whether the wanted number changed since the replica sets in use got theirs. */
function isResized(deployment: Readonly<Deployment>, all: readonly Readonly<ReplicaSet>[]): boolean {
  const desired = String(deployment.spec.replicas ?? 1);
  return all.some((set) => {
    const before = set.metadata.annotations?.[annotations.desired];
    return (set.spec.replicas ?? 0) > 0 && before !== undefined && before !== desired;
  });
}

function resize(
  deployment: Readonly<Deployment>,
  newest: Readonly<ReplicaSet> | undefined,
  old: readonly Readonly<ReplicaSet>[],
): Change[] {
  const desired = deployment.spec.replicas ?? 1;
  const all = newest === undefined ? old : [...old, newest];
  const active = all.filter((set) => (set.spec.replicas ?? 0) > 0);
  const only = active.length > 1 ? undefined : (active[0] ?? newest ?? old.at(-1));
  if (active.length <= 1) {
    return only === undefined ? [] : onlyDifferent([resizeTo(deployment, only, desired)]);
  }
  const saturated =
    newest?.spec.replicas === desired &&
    newest.metadata.annotations?.[annotations.desired] === String(desired) &&
    newest.status?.availableReplicas === desired;
  if (saturated) {
    return active.filter((set) => set !== newest).map((set) => resizeTo(deployment, set, 0));
  }
  if (deployment.spec.strategy?.type === 'Recreate') return [];
  const posts = postsOf(deployment);
  const grows = desired + posts.surge > totalReplicas(active);
  const ranked = active.toSorted((a, b) => {
    const bySize = (b.spec.replicas ?? 0) - (a.spec.replicas ?? 0);
    const byAge = all.indexOf(a) - all.indexOf(b);
    return bySize !== 0 ? bySize : grows ? -byAge : byAge;
  });
  const shares = ranked.map((set) => ({
    replicas: set.spec.replicas ?? 0,
    maxReplicas: Number.parseInt(set.metadata.annotations?.[annotations.max] ?? '0', 10) || 0,
  }));
  const sizes = proportional(desired, posts, shares);
  return onlyDifferent(ranked.map((set, index) => resizeTo(deployment, set, sizes[index] ?? 0)));
}

/** Old replica sets without pods, beyond the history limit, oldest revision first. */
function surplus(deployment: Readonly<Deployment>, old: readonly Readonly<ReplicaSet>[]) {
  const limit = deployment.spec.revisionHistoryLimit ?? 10;
  const kept = old.filter((set) => set.metadata.deletionTimestamp === undefined);
  const empty = (set: Readonly<ReplicaSet>) =>
    (set.spec.replicas ?? 0) === 0 &&
    (set.status?.replicas ?? 0) === 0 &&
    (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? 0);
  return kept
    .toSorted((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, Math.max(0, kept.length - limit))
    .filter(empty);
}

function markPaused(deployment: Readonly<Deployment>, status: DeploymentStatus, now: number): void {
  if (deployment.spec.progressDeadlineSeconds === undefined) return;
  const reason = conditionOf(status.conditions, 'Progressing')?.reason;
  const paused = deployment.spec.paused === true;
  if (paused && reason !== 'DeploymentPaused' && reason !== 'ProgressDeadlineExceeded') {
    setCondition(
      status,
      condition('Progressing', 'Unknown', 'DeploymentPaused', 'Deployment is paused', now),
    );
  } else if (!paused && reason === 'DeploymentPaused') {
    setCondition(
      status,
      condition('Progressing', 'Unknown', 'DeploymentResumed', 'Deployment is resumed', now),
    );
  }
}

function nothing(status: DeploymentStatus): Plan {
  return { create: undefined, change: [], remove: [], revision: undefined, status, requeueAfter: undefined };
}

function postsOf(deployment: Readonly<Deployment>) {
  const rolling = deployment.spec.strategy?.rollingUpdate;
  return deployment.spec.strategy?.type === 'Recreate'
    ? { surge: 0, unavailable: 0 }
    : fenceposts(deployment.spec.replicas ?? 1, rolling?.maxSurge, rolling?.maxUnavailable);
}

function sizeOf(set: Readonly<ReplicaSet>) {
  return { replicas: set.spec.replicas ?? 0, available: set.status?.availableReplicas ?? 0 };
}

function sizeAnnotations(deployment: Readonly<Deployment>): Record<string, string> {
  const desired = deployment.spec.replicas ?? 1;
  return {
    [annotations.desired]: String(desired),
    [annotations.max]: String(desired + postsOf(deployment).surge),
  };
}

/** A resize of one replica set; the newest one (given the old ones) gets its revision in the same write. */
function resizeTo(
  deployment: Readonly<Deployment>,
  set: Readonly<ReplicaSet>,
  replicas: number,
  old?: readonly Readonly<ReplicaSet>[],
): Change {
  const base = old === undefined ? set.metadata.annotations : newestAnnotations(deployment, set, old);
  return { set, replicas, annotations: { ...base, ...sizeAnnotations(deployment) } };
}

function onlyDifferent(changes: readonly Change[]): Change[] {
  return changes.filter(
    ({ set, replicas, annotations: next }) =>
      (set.spec.replicas ?? 0) !== replicas ||
      Object.entries(next).some(([key, value]) => set.metadata.annotations?.[key] !== value),
  );
}
