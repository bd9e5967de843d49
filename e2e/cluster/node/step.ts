/** What a node does next for a pod. Pure: from the pod, what is remembered and the time to actions and the next look. */
import { nextTryAt, tried } from './back-off.ts';
import { type ContainerRecord, type Exit, isStarted, type PodRuntime, type RunState } from './lifecycle.ts';
import { allContainers, type Container, isSidecar, type Pod, type PodSpec, podTitle } from './pod.ts';
import type { PodPolicy } from './policy.ts';

export type Action =
  /** Make volumes, address and devices; `placed`, `placeFailed` or `rejected` follows. */
  | { readonly do: 'place' }
  | { readonly do: 'start'; readonly container: string; readonly run: number }
  /** Hooks, SIGTERM, and SIGKILL at `killAt`; `exited` follows. */
  | { readonly do: 'stop'; readonly container: string; readonly killAt: number; readonly why: string }
  /** The end of a stop under way moved closer. */
  | { readonly do: 'hasten'; readonly container: string; readonly killAt: number }
  /** Give back what `place` took; `cleared` follows. */
  | { readonly do: 'clear' }
  /** Report the last status, then remove the API object and forget the pod. */
  | { readonly do: 'delete' }
  /** Forget the pod: its API object is gone already. */
  | { readonly do: 'forget' }
  | {
      readonly do: 'event';
      readonly type: 'Normal' | 'Warning';
      readonly reason: string;
      readonly message: string;
      readonly container?: string;
    };

export interface Step {
  readonly runtime: PodRuntime;
  readonly actions: readonly Action[];
  /** When to look again without news; milliseconds since the epoch. */
  readonly wakeAt?: number;
}

/** Milliseconds that ErrImagePull shows before it turns into ImagePullBackOff. */
const pullErrorShows = 1_000;

export function step(pod: Pod, runtime: PodRuntime, now: number, policy: PodPolicy): Step {
  const draft = new Draft(pod, runtime, now, policy);
  draft.noticeEnd();
  if (draft.isStopping) draft.comeDown();
  else draft.goUp();
  return draft.result();
}

/** Whether a run that ended so is followed by another. */
export function isRestarted(spec: PodSpec, name: string, exit: Exit): boolean {
  if (isSidecar(spec, name)) return true;
  const restartPolicy = spec.restartPolicy ?? 'Always';
  if (restartPolicy === 'Never') return false;
  const isInit = (spec.initContainers ?? []).some((container) => container.name === name);
  return exit.exitCode !== 0 || (restartPolicy === 'Always' && !isInit);
}

/** The pod has run to its end: nothing of it will be started again. */
export function isFinished(pod: Pod, runtime: PodRuntime): boolean {
  const ended = (name: string, failed: boolean) => {
    const state = runtime.containers[name]?.state;
    if (state?.is !== 'exited' || isRestarted(pod.spec, name, state.exit)) return false;
    return !failed || state.exit.exitCode !== 0;
  };
  const inits = (pod.spec.initContainers ?? []).filter((container) => container.restartPolicy !== 'Always');
  if (inits.some(({ name }) => ended(name, true))) return true;
  return pod.spec.containers.every(({ name }) => ended(name, false));
}

/** A step in the making: the only place that changes anything, and nobody sees it before it is done. */
class Draft {
  readonly #pod: Pod;
  readonly #now: number;
  readonly #policy: PodPolicy;
  #runtime: PodRuntime;
  readonly #containers: Record<string, ContainerRecord>;
  readonly #actions: Action[] = [];
  #wakeAt: number | undefined;

  constructor(pod: Pod, runtime: PodRuntime, now: number, policy: PodPolicy) {
    this.#pod = pod;
    this.#now = now;
    this.#policy = policy;
    this.#runtime = runtime;
    this.#containers = { ...runtime.containers };
  }

  get isStopping(): boolean {
    return this.#runtime.stoppingSince !== undefined;
  }

  result(): Step {
    const runtime = { ...this.#runtime, containers: this.#containers };
    return {
      runtime,
      actions: this.#actions,
      ...(this.#wakeAt === undefined ? {} : { wakeAt: this.#wakeAt }),
    };
  }

  noticeEnd(): void {
    const { activeDeadlineSeconds } = this.#pod.spec;
    if (activeDeadlineSeconds !== undefined && !this.#runtime.failure && !this.isStopping) {
      const deadline = this.#runtime.acceptedAt + activeDeadlineSeconds * 1000;
      if (this.#now < deadline) this.#wake(deadline);
      else {
        const message = 'Pod was active on the node longer than the specified deadline';
        this.#runtime = {
          ...this.#runtime,
          failure: { reason: 'DeadlineExceeded', message, rejected: false },
        };
        this.#event('Normal', 'DeadlineExceeded', message);
      }
    }
    if (this.isStopping) return;
    const asked = this.#runtime.gone || this.#pod.metadata.deletionTimestamp !== undefined;
    if (asked || this.#runtime.failure || isFinished(this.#pod, this.#runtime)) {
      this.#runtime = { ...this.#runtime, stoppingSince: this.#now };
    }
  }

  goUp(): void {
    const { place } = this.#runtime;
    if (place.is === 'none') {
      if (place.retryAt !== undefined && place.retryAt > this.#now) return this.#wake(place.retryAt);
      this.#runtime = { ...this.#runtime, place: { is: 'making' } };
      this.#actions.push({ do: 'place' });
    }
    if (place.is !== 'made') return;
    const { initContainers = [], containers } = this.#pod.spec;
    for (const container of initContainers) {
      const sidecar = container.restartPolicy === 'Always';
      // Once through, only sidecars are kept up; an ordinary init container never runs again.
      if (this.#runtime.initialized) {
        if (sidecar) this.#keepUp(container);
        continue;
      }
      const state = this.#state(container.name);
      const through = sidecar ? isStarted(state) : state.is === 'exited' && state.exit.exitCode === 0;
      if (!through || sidecar) this.#keepUp(container);
      if (!through) return;
    }
    this.#runtime = { ...this.#runtime, initialized: true };
    for (const container of containers) this.#keepUp(container);
  }

  comeDown(): void {
    const killAt = this.#killAt();
    const sidecars = allContainers(this.#pod.spec).filter(({ name }) => isSidecar(this.#pod.spec, name));
    const others = allContainers(this.#pod.spec).filter((container) => !sidecars.includes(container));
    const isAtRest = ({ name }: Container) => {
      const { is } = this.#state(name);
      return is === 'waiting' || is === 'exited';
    };
    for (const container of others) this.#bringDown(container, killAt);
    if (!others.every(isAtRest)) return;
    // Sidecars end one by one, the last one first, after everything that may need them.
    for (const sidecar of sidecars.toReversed()) {
      this.#bringDown(sidecar, killAt);
      if (!isAtRest(sidecar)) return;
    }
    this.#finish();
  }

  #finish(): void {
    const { place, deleting, gone } = this.#runtime;
    if (place.is === 'making' || place.is === 'clearing') return;
    if (place.is === 'made') {
      this.#runtime = { ...this.#runtime, place: { is: 'clearing' } };
      this.#actions.push({ do: 'clear' });
      return;
    }
    if (place.is === 'none') this.#runtime = { ...this.#runtime, place: { is: 'cleared' } };
    if (deleting || !(gone || this.#pod.metadata.deletionTimestamp !== undefined)) return;
    this.#runtime = { ...this.#runtime, deleting: true };
    this.#actions.push({ do: gone ? 'forget' : 'delete' });
  }

  /** Starts what is not running and may, and stops what a probe gave up on. */
  #keepUp(container: Container): void {
    const record = this.#record(container.name);
    const { state } = record;
    switch (state.is) {
      case 'waiting': {
        const { trouble } = state;
        if (!trouble || trouble.retryAt <= this.#now) return this.#start(container, record);
        this.#wake(trouble.retryAt);
        if (trouble.reason !== 'ErrImagePull') return;
        if (this.#now < trouble.since + pullErrorShows) return this.#wake(trouble.since + pullErrorShows);
        const backingOff = `Back-off pulling image ${JSON.stringify(container.image ?? '')}`;
        this.#put(container.name, {
          ...record,
          state: {
            is: 'waiting',
            trouble: {
              ...trouble,
              reason: 'ImagePullBackOff',
              message: `${backingOff}: ErrImagePull: ${trouble.message}`,
            },
          },
        });
        this.#event('Normal', 'BackOff', backingOff, container.name);
        this.#event('Warning', 'Failed', 'Error: ImagePullBackOff', container.name);
        return;
      }
      case 'exited':
        return this.#restart(container, record, state);
      case 'running': {
        if (!state.sick) return;
        const { cause } = state.sick;
        const probe = cause === 'postStart' ? undefined : container[`${cause}Probe`];
        const grace =
          probe?.terminationGracePeriodSeconds ?? this.#pod.spec.terminationGracePeriodSeconds ?? 30;
        const why =
          cause === 'postStart'
            ? 'FailedPostStartHook'
            : `Container ${container.name} failed ${cause} probe, will be restarted`;
        return this.#stop(container.name, record, state, this.#now + grace * 1000, why);
      }
      case 'stopping':
        return this.#wake(state.killAt);
      case 'starting':
        return;
    }
  }

  #restart(container: Container, record: ContainerRecord, state: Extract<RunState, { is: 'exited' }>): void {
    const { exit } = state;
    if (!isRestarted(this.#pod.spec, container.name, exit)) return;
    const { restartBackOff } = this.#policy;
    // As kubelets do it: one that we killed is restarted by the merits of the run before it, and only if that
    // does not allow it, it waits from its own end on.
    const judged = state.killed && state.retryAt === undefined ? record.last?.finishedAt : exit.finishedAt;
    if (judged !== undefined && nextTryAt(record.restart, restartBackOff, judged) > this.#now) {
      const retryAt = nextTryAt(record.restart, restartBackOff, exit.finishedAt);
      this.#wake(retryAt);
      if (state.retryAt !== undefined) return;
      this.#put(container.name, { ...record, state: { ...state, retryAt } });
      const message = `Back-off restarting failed container ${container.name} in pod ${podTitle(this.#pod)}`;
      this.#event('Warning', 'BackOff', message, container.name);
      return;
    }
    if (judged === undefined) return this.#start(container, record);
    this.#start(container, { ...record, restart: tried(record.restart, restartBackOff, judged, this.#now) });
  }

  #start(container: Container, record: ContainerRecord): void {
    if (record.state.is !== 'waiting' && record.state.is !== 'exited') return;
    this.#put(container.name, { ...record, state: { is: 'starting', after: record.state } });
    this.#actions.push({ do: 'start', container: container.name, run: record.runs });
  }

  #stop(
    name: string,
    record: ContainerRecord,
    state: Extract<RunState, { is: 'running' }>,
    killAt: number,
    why: string,
  ): void {
    this.#put(name, { ...record, state: { ...state, is: 'stopping', killAt } });
    this.#actions.push({ do: 'stop', container: name, killAt, why });
  }

  #bringDown({ name }: Container, killAt: number): void {
    const record = this.#record(name);
    const { state } = record;
    if (state.is === 'running') this.#stop(name, record, state, killAt, `Stopping container ${name}`);
    else if (state.is === 'stopping' && killAt < state.killAt) {
      this.#put(name, { ...record, state: { ...state, killAt } });
      this.#actions.push({ do: 'hasten', container: name, killAt });
    } else if (state.is === 'exited' && state.retryAt !== undefined) {
      this.#put(name, { ...record, state: { is: 'exited', exit: state.exit } });
    }
  }

  /** By when everything must have ended. An object that vanished was deleted by force: one second is left. */
  #killAt(): number {
    const { deletionGracePeriodSeconds } = this.#pod.metadata;
    const own = this.#pod.spec.terminationGracePeriodSeconds ?? 30;
    const grace = this.#runtime.gone ? 1 : Math.max(1, deletionGracePeriodSeconds ?? own);
    return (this.#runtime.stoppingSince ?? this.#now) + grace * 1000;
  }

  #record(name: string): ContainerRecord {
    return this.#containers[name] ?? { state: { is: 'waiting' }, runs: 0 };
  }

  #state(name: string): RunState {
    return this.#record(name).state;
  }

  #put(name: string, record: ContainerRecord): void {
    this.#containers[name] = record;
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void {
    this.#actions.push({ do: 'event', type, reason, message, ...(container ? { container } : {}) });
  }

  #wake(at: number): void {
    this.#wakeAt = Math.min(this.#wakeAt ?? at, at);
  }
}
