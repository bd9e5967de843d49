/**
 * Runs one pod: asks `step` what to do, does it, and feeds the news back. All state changes happen here, one after
 * the other; what takes time runs beside and comes back as news.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseQuantity } from '../quantity.ts';
import type { Rejection } from './admission.ts';
import { StartError } from './container-process.ts';
import { ContainerRun } from './container-run.ts';
import { PullError, prepare, resolveImage } from './container-start.ts';
import type { NodeContext } from './context.ts';
import type { DevicesOfPod } from './devices.ts';
import type { Place } from './downward.ts';
import { ConfigError } from './environment.ts';
import { referenceTo } from './event-recorder.ts';
import { hear, type News, newRuntime, type PodRuntime } from './lifecycle.ts';
import { lookupsOf, tokensOf } from './lookups.ts';
import { allContainers, type Container, type Pod, podKey } from './pod.ts';
import { removePod } from './pod-removal.ts';
import { podStatus } from './pod-status.ts';
import { StatusWriter } from './status-writer.ts';
import { type Action, step } from './step.ts';
import { Volumes } from './volumes.ts';

export class PodWorker {
  readonly #node: NodeContext;
  readonly #onForgotten: () => void;
  readonly #status: StatusWriter;
  readonly #folder: string;
  readonly #runs = new Map<string, ContainerRun>();
  #pod: Pod;
  #runtime: PodRuntime;
  #volumes: Volumes | undefined;
  #devices: DevicesOfPod | undefined;
  #address: string | undefined;
  #turning = false;
  #again = false;
  #closed = false;
  #cancelWake: (() => void) | undefined;
  #cancelRefresh: (() => void) | undefined;

  constructor(node: NodeContext, pod: Pod, rejection: Rejection | undefined, onForgotten: () => void) {
    this.#node = node;
    this.#pod = pod;
    this.#onForgotten = onForgotten;
    // Short, because sockets in volumes may have paths of 107 characters at most.
    this.#folder = join(node.rootDir, 'pods', pod.metadata.uid.slice(0, 13));
    this.#status = new StatusWriter({ api: node.api, clock: node.clock, logger: node.logger, pod });
    this.#runtime = newRuntime(pod, node.clock.now());
    if (rejection) {
      this.#event('Warning', rejection.reason, rejection.message);
      this.#hear({ type: 'rejected', ...rejection, message: `Pod was rejected: ${rejection.message}` });
    } else this.#turn();
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Whether the pod still counts against the node's resources. */
  get holdsResources(): boolean {
    return !this.#runtime.failure?.rejected && this.#runtime.place.is !== 'cleared';
  }

  update(pod: Pod): void {
    this.#pod = pod;
    this.#turn();
  }

  /** The API object vanished. */
  gone(): void {
    if (this.#runtime.deleting) return;
    this.#hear({ type: 'gone' });
  }

  /** The run of a container: the current one, or the one before. */
  logFile(container: string, previous: boolean): { path: string; run?: ContainerRun } | undefined {
    const record = this.#runtime.containers[container];
    if (!record) return undefined;
    const current = this.#runs.get(container);
    const number = record.runs - (previous ? 2 : 1);
    if (number < 0) return undefined;
    const path = this.#logPath(container, number);
    return { path, ...(current && !previous ? { run: current } : {}) };
  }

  /** Why the container does not run, in the API's words. */
  waitingReason(container: string): string | undefined {
    const { initContainerStatuses = [], containerStatuses = [] } = this.#status.latest ?? {};
    return [...initContainerStatuses, ...containerStatuses].find(({ name }) => name === container)?.state
      .waiting?.reason;
  }

  run(container: string): ContainerRun | undefined {
    return this.#runs.get(container);
  }

  get address(): string | undefined {
    return this.#address;
  }

  /** Process groups that have a memory limit, with it in bytes. */
  limits(): readonly { readonly group: number; readonly bytes: number; readonly exceed: () => void }[] {
    return [...this.#runs].flatMap(([name, run]) => {
      const limit = this.#container(name)?.resources?.limits?.['memory'];
      if (limit === undefined) return [];
      return [{ group: run.group, bytes: parseQuantity(limit), exceed: () => run.kill('outOfMemory') }];
    });
  }

  /** Kills every process and reports no more. The API object stays. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelWake?.();
    this.#cancelRefresh?.();
    this.#status.close();
    const runs = [...this.#runs.values()];
    for (const run of runs) run.kill('nodeStops');
    await Promise.all(runs.map((run) => run.ended));
    await this.#status.flush();
    this.#release();
  }

  #hear(news: News): void {
    if (this.#closed) return;
    this.#runtime = hear(this.#pod, this.#runtime, news, this.#node.clock.now(), this.#node.policy);
    this.#turn();
  }

  #turn(): void {
    this.#again = true;
    if (this.#turning || this.#closed) return;
    this.#turning = true;
    while (this.#again) {
      this.#again = false;
      const now = this.#node.clock.now();
      const { runtime, actions, wakeAt } = step(this.#pod, this.#runtime, now, this.#node.policy);
      this.#runtime = runtime;
      this.#cancelWake?.();
      this.#cancelWake =
        wakeAt === undefined ? undefined : this.#node.clock.after(wakeAt - now, () => this.#turn());
      this.#status.offer(podStatus(this.#pod, runtime, this.#node.address, now, this.#status.latest));
      for (const action of actions) this.#do(action);
    }
    this.#turning = false;
  }

  #do(action: Action): void {
    switch (action.do) {
      case 'place':
        return void this.#makePlace();
      case 'start':
        return void this.#start(action.container, action.run);
      case 'stop':
        this.#event('Normal', 'Killing', action.why, action.container);
        return void this.#runs.get(action.container)?.stop(action.killAt);
      case 'hasten':
        return this.#runs.get(action.container)?.hasten(action.killAt);
      case 'clear':
        this.#cancelRefresh?.();
        this.#release();
        return queueMicrotask(() => this.#hear({ type: 'cleared' }));
      case 'delete':
        return void this.#delete();
      case 'forget':
        return void this.#forget();
      case 'event':
        return this.#event(action.type, action.reason, action.message, action.container);
    }
  }

  async #makePlace(): Promise<void> {
    const { api, clock, addresses, devices, allocatable, address, policy } = this.#node;
    try {
      this.#devices ??= devices.allocate(this.#pod);
      this.#address ??= this.#pod.spec.hostNetwork ? address : addresses.allocate(this.#pod.status?.podIP);
      const current = () => this.#pod;
      this.#volumes ??= new Volumes({
        folder: this.#folder,
        // Labels and annotations may change while the pod lives.
        get pod() {
          return current();
        },
        place: { podAddress: this.#address, hostAddress: address, allocatable },
        lookups: lookupsOf(api, this.#pod.metadata.namespace),
        tokens: tokensOf(api, this.#pod, () => clock.now()),
        now: () => clock.now(),
        allowHostPath: this.#node.allowHostPath,
        kubeconfig: this.#node.kubeconfig,
      });
      mkdirSync(this.#folder, { recursive: true, mode: 0o711 });
      await this.#volumes.make();
      this.#refreshLater();
      this.#hear({ type: 'placed', address: this.#address });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const reason = error instanceof ConfigError ? 'FailedMount' : 'FailedCreatePodSandBox';
      this.#event('Warning', reason, message);
      this.#hear({ type: 'placeFailed', retryAt: clock.now() + policy.retry });
    }
  }

  #refreshLater(): void {
    if (this.#closed || !(this.#pod.spec.volumes ?? []).length) return;
    this.#cancelRefresh = this.#node.clock.after(this.#node.policy.volumeRefresh, async () => {
      for (const failure of (await this.#volumes?.refresh()) ?? [])
        this.#event('Warning', 'FailedMount', failure);
      if (this.#runtime.place.is === 'made') this.#refreshLater();
    });
  }

  async #start(name: string, run: number): Promise<void> {
    const container = this.#container(name);
    if (!container || !this.#volumes || this.#address === undefined) return;
    const folder = join(this.#folder, 'c', name);
    const reference = container.image ?? '';
    const say = (type: 'Normal' | 'Warning', reason: string, message: string) =>
      this.#event(type, reason, message, name);
    try {
      const image = resolveImage(this.#node, container);
      if (container.imagePullPolicy === 'Always') say('Normal', 'Pulling', `Pulling image "${reference}"`);
      say(
        'Normal',
        'Pulled',
        container.imagePullPolicy === 'Always'
          ? `Successfully pulled image "${reference}" in 0s (0s including waiting). Image size: 0 bytes.`
          : `Container image "${reference}" already present on machine and can be accessed by the pod`,
      );
      const place: Place = {
        podAddress: this.#address,
        hostAddress: this.#node.address,
        allocatable: this.#node.allocatable,
      };
      const prepared = await prepare(container, image, {
        pod: this.#pod,
        node: this.#node,
        place,
        lookups: lookupsOf(this.#node.api, this.#pod.metadata.namespace),
        volumes: this.#volumes,
        devices: this.#devices?.get(name),
        folder,
        run,
      });
      if (this.#closed) return;
      // The pod may have been asked to end meanwhile.
      if (this.#runtime.stoppingSince !== undefined)
        return this.#hear({ type: 'abandoned', container: name });
      say('Normal', 'Created', 'Container created');
      const id = randomBytes(32).toString('hex');
      const started = new ContainerRun({
        id,
        container,
        address: this.#address,
        ...prepared,
        logFile: this.#logPath(name, run),
        clock: this.#node.clock,
        onVerdict: (probe, ok) => this.#hear({ type: 'probed', container: name, id, probe, ok }),
        onHooked: (failure) => {
          if (failure !== undefined) say('Warning', 'FailedPostStartHook', 'PostStartHook failed');
          this.#hear({ type: 'hooked', container: name, id, ...(failure === undefined ? {} : { failure }) });
        },
        onEnd: (exit) => {
          this.#runs.delete(name);
          this.#hear({ type: 'exited', container: name, exit });
        },
        onEvent: say,
      });
      this.#runs.set(name, started);
      say('Normal', 'Started', 'Container started');
      this.#hear({ type: 'started', container: name, id, imageID: imageIDOf(reference) });
      started.begin();
    } catch (error) {
      this.#failStart(name, reference, error);
    }
  }

  #failStart(name: string, reference: string, error: unknown): void {
    const say = (reason: string, message: string) => this.#event('Warning', reason, message, name);
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof PullError) {
      if (error.reason === 'ErrImagePull') {
        this.#event('Normal', 'Pulling', `Pulling image "${reference}"`, name);
        say('Failed', `Failed to pull image "${reference}": ${message}`);
      } else if (error.reason === 'InvalidImageName') say('InspectFailed', message);
      else say('ErrImageNeverPull', message);
      say('Failed', `Error: ${error.reason}`);
      this.#hear({ type: 'pullFailed', container: name, reason: error.reason, message });
    } else if (error instanceof StartError) {
      say('Failed', `Error: ${message}`);
      const id = randomBytes(32).toString('hex');
      const finishedAt = this.#node.clock.now();
      const exit = { exitCode: 128, reason: 'StartError', message, id, startedAt: 0, finishedAt } as const;
      this.#hear({ type: 'exited', container: name, exit, imageID: imageIDOf(reference) });
    } else {
      say('Failed', `Error: ${message}`);
      this.#hear({ type: 'blocked', container: name, reason: 'CreateContainerConfigError', message });
    }
  }

  #release(): void {
    this.#node.devices.release(this.#pod.metadata.uid);
    this.#devices = undefined;
    if (this.#address !== undefined && !this.#pod.spec.hostNetwork)
      this.#node.addresses.release(this.#address);
    this.#address = undefined;
  }

  async #delete(): Promise<void> {
    // Whoever watches the pod learns how it ended before it is gone.
    await this.#status.flush();
    await removePod(this.#pod, this.#node, () => this.#closed);
    await this.#forget();
  }

  async #forget(): Promise<void> {
    this.#closed = true;
    this.#cancelWake?.();
    this.#cancelRefresh?.();
    this.#status.close();
    await this.#volumes
      ?.clear()
      .catch((error: unknown) =>
        this.#node.logger.warn('volumes not removed', { pod: podKey(this.#pod), error: String(error) }),
      );
    this.#onForgotten();
  }

  #container(name: string): Container | undefined {
    return allContainers(this.#pod.spec).find((container) => container.name === name);
  }

  #logPath(container: string, run: number): string {
    return join(this.#folder, 'c', container, `${run}.log`);
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void {
    if (this.#closed) return;
    this.#node.recorder.record({ about: referenceTo(this.#pod, container), type, reason, message });
  }
}

/** Looks like a digest, and is the same for the same reference. */
function imageIDOf(reference: string): string {
  const digest = createHash('sha256').update(reference).digest('hex');
  return `${reference.replace(/@.*$/, '')}@sha256:${digest}`;
}
