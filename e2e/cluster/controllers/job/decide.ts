import { condition, setCondition, timestamp } from '../deployment/status.ts';
import {
  type Condition,
  conditionOf,
  isActive,
  isFinished,
  isReady,
  type Job,
  type JobStatus,
  type Pod,
} from '../machinery/kinds.ts';

/** Keeps a pod that ended until its end is counted. */
export const trackingFinalizer = 'batch.kubernetes.io/job-tracking';

const firstBackoffMs = 10_000;
const lastBackoffMs = 600_000;

export interface Plan {
  readonly status: JobStatus;
  readonly create: number;
  readonly remove: readonly Readonly<Pod>[];
  /** Pods whose end is written down: their finalizer can go once the status is stored. */
  readonly release: readonly Readonly<Pod>[];
  readonly requeueAfter: number | undefined;
}

type Outcome =
  | { readonly kind: 'running' }
  | { readonly kind: 'complete'; readonly reason: string; readonly message: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly message: string };

/** Whether a job has ended, one way or the other. */
export function isOver(job: Readonly<Job>): boolean {
  return ['Complete', 'Failed'].some((type) => conditionOf(job.status?.conditions, type)?.status === 'True');
}

/** When a finished job is to be deleted, in milliseconds since the epoch; `undefined`: never. Pure. */
export function expiry(job: Readonly<Job>): number | undefined {
  const ttl = job.spec.ttlSecondsAfterFinished;
  if (ttl === undefined || !isOver(job)) return undefined;
  const ends = (job.status?.conditions ?? []).filter(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
  return Date.parse(ends[0]?.lastTransitionTime ?? '') + ttl * 1000;
}

/** What is to be done about a job, given its pods. Pure. */
export function decide(job: Readonly<Job>, pods: readonly Readonly<Pod>[], now: number): Plan {
  const before = job.status ?? {};
  const status: JobStatus = { ...before, conditions: [...(before.conditions ?? [])] };
  const suspended = job.spec.suspend === true;
  if (!suspended && status.startTime === undefined) status.startTime = timestamp(now);
  const release = count(status, pods);
  const failures = failuresOf(job, status, pods);
  const active = pods.filter(isActive);
  const outcome = outcomeOf(job, status, active, failures, now);
  let create = 0;
  let remove: readonly Readonly<Pod>[] = [];
  let requeueAfter: number | undefined;
  if (outcome.kind !== 'running') {
    remove = active;
    finish(status, outcome, pods, now);
  } else if (suspended) {
    remove = active;
    delete status.startTime;
  } else {
    const wanted = wantedActive(job, status);
    const missing = wanted - active.length;
    if (missing < 0) remove = active.toSorted(leastUseful).slice(0, -missing);
    else {
      const wait = backoffOf(pods, failures, now);
      if (wait > 0 && missing > 0) requeueAfter = wait;
      else create = missing;
    }
    const deadline = deadlineOf(job, status);
    if (deadline !== undefined) requeueAfter = Math.min(requeueAfter ?? deadline - now, deadline - now);
  }
  markSuspended(job, status, now);
  const left = active.length - remove.length;
  status.active = left + create;
  status.ready = active.filter((pod) => isReady(pod) && !remove.includes(pod)).length;
  status.terminating = pods.filter(
    (pod) => pod.metadata.deletionTimestamp !== undefined && !hasEnded(pod),
  ).length;
  if (status.conditions?.length === 0) delete status.conditions;
  return { status, create, remove, release, requeueAfter };
}

/**
 * Writes down ends that aren't yet, and counts those whose pods were let go since; returns the pods to let go. In these
 * two steps no end is counted twice or lost, whenever we are interrupted.
 */
function count(status: JobStatus, pods: readonly Readonly<Pod>[]): Readonly<Pod>[] {
  const held = new Map(
    pods
      .filter(({ metadata }) => metadata.finalizers?.includes(trackingFinalizer))
      .map((pod) => [pod.metadata.uid ?? '', pod]),
  );
  const uncounted = { succeeded: [] as string[], failed: [] as string[] };
  for (const kind of ['succeeded', 'failed'] as const) {
    for (const uid of status.uncountedTerminatedPods?.[kind] ?? []) {
      if (held.has(uid)) uncounted[kind].push(uid);
      else status[kind] = (status[kind] ?? 0) + 1;
    }
  }
  for (const [uid, pod] of held) {
    if (!hasEnded(pod)) continue;
    const kind = pod.status?.phase === 'Succeeded' ? 'succeeded' : 'failed';
    if (!uncounted[kind].includes(uid)) uncounted[kind].push(uid);
  }
  status.uncountedTerminatedPods = {
    ...(uncounted.succeeded.length > 0 ? { succeeded: uncounted.succeeded } : {}),
    ...(uncounted.failed.length > 0 ? { failed: uncounted.failed } : {}),
  };
  const written = new Set([...uncounted.succeeded, ...uncounted.failed]);
  return [...held].filter(([uid]) => written.has(uid)).map(([, pod]) => pod);
}

/** Whether a pod is through: its containers have ended, or it was deleted by force and only we still hold it. */
function hasEnded(pod: Readonly<Pod>): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  return isFinished(pod) || (deletionTimestamp !== undefined && deletionGracePeriodSeconds === 0);
}

function succeededOf(status: JobStatus): number {
  return (status.succeeded ?? 0) + (status.uncountedTerminatedPods?.succeeded?.length ?? 0);
}

/** Failed pods, and restarts in pods that restart by themselves. */
function failuresOf(job: Readonly<Job>, status: JobStatus, pods: readonly Readonly<Pod>[]): number {
  const failed = (status.failed ?? 0) + (status.uncountedTerminatedPods?.failed?.length ?? 0);
  if (job.spec.template.spec.restartPolicy !== 'OnFailure') return failed;
  const restarts = pods.flatMap(
    (pod) => pod.status?.containerStatuses?.map((one) => one.restartCount ?? 0) ?? [],
  );
  return failed + restarts.reduce((total, one) => total + one, 0);
}

function outcomeOf(
  job: Readonly<Job>,
  status: JobStatus,
  active: readonly Readonly<Pod>[],
  failures: number,
  now: number,
): Outcome {
  const met = conditionOf(status.conditions, 'SuccessCriteriaMet');
  const target = conditionOf(status.conditions, 'FailureTarget');
  for (const [known, kind] of [
    [conditionOf(status.conditions, 'Complete') ?? met, 'complete'],
    [conditionOf(status.conditions, 'Failed') ?? target, 'failed'],
  ] as const) {
    if (known?.status === 'True') return { kind, reason: known.reason ?? '', message: known.message ?? '' };
  }
  if (failures > (job.spec.backoffLimit ?? 6)) {
    return {
      kind: 'failed',
      reason: 'BackoffLimitExceeded',
      message: 'Job has reached the specified backoff limit',
    };
  }
  const deadline = deadlineOf(job, status);
  if (deadline !== undefined && deadline <= now && job.spec.suspend !== true) {
    return {
      kind: 'failed',
      reason: 'DeadlineExceeded',
      message: 'Job was active longer than specified deadline',
    };
  }
  const { completions } = job.spec;
  const succeeded = succeededOf(status);
  // Without a number, one success says that the work is done; the others may finish theirs.
  const done = completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= completions;
  if (!done) return { kind: 'running' };
  return {
    kind: 'complete',
    reason: 'CompletionsReached',
    message: 'Reached expected number of succeeded pods',
  };
}

/** Says at once what it came to, and that it is over when the last pod has ended and is counted. */
function finish(
  status: JobStatus,
  outcome: Exclude<Outcome, { kind: 'running' }>,
  pods: readonly Readonly<Pod>[],
  now: number,
): void {
  const complete = outcome.kind === 'complete';
  const { reason, message } = outcome;
  put(status, condition(complete ? 'SuccessCriteriaMet' : 'FailureTarget', 'True', reason, message, now));
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const settled = pods.every(hasEnded) && succeeded.length + failed.length === 0;
  if (!settled) return;
  put(status, condition(complete ? 'Complete' : 'Failed', 'True', reason, message, now));
  if (complete) status.completionTime ??= timestamp(now);
}

/** Job conditions carry a probe time in place of an update time. */
function put(status: JobStatus, { lastUpdateTime: _, ...rest }: Condition): void {
  const known = conditionOf(status.conditions, rest.type);
  if (known?.status === rest.status && known.reason === rest.reason) return;
  setCondition(status, {
    ...rest,
    ...(rest.lastTransitionTime ? { lastProbeTime: rest.lastTransitionTime } : {}),
  });
}

function wantedActive(job: Readonly<Job>, status: JobStatus): number {
  const parallelism = job.spec.parallelism ?? 1;
  const { completions } = job.spec;
  const succeeded = succeededOf(status);
  if (completions === undefined) return succeeded > 0 ? 0 : parallelism;
  return Math.max(0, Math.min(parallelism, completions - succeeded));
}

/** Milliseconds until the next pod may be tried after failures. */
function backoffOf(pods: readonly Readonly<Pod>[], failures: number, now: number): number {
  if (failures === 0) return 0;
  const ends = pods
    .filter((pod) => pod.status?.phase === 'Failed')
    .map((pod) =>
      Math.max(...(pod.status?.conditions ?? []).map((one) => Date.parse(one.lastTransitionTime ?? ''))),
    )
    .filter(Number.isFinite);
  if (ends.length === 0) return 0;
  const pause = Math.min(firstBackoffMs * 2 ** (failures - 1), lastBackoffMs);
  return Math.max(...ends) + pause - now;
}

function deadlineOf(job: Readonly<Job>, status: JobStatus): number | undefined {
  const seconds = job.spec.activeDeadlineSeconds;
  if (seconds === undefined || status.startTime === undefined) return undefined;
  return Date.parse(status.startTime) + seconds * 1000;
}

function markSuspended(job: Readonly<Job>, status: JobStatus, now: number): void {
  const known = conditionOf(status.conditions, 'Suspended');
  if (job.spec.suspend === true) {
    if (known?.status !== 'True')
      put(status, condition('Suspended', 'True', 'JobSuspended', 'Job suspended', now));
  } else if (known?.status === 'True') {
    put(status, condition('Suspended', 'False', 'JobResumed', 'Job resumed', now));
  }
}

function leastUseful(a: Readonly<Pod>, b: Readonly<Pod>): number {
  return (
    Number(isReady(a)) - Number(isReady(b)) ||
    (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? '')
  );
}
