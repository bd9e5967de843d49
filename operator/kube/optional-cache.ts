/**
 * Caches of kinds that a cluster need not have. They are filled while it has them: that is asked for again and again,
 * so a kind may come and go, and a cluster without it costs one small request each time.
 */
import { pause } from '../../kube-client/back-off.ts';
import type { KubeClient } from '../../kube-client/client.ts';
import { isNotFound, KubeError } from '../../kube-client/errors.ts';
import { type Change, Informer, type InformerOptions } from '../../kube-client/informer.ts';
import type { Logger } from '../../kube-client/logger.ts';
import type { Resource } from '../../kube-client/resources.ts';
import type { KubernetesObject } from '../api/kubernetes.ts';
import type { OptionalView } from '../reconcile/ports.ts';

export class OptionalCache<T extends KubernetesObject> implements OptionalView<T> {
  readonly resource: Resource;
  readonly #client: KubeClient;
  readonly #options: InformerOptions<T>;
  readonly #handlers = new Set<(change: Change<T>) => void>();
  readonly #stateHandlers = new Set<() => void>();
  /** Undefined while the cluster does not have the kind, or nobody knows. */
  #informer: Informer<T> | undefined;
  #absent = false;

  constructor(client: KubeClient, resource: Resource, options: InformerOptions<T>) {
    this.#client = client;
    this.resource = resource;
    this.#options = options;
  }

  get state(): OptionalView<T>['state'] {
    if (this.#informer?.hasSynced === true) return 'read';
    return this.#absent ? 'missing' : 'unread';
  }

  get(key: string): T | undefined {
    return this.#informer?.get(key);
  }

  list(): readonly T[] {
    return this.#informer?.list() ?? [];
  }

  by(index: string, value: string): readonly T[] {
    return this.#informer?.byIndex(index, value) ?? [];
  }

  /** As `Informer.subscribe`. Objects of a kind that goes are not told of one by one; `onState` tells of that. */
  subscribe(handler: (change: Change<T>) => void): () => void {
    const own = (change: Change<T>) => handler(change);
    for (const object of this.list()) own({ key: keyOf(object), now: object });
    this.#handlers.add(own);
    return () => this.#handlers.delete(own);
  }

  /** Tells when the kind comes, has been read, or goes. */
  onState(handler: () => void): () => void {
    const own = () => handler();
    this.#stateHandlers.add(own);
    return () => this.#stateHandlers.delete(own);
  }

  /**
   * The cluster has the kind, or does not.
   * @param failed is called when the kind cannot be listed or watched: it may be gone.
   * @returns resolves when it has been read, or reading it has failed once
   */
  async serve(served: boolean, failed: () => void): Promise<void> {
    if (served === (this.#informer !== undefined)) {
      if (!served && !this.#absent) this.#become(true);
      return;
    }
    if (!served) {
      const { stopped } = this.#close();
      this.#become(true);
      return stopped;
    }
    const first = Promise.withResolvers<void>();
    const informer = new Informer<T>(this.#client, this.resource, {
      ...this.#options,
      observe: (activity, resource) => {
        this.#options.observe?.(activity, resource);
        if (activity !== 'failure') return;
        first.resolve();
        failed();
      },
    });
    this.#informer = informer;
    informer.subscribe((change) => {
      for (const handler of [...this.#handlers]) handler(change);
    });
    informer.start();
    informer.synced.then(
      () => {
        this.#become(false);
        first.resolve();
      },
      () => first.resolve(),
    );
    this.#become(false);
    await first.promise;
  }

  async stop(): Promise<void> {
    await this.#close().stopped;
  }

  #close(): { readonly stopped: Promise<void> } {
    const informer = this.#informer;
    this.#informer = undefined;
    return { stopped: informer?.stop() ?? Promise.resolve() };
  }

  #become(absent: boolean): void {
    this.#absent = absent;
    for (const handler of [...this.#stateHandlers]) handler();
  }
}

const keyOf = ({ metadata: { namespace, name } }: KubernetesObject): string =>
  namespace === undefined ? name : `${namespace}/${name}`;

export interface DiscoveryOptions {
  readonly client: KubeClient;
  readonly logger: Logger;
  readonly group: string;
  readonly version: string;
  /** Of kinds of this group and version. */
  readonly caches: readonly Pick<OptionalCache<KubernetesObject>, 'resource' | 'serve' | 'stop'>[];
  /** Time between two questions; default 10 s. */
  readonly everyMs?: number;
}

/** Asks which kinds of a group there are, and tells their caches. */
export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly #stopping = new AbortController();
  #hurry = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** Resolves when it is known, or could not be learned, what there is. */
  async start(): Promise<void> {
    await this.#ask();
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#hurry.abort();
    await this.#running;
    await Promise.all(this.#options.caches.map((cache) => cache.stop()));
  }

  async #run(): Promise<void> {
    const { everyMs = 10_000 } = this.#options;
    while (!this.#stopping.signal.aborted) {
      this.#hurry = new AbortController();
      await pause(everyMs, this.#hurry.signal);
      if (!this.#stopping.signal.aborted) await this.#ask();
    }
  }

  async #ask(): Promise<void> {
    const { group, version, caches, logger } = this.#options;
    const { signal } = this.#stopping;
    try {
      const kinds = await this.#kinds(signal);
      // A cache that is filled already answers at once; one that fails asks for another look, once it has begun.
      await Promise.all(caches.map((cache) => cache.serve(kinds.has(cache.resource.kind), this.#doubt)));
    } catch (thrown) {
      if (signal.aborted) return;
      logger.debug(`kinds of ${group}/${version} are not known: ${KubeError.from(thrown).message}`);
    }
  }

  /** A kind could be gone: it is asked for sooner than it would be, but a failing watch is no reason to ask all the time. */
  readonly #doubt = (): void => {
    setTimeout(() => this.#hurry.abort(), 500).unref();
  };

  async #kinds(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { client, group, version } = this.#options;
    try {
      const response = await client.raw('GET', `/apis/${group}/${version}`, { signal });
      const { resources = [] } = (await response.json()) as { resources?: readonly { kind: string }[] };
      return new Set(resources.map(({ kind }) => kind));
    } catch (error) {
      if (isNotFound(error)) return new Set();
      throw error;
    }
  }
}
