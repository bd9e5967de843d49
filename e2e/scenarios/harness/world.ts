/**
 * What a namespace looks like now, kept by watches, and waiting for it to look otherwise. Nothing here sleeps or polls: a
 * wait ends on the event that fulfils it.
 */
import type { KubeClient } from '../../../kube-client/client.ts';
import { type Change, Informer } from '../../../kube-client/informer.ts';
import type { Model } from '../../../operator/api/generated/model.ts';
import type { ModelVersion } from '../../../operator/api/generated/model-version.ts';
import { type ContainerStatus, condition, type Event, kinds, type Pod, type Service } from './kinds.ts';

export class World {
  readonly namespace: string;
  readonly #models: Informer<Model>;
  readonly #versions: Informer<ModelVersion>;
  readonly #pods: Informer<Pod>;
  readonly #services: Informer<Service>;
  readonly #events: Informer<Event>;
  readonly #waiting = new Set<() => void>();
  readonly #transcript: string[] = [];

  private constructor(client: KubeClient, namespace: string) {
    this.namespace = namespace;
    this.#models = new Informer<Model>(client, kinds.models, { namespace });
    this.#versions = new Informer<ModelVersion>(client, kinds.versions, { namespace });
    this.#pods = new Informer<Pod>(client, kinds.pods, { namespace });
    this.#services = new Informer<Service>(client, kinds.services, { namespace });
    this.#events = new Informer<Event>(client, kinds.events, { namespace });
  }

  /** Resolves when every watch has seen what is there. The kinds must be installed. */
  static async watch(client: KubeClient, namespace: string): Promise<World> {
    const world = new World(client, namespace);
    for (const informer of world.#informers()) {
      informer.subscribe(() => {
        for (const look of [...world.#waiting]) look();
      });
      informer.start();
    }
    world.#transcribe();
    await Promise.all(world.#informers().map(({ synced }) => synced));
    return world;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#informers().map((informer) => informer.stop()));
  }

  #informers() {
    return [this.#models, this.#versions, this.#pods, this.#services, this.#events] as const;
  }

  model(name: string): Model | undefined {
    return this.#models.get(`${this.namespace}/${name}`);
  }

  version(name: string): ModelVersion | undefined {
    return this.#versions.get(`${this.namespace}/${name}`);
  }

  versions(): readonly ModelVersion[] {
    return this.#versions.list();
  }

  service(name: string): Service | undefined {
    return this.#services.get(`${this.namespace}/${name}`);
  }

  pod(name: string): Pod | undefined {
    return this.#pods.get(`${this.namespace}/${name}`);
  }

  pods(labels: Readonly<Record<string, string>> = {}): readonly Pod[] {
    return this.#pods
      .list()
      .filter(({ metadata }) =>
        Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value),
      );
  }

  events(about: {
    readonly kind: string;
    readonly name: string;
    readonly reason?: string;
  }): readonly Event[] {
    return this.#events
      .list()
      .filter(
        ({ involvedObject, reason }) =>
          involvedObject.kind === about.kind &&
          involvedObject.name === about.name &&
          (about.reason === undefined || reason === about.reason),
      );
  }

  /** Tells of every change of a Model as its watch does. */
  onModel(handler: (change: Change<Model>) => void): () => void {
    return this.#models.subscribe(handler);
  }

  /** Tells of every change of a ModelVersion as its watch does. */
  onVersion(handler: (change: Change<ModelVersion>) => void): () => void {
    return this.#versions.subscribe(handler);
  }

  /** Tells of every change of a Pod as its watch does. */
  onPod(handler: (change: Change<Pod>) => void): () => void {
    return this.#pods.subscribe(handler);
  }

  /**
   * The first truthy value of `look`, which is asked now and after every event.
   * @param what ends the sentence "waited 30 s for …", should it never come.
   */
  until<T>(what: string, look: () => T | undefined | false, timeoutMs = 60_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#waiting.delete(attempt);
        clearTimeout(timer);
        act();
      };
      const attempt = () => {
        try {
          const found = look();
          if (found) settle(() => resolve(found));
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const timer = setTimeout(() => {
        settle(() => reject(new Error(`waited ${timeoutMs / 1000} s for ${what}\n${this.describe()}`)));
      }, timeoutMs);
      this.#waiting.add(attempt);
      attempt();
    });
  }

  /** Notes what decides about requests, with the time that it was seen. */
  #transcribe(): void {
    const note = (text: string) => this.#transcript.push(`${new Date().toISOString()} ${text}`);
    this.onPod(({ key, now, before }) => {
      const ready = (pod: Pod | undefined) => condition(pod, 'Ready')?.status ?? 'gone';
      if (ready(now) !== ready(before)) note(`pod ${key} Ready=${ready(now)}`);
    });
    let last = '';
    this.onModel(({ key, now }) => {
      const { traffic = [], routers } = now?.status ?? {};
      const shares = traffic.map(({ version, weight }) => `${version}:${weight}`).join(' ');
      const text = `model ${key} traffic [${shares}] generation ${routers?.generation} followed by ${routers?.acked} of ${routers?.total}`;
      if (text !== last) note(text);
      last = text;
    });
  }

  /** The latest changes of readiness and traffic, each with its time. */
  transcript(): string {
    return this.#transcript.slice(-60).join('\n');
  }

  /** The state of everything that matters here, for the message of a failure. */
  describe(): string {
    const conditions = (object: Model | ModelVersion | Pod) =>
      (object.status?.conditions ?? [])
        .map(({ type, status, reason }) => `${type}=${status}${reason ? `(${reason})` : ''}`)
        .join(' ');
    return [
      ...this.#models.list().map((model) => {
        const traffic = model.status?.traffic?.map(({ version, weight }) => `${version}:${weight}`).join(' ');
        return `model ${model.metadata.name} ${model.status?.phase} traffic [${traffic}] ${conditions(model)}`;
      }),
      ...this.#versions.list().map((version) => {
        const { phase, weight, lastFailure } = version.status ?? {};
        return `version ${version.metadata.name} ${phase} ${weight} ${conditions(version)} ${lastFailure?.message ?? ''}`;
      }),
      ...this.#pods.list().flatMap((pod) => {
        const { phase, initContainerStatuses = [], containerStatuses = [] } = pod.status ?? {};
        const troubles = [...initContainerStatuses, ...containerStatuses].flatMap(
          (each) => trouble(each) ?? [],
        );
        return [`pod ${pod.metadata.name} ${phase} ${conditions(pod)}`, ...troubles];
      }),
      ...this.#events
        .list()
        .slice(-15)
        .map(({ type, reason, message, involvedObject }) => {
          return `event ${type} ${reason} ${involvedObject.kind}/${involvedObject.name}: ${message}`;
        }),
      this.transcript(),
    ].join('\n');
  }
}

/** What is wrong with a container, on one line. */
function trouble({ name, restartCount, state, lastState }: ContainerStatus): string | undefined {
  const end = state?.terminated ?? lastState?.terminated;
  const waiting = state?.waiting?.reason;
  if (waiting === undefined && (end === undefined || end.exitCode === 0)) return undefined;
  const last =
    end === undefined ? '' : `, last exit code ${end.exitCode} ${end.message?.slice(0, 500) ?? ''}`;
  return `  container ${name} restarted ${restartCount} times${waiting ? `, ${waiting}` : ''}${last}`;
}
