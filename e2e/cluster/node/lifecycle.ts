/**
 * What a node remembers of a pod, and how news change it. Pure: no clock, no processes, no API.
 * `step.ts` decides what to do next from this; `pod-status.ts` tells it in the words of the API.
 */
import type { BackOff } from './back-off.ts';
import { goDuration, tried } from './back-off.ts';
import { allContainers, type Pod } from './pod.ts';
import type { PodPolicy } from './policy.ts';

/** How a run of a container ended. Times are milliseconds since the epoch. */
export interface Exit {
  readonly exitCode: number;
  readonly reason: 'Completed' | 'Error' | 'OOMKilled' | 'StartError' | 'Unknown';
  readonly message?: string | undefined;
  readonly startedAt?: number | undefined;
  readonly finishedAt: number;
  readonly id?: string | undefined;
}

export type ProbeKind = 'startup' | 'readiness' | 'liveness';

interface Run {
  readonly id: string;
  readonly startedAt: number;
  /** The startup probe passed, or there is none. */
  readonly passed: boolean;
  /** The postStart hook is through, or there is none. */
  readonly hooked: boolean;
  /** What the readiness probe said last. */
  readonly ready: boolean;
}

/** Without a process. */
export type RestState =
  /** Never started, or something stands in the way of the start. */
  | { readonly is: 'waiting'; readonly trouble?: Trouble }
  | {
      readonly is: 'exited';
      readonly exit: Exit;
      /** We ended it because of a probe or hook: its restart is not counted against it yet. */
      readonly killed?: boolean;
      /** What the status says instead of the exit, until the restart. */
      readonly shown?: { readonly reason: string; readonly message: string };
      /** There while the restart is held back. */
      readonly retryAt?: number;
    };

export type RunState =
  | RestState
  /** The start is under way; `started`, `exited`, `pullFailed`, `blocked` or `abandoned` follows. */
  | { readonly is: 'starting'; readonly after: RestState }
  /** `sick` tells why it must be stopped, until it is. */
  | ({ readonly is: 'running'; readonly sick?: Sickness } & Run)
  /** Asked to end; at `killAt` it is killed. */
  | ({ readonly is: 'stopping'; readonly killAt: number; readonly sick?: Sickness } & Run);

export interface Sickness {
  readonly cause: ProbeKind | 'postStart';
  /** What the hook said. */
  readonly message: string;
}

export interface Trouble {
  readonly reason: string;
  readonly message: string;
  readonly since: number;
  readonly retryAt: number;
}

export interface ContainerRecord {
  readonly state: RunState;
  /** The run before the current one. */
  readonly last?: Exit;
  /** Runs so far. */
  readonly runs: number;
  readonly imageID?: string;
  readonly restart?: BackOff;
  readonly pull?: BackOff;
}

export interface PodRuntime {
  readonly acceptedAt: number;
  /** Volumes, address and devices. */
  readonly place:
    | { readonly is: 'none'; readonly retryAt?: number }
    | { readonly is: 'making' }
    | { readonly is: 'made'; readonly address: string }
    | { readonly is: 'clearing' }
    | { readonly is: 'cleared' };
  readonly containers: Readonly<Record<string, ContainerRecord>>;
  /** All init containers were through once. */
  readonly initialized: boolean;
  /** The pod is coming down since then. */
  readonly stoppingSince?: number;
  /** Why the pod as a whole is `Failed`. */
  readonly failure?: { readonly reason: string; readonly message: string; readonly rejected: boolean };
  /** The API object vanished before the pod had ended. */
  readonly gone: boolean;
  /** The last API call of this pod's life was made. */
  readonly deleting: boolean;
}

export type News =
  | { readonly type: 'rejected'; readonly reason: string; readonly message: string }
  | { readonly type: 'placed'; readonly address: string }
  | { readonly type: 'placeFailed'; readonly retryAt: number }
  | { readonly type: 'cleared' }
  | { readonly type: 'gone' }
  | {
      readonly type: 'pullFailed';
      readonly container: string;
      readonly reason: string;
      readonly message: string;
    }
  | {
      readonly type: 'blocked';
      readonly container: string;
      readonly reason: string;
      readonly message: string;
    }
  /** The start was given up because the pod comes down. */
  | { readonly type: 'abandoned'; readonly container: string }
  | { readonly type: 'started'; readonly container: string; readonly id: string; readonly imageID: string }
  | { readonly type: 'hooked'; readonly container: string; readonly id: string; readonly failure?: string }
  | {
      readonly type: 'probed';
      readonly container: string;
      readonly id: string;
      readonly probe: ProbeKind;
      readonly ok: boolean;
    }
  | { readonly type: 'exited'; readonly container: string; readonly exit: Exit; readonly imageID?: string };

/** The end of the run before the current or coming one. */
function lastExit({ state, last }: ContainerRecord): { readonly last?: Exit } {
  const exit = state.is === 'starting' && state.after.is === 'exited' ? state.after.exit : last;
  return exit ? { last: exit } : {};
}

export function newRuntime(pod: Pod, now: number): PodRuntime {
  const containers: Record<string, ContainerRecord> = {};
  for (const { name } of allContainers(pod.spec)) containers[name] = { state: { is: 'waiting' }, runs: 0 };
  // A pod that ran under an earlier life of this node: its processes ended with that. Init containers run again.
  for (const { name, containerID, restartCount } of pod.status?.initContainerStatuses ?? []) {
    if (containerID && containers[name])
      containers[name] = { state: { is: 'waiting' }, runs: restartCount + 1 };
  }
  for (const { name, containerID, restartCount, state } of pod.status?.containerStatuses ?? []) {
    if (!containerID || !containers[name]) continue;
    const startedAt = state.running ? Date.parse(state.running.startedAt) : undefined;
    const id = containerID.replace(/^process:\/\//, '');
    const exit: Exit = { exitCode: 255, reason: 'Unknown', startedAt, finishedAt: now, id };
    containers[name] = { state: { is: 'exited', exit }, runs: restartCount + 1 };
  }
  const startTime = pod.status?.startTime;
  return {
    acceptedAt: startTime ? Date.parse(startTime) : now,
    place: { is: 'none' },
    containers,
    initialized: false,
    gone: false,
    deleting: false,
  };
}

/** What is known after the news. News of a run that is over changes nothing. */
export function hear(pod: Pod, runtime: PodRuntime, news: News, now: number, policy: PodPolicy): PodRuntime {
  switch (news.type) {
    case 'rejected':
      return { ...runtime, failure: { reason: news.reason, message: news.message, rejected: true } };
    case 'placed':
      return { ...runtime, place: { is: 'made', address: news.address } };
    case 'placeFailed':
      return { ...runtime, place: { is: 'none', retryAt: news.retryAt } };
    case 'cleared':
      return { ...runtime, place: { is: 'cleared' } };
    case 'gone':
      return { ...runtime, gone: true };
    default: {
      const record = runtime.containers[news.container];
      const spec = allContainers(pod.spec).find((container) => container.name === news.container);
      if (!record || !spec) return runtime;
      const changed = hearOfContainer(record, news, now, policy, {
        probed: spec.startupProbe !== undefined,
        hook: spec.lifecycle?.postStart !== undefined,
      });
      if (changed === record) return runtime;
      return { ...runtime, containers: { ...runtime.containers, [news.container]: changed } };
    }
  }
}

type ContainerNews = Extract<News, { readonly container: string }>;

function hearOfContainer(
  record: ContainerRecord,
  news: ContainerNews,
  now: number,
  policy: PodPolicy,
  waits: { readonly probed: boolean; readonly hook: boolean },
): ContainerRecord {
  const { state } = record;
  switch (news.type) {
    case 'pullFailed': {
      const pull = tried(record.pull, policy.imageBackOff, now, now);
      const trouble = { reason: news.reason, message: news.message, since: now, retryAt: now + pull.delay };
      return { ...record, ...lastExit(record), pull, state: { is: 'waiting', trouble } };
    }
    case 'blocked': {
      const trouble = { reason: news.reason, message: news.message, since: now, retryAt: now + policy.retry };
      return { ...record, ...lastExit(record), state: { is: 'waiting', trouble } };
    }
    case 'abandoned':
      return { ...record, state: state.is === 'starting' ? state.after : state };
    case 'started':
      return {
        ...record,
        ...lastExit(record),
        imageID: news.imageID,
        runs: record.runs + 1,
        state: {
          is: 'running',
          id: news.id,
          startedAt: now,
          passed: !waits.probed,
          hooked: !waits.hook,
          ready: false,
        },
      };
    case 'exited':
      if (state.is !== 'starting' && state.is !== 'running' && state.is !== 'stopping') return record;
      if (state.is === 'starting') {
        // A process that could not be started counts as a run that failed at once.
        const shown = { reason: 'RunContainerError', message: news.exit.message ?? '' };
        const imageID = news.imageID ?? record.imageID;
        return {
          ...record,
          ...lastExit(record),
          ...(imageID ? { imageID } : {}),
          runs: record.runs + 1,
          state: { is: 'exited', exit: news.exit, shown },
        };
      }
      return {
        ...record,
        state: {
          is: 'exited',
          exit: news.exit,
          ...(state.is === 'stopping' && state.sick ? { killed: true } : {}),
          ...(state.sick?.cause === 'postStart'
            ? { shown: { reason: 'PostStartHookError', message: state.sick.message } }
            : {}),
        },
      };
    case 'hooked':
      if (state.is !== 'running' || state.id !== news.id) return record;
      if (news.failure === undefined) return { ...record, state: { ...state, hooked: true } };
      return { ...record, state: { ...state, sick: { cause: 'postStart', message: news.failure } } };
    case 'probed':
      if ((state.is !== 'running' && state.is !== 'stopping') || state.id !== news.id) return record;
      if (news.probe === 'readiness') {
        return state.ready === news.ok ? record : { ...record, state: { ...state, ready: news.ok } };
      }
      if (state.is !== 'running') return record;
      if (!news.ok) return { ...record, state: { ...state, sick: { cause: news.probe, message: '' } } };
      return news.probe === 'startup' ? { ...record, state: { ...state, passed: true } } : record;
  }
}

/** Whether the container counts as started: its process runs, its hook is through, its startup probe passed. */
export function isStarted(state: RunState): boolean {
  return (state.is === 'running' || state.is === 'stopping') && state.passed && state.hooked;
}

export function crashLoopMessage(delay: number, container: string, title: string): string {
  return `back-off ${goDuration(delay)} restarting failed container=${container} pod=${title}`;
}
