/**
 * What the pods of a version say about its failures: an ordered chain of named checks, the first that speaks wins.
 */

import { type FailureReason, failureReasons, type TerminationMessage } from '#contract';
import type { ContainerStateTerminated, ContainerStatus, Deployment, Pod } from '../api/kubernetes.ts';
import type { VersionFailureReason } from '../api/reasons.ts';

/** Why a version does not work. */
export interface Failure {
  readonly reason: VersionFailureReason;
  readonly message: string;
  readonly pod?: string;
  readonly exitCode?: number;
  /** Waiting will not mend it: a candidate has failed. Otherwise the start-up deadline decides. */
  readonly terminal: boolean;
}

/** Restarts after which a container that is not ready counts as crash-looping, whatever the kubelet calls it. */
const crashLoopRestarts = 3;

/** Reasons of `fetch` that another try may mend. */
const transient: ReadonlySet<FailureReason> = new Set([
  'ArtifactUnreachable',
  'ArtifactUnauthorized',
  'VolumeFull',
]);

/** The termination message of a process of our image, or undefined when the text is something else. */
export function parseTermination(text: string | undefined): TerminationMessage | undefined {
  if (text === undefined || !text.startsWith('{')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const message = value as Record<string, unknown>;
  if (message['ok'] === true) {
    const { digest, bytes, seconds } = message;
    if (typeof digest !== 'string' || !/^(sha256:)?[0-9a-f]{64}$/.test(digest)) return undefined;
    if (typeof bytes !== 'number' || typeof seconds !== 'number') return undefined;
    return { ok: true, digest: digest.replace(/^(sha256:)?/, 'sha256:'), bytes, seconds };
  }
  const reason = failureReasons.find((known) => known === message['reason']);
  if (message['ok'] !== false || reason === undefined) return undefined;
  return { ok: false, reason, message: String(message['message'] ?? '').slice(0, 1024) };
}

type Check = (pod: Pod) => Failure | undefined;

/** In order of what explains most: what our own process says, then what the kubelet says, then the scheduler. */
const checks: readonly Check[] = [
  explainedByProcess,
  outOfMemory,
  crashLoop,
  fetchFailed,
  imagePullFailed,
  podConfigurationInvalid,
  podFailed,
  unschedulable,
];

/** The failure of one pod, if it has one. A pod that is ready has none. */
export function podFailure(pod: Pod): Failure | undefined {
  for (const check of checks) {
    const failure = check(pod);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

/** The failure that explains most among the pods' and the Deployment's: terminal ones first. */
export function workloadFailure(
  pods: readonly Pod[],
  deployment: Deployment | undefined,
): Failure | undefined {
  const failures = pods.flatMap((pod) => podFailure(pod) ?? []);
  return failures.find((failure) => failure.terminal) ?? failures[0] ?? podsForbidden(deployment);
}

const containers = (pod: Pod): readonly ContainerStatus[] => [
  ...(pod.status?.initContainerStatuses ?? []),
  ...(pod.status?.containerStatuses ?? []),
];

/** The end of a container that is not running happily now: the present one, or the last one if it is not ready. */
function endOf(status: ContainerStatus): ContainerStateTerminated | undefined {
  return status.state?.terminated ?? (status.ready ? undefined : status.lastState?.terminated);
}

function explainedByProcess(pod: Pod): Failure | undefined {
  for (const status of containers(pod)) {
    const end = endOf(status);
    const message = parseTermination(end?.message);
    if (end === undefined || message === undefined || message.ok) continue;
    return {
      reason: message.reason,
      message: message.message,
      pod: pod.metadata.name,
      exitCode: end.exitCode,
      terminal: message.reason === 'InternalError' ? isLooping(status) : !transient.has(message.reason),
    };
  }
  return undefined;
}

function outOfMemory(pod: Pod): Failure | undefined {
  for (const status of containers(pod)) {
    const end = endOf(status);
    if (end?.reason !== 'OOMKilled') continue;
    return {
      reason: 'OutOfMemory',
      message: `container ${status.name} was killed at its memory limit`,
      pod: pod.metadata.name,
      exitCode: end.exitCode,
      terminal: true,
    };
  }
  return undefined;
}

const isBackingOff = (status: ContainerStatus): boolean =>
  status.state?.waiting?.reason === 'CrashLoopBackOff';

const isLooping = (status: ContainerStatus): boolean =>
  isBackingOff(status) || (!status.ready && status.restartCount >= crashLoopRestarts);

function crashLoop(pod: Pod): Failure | undefined {
  for (const status of pod.status?.containerStatuses ?? []) {
    if (!isLooping(status)) continue;
    const backingOff = isBackingOff(status);
    const end = endOf(status);
    const how = end === undefined ? '' : `, last with exit code ${end.exitCode}`;
    return {
      reason: 'CrashLoop',
      message: `container ${status.name} ended ${status.restartCount + (backingOff ? 1 : 0)} times${how}${detail(end?.message)}`,
      pod: pod.metadata.name,
      ...(end === undefined ? {} : { exitCode: end.exitCode }),
      terminal: true,
    };
  }
  return undefined;
}

function fetchFailed(pod: Pod): Failure | undefined {
  for (const status of pod.status?.initContainerStatuses ?? []) {
    const end = endOf(status);
    if (end === undefined || end.exitCode === 0) continue;
    return {
      reason: 'ArtifactFetchFailed',
      message: `container ${status.name} ended with exit code ${end.exitCode}${detail(end.message)}`,
      pod: pod.metadata.name,
      exitCode: end.exitCode,
      terminal: false,
    };
  }
  return undefined;
}

function imagePullFailed(pod: Pod): Failure | undefined {
  const reasons = [
    'ErrImagePull',
    'ImagePullBackOff',
    'InvalidImageName',
    'ErrImageNeverPull',
    'ImageInspectError',
  ];
  for (const status of containers(pod)) {
    const waiting = status.state?.waiting;
    if (waiting?.reason === undefined || !reasons.includes(waiting.reason)) continue;
    return {
      reason: 'ImagePullFailed',
      message: `container ${status.name}: ${waiting.reason}${detail(waiting.message)}`,
      pod: pod.metadata.name,
      terminal: waiting.reason === 'InvalidImageName',
    };
  }
  return undefined;
}

function podConfigurationInvalid(pod: Pod): Failure | undefined {
  const reasons = ['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError'];
  for (const status of containers(pod)) {
    const waiting = status.state?.waiting;
    if (waiting?.reason === undefined || !reasons.includes(waiting.reason)) continue;
    return {
      reason: 'PodConfigurationInvalid',
      message: `container ${status.name}: ${waiting.reason}${detail(waiting.message)}`,
      pod: pod.metadata.name,
      terminal: false,
    };
  }
  return undefined;
}

function podFailed(pod: Pod): Failure | undefined {
  if (pod.status?.phase !== 'Failed') return undefined;
  return {
    reason: 'PodFailed',
    message: `${pod.status.reason ?? 'the pod failed'}${detail(pod.status.message)}`,
    pod: pod.metadata.name,
    terminal: false,
  };
}

/** What the scheduler says of a pod for which it has found no node; undefined for any other pod. */
export function unscheduled({ status }: Pod): { readonly message?: string } | undefined {
  const scheduled = status?.conditions?.find((condition) => condition.type === 'PodScheduled');
  return scheduled?.status === 'False' && scheduled.reason === 'Unschedulable' ? scheduled : undefined;
}

function unschedulable(pod: Pod): Failure | undefined {
  const said = unscheduled(pod);
  if (said === undefined) return undefined;
  return {
    reason: 'Unschedulable',
    message: said.message ?? 'no node can take the pod',
    pod: pod.metadata.name,
    terminal: false,
  };
}

function podsForbidden(deployment: Deployment | undefined): Failure | undefined {
  const failure = deployment?.status?.conditions?.find((condition) => condition.type === 'ReplicaFailure');
  if (failure?.status !== 'True') return undefined;
  return { reason: 'PodsForbidden', message: failure.message ?? 'pods cannot be created', terminal: false };
}

const detail = (text: string | undefined): string =>
  text === undefined || text.trim() === '' ? '' : `: ${text.trim().slice(0, 512)}`;
