/** What is remembered of a pod, in the words of the API. Pure. */
import type { ContainerRecord, Exit, PodRuntime } from './lifecycle.ts';
import { crashLoopMessage, isStarted } from './lifecycle.ts';
import {
  type Container,
  type ContainerStateStatus,
  type ContainerStatus,
  isSidecar,
  type Pod,
  type PodCondition,
  type PodStatus,
  podTitle,
  type Terminated,
} from './pod.ts';
import { isFinished, isRestarted } from './step.ts';

/** What is reported as the container's ID. */
export function containerID(id: string): string {
  return `process://${id}`;
}

/**
 * @param hostAddress address of the node
 * @param now milliseconds since the epoch, for conditions that change
 * @param before what was reported last, which may be newer than what the watch brought
 */
export function podStatus(
  pod: Pod,
  runtime: PodRuntime,
  hostAddress: string,
  now: number,
  before: PodStatus | undefined = pod.status,
): PodStatus {
  const startTime = timestamp(runtime.acceptedAt);
  const observedGeneration = pod.metadata.generation;
  const { failure, place } = runtime;
  if (failure?.rejected) {
    return {
      observedGeneration,
      phase: 'Failed',
      reason: failure.reason,
      message: failure.message,
      startTime,
    };
  }
  const inits = pod.spec.initContainers ?? [];
  const initContainerStatuses = inits.map((container) => containerStatus(pod, runtime, container));
  const containerStatuses = pod.spec.containers.map((container) => containerStatus(pod, runtime, container));
  const phase = podPhase(pod, runtime, initContainerStatuses, containerStatuses);
  const isOver = place.is === 'cleared';
  const address = place.is === 'made' ? place.address : before?.podIP;
  return {
    observedGeneration,
    // What never ran has failed, once it can run no more.
    phase: isOver && phase !== 'Succeeded' ? 'Failed' : phase,
    reason: failure?.reason,
    message: failure?.message,
    conditions: conditions(pod, runtime, phase, initContainerStatuses, containerStatuses).map((condition) =>
      dated(condition, before, now),
    ),
    hostIP: hostAddress,
    hostIPs: [{ ip: hostAddress }],
    ...(address ? { podIP: address, podIPs: [{ ip: address }] } : {}),
    startTime,
    ...(inits.length > 0 ? { initContainerStatuses } : {}),
    containerStatuses:
      isOver && (runtime.initialized || inits.length === 0)
        ? containerStatuses.map(missed)
        : containerStatuses,
  };
}

/** A container that should have run and never did. */
function missed(status: ContainerStatus): ContainerStatus {
  if (status.state.terminated) return status;
  const message = 'The container could not be located when the pod was terminated';
  return { ...status, state: { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', message } } };
}

type Phase = NonNullable<PodStatus['phase']>;

function podPhase(
  pod: Pod,
  runtime: PodRuntime,
  inits: readonly ContainerStatus[],
  mains: readonly ContainerStatus[],
): Phase {
  const settled = isSettled(runtime);
  if (runtime.failure && settled) return 'Failed';
  const restartPolicy = pod.spec.restartPolicy ?? 'Always';
  const ordinary = inits.filter(({ name }) => !isSidecar(pod.spec, name));
  const failedInit = ordinary.some((status) => (ended(status)?.exitCode ?? 0) !== 0);
  if (failedInit && restartPolicy === 'Never') return settled ? 'Failed' : 'Pending';
  const atEnd = runtime.place.is === 'cleared' || runtime.place.is === 'clearing' || isFinished(pod, runtime);
  if (!runtime.initialized) return 'Pending';
  if (mains.some(({ state, lastState }) => state.waiting && !lastState.terminated)) return 'Pending';
  if (mains.some(({ state }) => state.running)) return 'Running';
  // A pod that was asked to end is over when its processes are, whatever its restart policy says.
  if (restartPolicy === 'Always' && !atEnd) return 'Running';
  if (mains.every((status) => ended(status)?.exitCode === 0)) {
    return settled ? 'Succeeded' : 'Running';
  }
  if (restartPolicy === 'Never' || atEnd) return settled ? 'Failed' : 'Running';
  return 'Running';
}

/** No process of the pod is left. The phase becomes final only then. */
function isSettled(runtime: PodRuntime): boolean {
  return Object.values(runtime.containers).every(
    ({ state }) => state.is === 'exited' || state.is === 'waiting',
  );
}

function ended(status: ContainerStatus): Terminated | undefined {
  return status.state.terminated ?? (status.state.waiting ? status.lastState.terminated : undefined);
}

function containerStatus(pod: Pod, runtime: PodRuntime, container: Container): ContainerStatus {
  const { name } = container;
  const record = runtime.containers[name] ?? { state: { is: 'waiting' }, runs: 0 };
  const { state } = record;
  const started = isStarted(state);
  const isOrdinaryInit =
    (pod.spec.initContainers ?? []).some((init) => init.name === name) && !isSidecar(pod.spec, name);
  const running = state.is === 'running' || state.is === 'stopping';
  const probed = container.readinessProbe === undefined || (running && state.ready);
  const succeeded = state.is === 'exited' && state.exit.exitCode === 0;
  const rest = state.is === 'starting' ? state.after : state;
  const id = running ? state.id : rest.is === 'exited' ? rest.exit.id : record.last?.id;
  return {
    name,
    image: container.image ?? '',
    imageID: record.imageID ?? '',
    containerID: id === undefined ? undefined : containerID(id),
    // An init container is `ready` when it has done its work.
    ready: isOrdinaryInit ? succeeded : running && started && probed,
    started,
    restartCount: Math.max(0, record.runs - 1),
    ...states(pod, runtime, name, record),
  };
}

function states(
  pod: Pod,
  runtime: PodRuntime,
  name: string,
  record: ContainerRecord,
): { state: ContainerStateStatus; lastState: ContainerStateStatus } {
  const { state, last } = record;
  const lastState = last ? { terminated: terminated(last) } : {};
  const waiting = (reason: string, message?: string) => ({
    state: { waiting: { reason, message } },
    lastState,
  });
  switch (state.is) {
    case 'waiting': {
      if (state.trouble) return waiting(state.trouble.reason, state.trouble.message);
      return waiting((pod.spec.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating');
    }
    case 'starting':
      // A start takes milliseconds; what was there before stays in view until it has an outcome.
      return states(pod, runtime, name, { ...record, state: state.after });
    case 'running':
    case 'stopping':
      return { state: { running: { startedAt: timestamp(state.startedAt) } }, lastState };
    case 'exited':
      if (state.retryAt === undefined) {
        if (!state.shown || !isRestarted(pod.spec, name, state.exit) || runtime.stoppingSince !== undefined) {
          return { state: { terminated: terminated(state.exit) }, lastState };
        }
        return { state: { waiting: state.shown }, lastState: { terminated: terminated(state.exit) } };
      }
      return {
        state: {
          waiting: {
            reason: 'CrashLoopBackOff',
            message: crashLoopMessage(state.retryAt - state.exit.finishedAt, name, podTitle(pod)),
          },
        },
        lastState: { terminated: terminated(state.exit) },
      };
  }
}

function terminated(exit: Exit): Terminated {
  return {
    exitCode: exit.exitCode,
    reason: exit.reason,
    message: exit.message === '' ? undefined : exit.message,
    startedAt: exit.startedAt === undefined ? undefined : timestamp(exit.startedAt),
    finishedAt: timestamp(exit.finishedAt),
    containerID: exit.id === undefined ? undefined : containerID(exit.id),
  };
}

interface Verdict {
  readonly status: 'True' | 'False';
  readonly reason?: string;
  readonly message?: string;
}
const yes: Verdict = { status: 'True' };

function conditions(
  pod: Pod,
  runtime: PodRuntime,
  phase: Phase,
  inits: readonly ContainerStatus[],
  mains: readonly ContainerStatus[],
): readonly PodCondition[] {
  const sidecars = inits.filter(({ name }) => isSidecar(pod.spec, name));
  const ready = containersReady(phase, [...sidecars, ...mains]);
  const verdicts: Readonly<Record<string, Verdict>> = {
    PodReadyToStartContainers: runtime.place.is === 'made' ? yes : { status: 'False' },
    Initialized: initialized(runtime, phase, inits),
    Ready: ready.status === 'True' ? gatesOpen(pod) : ready,
    ContainersReady: ready,
    PodScheduled: yes,
  };
  const observedGeneration = pod.metadata.generation;
  return Object.entries(verdicts).map(([type, verdict]) => ({ type, ...verdict, observedGeneration }));
}

function dated(condition: PodCondition, before: PodStatus | undefined, now: number): PodCondition {
  const last = before?.conditions?.find(({ type }) => type === condition.type);
  const since = last?.status === condition.status ? last.lastTransitionTime : undefined;
  return { ...condition, lastProbeTime: null, lastTransitionTime: since ?? timestamp(now) };
}

function initialized(runtime: PodRuntime, phase: Phase, inits: readonly ContainerStatus[]): Verdict {
  if (phase === 'Succeeded') return { status: 'True', reason: 'PodCompleted' };
  if (runtime.initialized || inits.length === 0) return yes;
  const incomplete = inits.filter((status) => !status.ready).map(({ name }) => name);
  return {
    status: 'False',
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${incomplete.join(' ')}]`,
  };
}

function containersReady(phase: Phase, statuses: readonly ContainerStatus[]): Verdict {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  const unready = statuses.filter((status) => !status.ready).map(({ name }) => name);
  if (unready.length === 0) return yes;
  const message = `containers with unready status: [${unready.join(' ')}]`;
  return { status: 'False', reason: 'ContainersNotReady', message };
}

function gatesOpen(pod: Pod): Verdict {
  const problems = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (!condition) {
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    }
    return condition.status === 'True'
      ? []
      : [`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`];
  });
  if (problems.length === 0) return yes;
  return { status: 'False', reason: 'ReadinessGatesNotReady', message: problems.join(', ') };
}

/** RFC 3339 in whole seconds, as the API writes times. */
export function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
}
