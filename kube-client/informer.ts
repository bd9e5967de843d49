/**
 * A list-watch that never gives up: a local, indexed copy of a collection and a stream of its changes.
 *
 * Its promise: the copy only moves forward, and when the server is reachable and quiet, it equals the server's
 * collection. A change and its reversal may pass unseen while the watch is cut; handlers must therefore look
 * at the copy and treat events as hints.
 */
import { BackOff, type BackOffLimits, pause } from './back-off.ts';
import type { KubeClient } from './client.ts';
import { isGone, KubeError } from './errors.ts';
import { type Logger, silent } from './logger.ts';
import { type Identified, keyOf } from './object.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import { type Indexes, Store } from './store.ts';
import { watch } from './watch.ts';

/** `now` absent: the object is gone. `before` absent: it is new. One that was re-created yields both, in this order. */
export interface Change<T> {
  readonly key: string;
  readonly now?: Readonly<T>;
  readonly before?: Readonly<T>;
}

/** What an informer does besides events, for metrics. */
export type Activity = 'list' | 'watch' | 'failure';

export interface InformerOptions<T> {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly indexes?: Indexes<T>;
  readonly logger?: Logger;
  /** Drops what nobody needs before it is kept; `metadata.managedFields` are dropped in any case. */
  readonly slim?: (object: T) => T;
  readonly observe?: (activity: Activity, resource: Resource) => void;
  /** Pauses after failures. Default 200 ms to 5 s: what depends on it should not be blind for longer than it must. */
  readonly backOff?: BackOffLimits;
  /** Silence after which a watch counts as dead. The server sends a bookmark every minute. Default 150 s. */
  readonly inactivityMs?: number;
  /** Shortest time, in seconds, for which the server is asked to watch; jitter adds up to as much. Default 300. */
  readonly watchSeconds?: number;
}

/** A watch that ends sooner than this without an event counts as a failure, so that no loop runs hot. */
const shortestWatchMs = 1000;

export class Informer<T extends Identified> {
  /** Resolves after the first complete list; rejects if the informer is stopped before that. */
  readonly synced: Promise<void>;
  readonly resource: Resource;
  readonly #client: KubeClient;
  readonly #options: InformerOptions<T>;
  readonly #logger: Logger;
  readonly #store: Store<T>;
  readonly #handlers = new Set<(change: Change<T>) => void>();
  readonly #stopping = new AbortController();
  readonly #backOff: BackOff;
  readonly #sync = Promise.withResolvers<void>();
  #hasSynced = false;
  #running: Promise<void> | undefined;
  /** The resource version that the store stands at; undefined: list before the next watch. */
  #version: string | undefined;

  constructor(client: KubeClient, resource: Resource, options: InformerOptions<T> = {}) {
    this.#client = client;
    this.resource = resource;
    this.#options = options;
    this.#logger = options.logger ?? silent;
    this.#store = new Store(options.indexes);
    this.#backOff = new BackOff(options.backOff ?? { baseMs: 200, capMs: 5_000 });
    this.synced = this.#sync.promise;
    // Nobody has to wait for it.
    this.synced.catch(() => {});
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the watch; no handler is called after this resolves. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (!this.#hasSynced)
      this.#sync.reject(new Error(`informer of ${this.resource.plural} stopped before it had synced`));
    await this.#running;
  }

  /** @param key `namespace/name`, or `name` for kinds without namespaces. */
  get(key: string): Readonly<T> | undefined {
    return this.#store.get(key);
  }

  list(): readonly Readonly<T>[] {
    return this.#store.list();
  }

  byIndex(index: string, value: string): readonly Readonly<T>[] {
    return this.#store.byIndex(index, value);
  }

  /**
   * Calls the handler for all that is there, before it returns, and then for each change after the store has it.
   * A handler that throws is logged and stays subscribed.
   * @returns ends the subscription.
   */
  subscribe(handler: (change: Change<T>) => void): () => void {
    const own = (change: Change<T>) => handler(change);
    for (const object of this.#store.list()) this.#call(own, { key: keyOf(object), now: object });
    this.#handlers.add(own);
    return () => this.#handlers.delete(own);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list(signal);
        await this.#watch(signal);
      } catch (thrown) {
        if (signal.aborted) return;
        await this.#recover(KubeError.from(thrown), signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    this.#options.observe?.('list', this.resource);
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const query = { namespace, labelSelector, fieldSelector, signal };
    const { items, resourceVersion } = await this.#client.list<T>(this.resource, query);
    if (signal.aborted) return;
    const missing = new Set(this.#store.keys());
    for (const item of items) {
      missing.delete(keyOf(item));
      this.#set(item);
    }
    for (const key of missing) this.#delete(key);
    this.#version = resourceVersion;
    if (!this.#hasSynced) {
      this.#hasSynced = true;
      this.#sync.resolve();
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    this.#options.observe?.('watch', this.resource);
    const shortest = this.#options.watchSeconds ?? 300;
    const started = performance.now();
    let events = 0;
    const stream = watch<T>(this.#client, this.resource, {
      namespace: this.#options.namespace,
      labelSelector: this.#options.labelSelector,
      fieldSelector: this.#options.fieldSelector,
      resourceVersion: this.#version ?? '',
      timeoutSeconds: Math.round(shortest * (1 + Math.random())),
      inactivityMs: this.#options.inactivityMs ?? 150_000,
      signal,
    });
    try {
      for await (const { type, object } of stream) {
        if (signal.aborted) return;
        const version = object.metadata?.resourceVersion;
        if (version === undefined)
          throw new Error(`watch of ${this.resource.plural} sent an object without a resourceVersion`);
        if (type === 'DELETED') this.#delete(keyOf(object));
        else if (type !== 'BOOKMARK') this.#set(object);
        this.#version = version;
        events++;
        this.#backOff.reset();
      }
    } finally {
      // It worked for a while, so whatever ended it is a new failure.
      if (performance.now() - started >= shortestWatchMs) this.#backOff.reset();
    }
    if (events === 0 && performance.now() - started < shortestWatchMs) {
      throw new KubeError({
        code: 0,
        reason: 'Network',
        message: `watch of ${this.resource.plural} ended at once`,
      });
    }
  }

  async #recover(error: KubeError, signal: AbortSignal): Promise<void> {
    this.#options.observe?.('failure', this.resource);
    const fields = { resource: this.resource.plural, code: error.code, reason: error.reason };
    if (isGone(error) && this.#version !== undefined) {
      // Not a fault: the watch was away for longer than the server remembers. A list that fails then backs off.
      this.#logger.debug('watch is too old, listing again', fields);
      this.#version = undefined;
      await pause(this.#backOff.next() / 4, signal);
      return;
    }
    // Without a version that the server accepts, watching again would fail for ever.
    if (error.code === 400 || error.code === 404) this.#version = undefined;
    const ms = Math.max(this.#backOff.next(), error.retryAfterMs ?? 0);
    this.#logger.warn(`list or watch failed: ${error.message}`, { ...fields, retryMs: Math.round(ms) });
    await pause(ms, signal);
  }

  #set(received: T): void {
    const key = keyOf(received);
    const before = this.#store.get(key);
    if (before !== undefined && before.metadata.resourceVersion === received.metadata.resourceVersion) return;
    const { managedFields: _, ...metadata } = received.metadata as T['metadata'] & {
      managedFields?: unknown;
    };
    const typed = {
      ...received,
      apiVersion: apiVersionOf(this.resource),
      kind: this.resource.kind,
      metadata,
    };
    const now = this.#options.slim ? this.#options.slim(typed) : typed;
    if (before !== undefined && before.metadata.uid !== now.metadata.uid) {
      this.#delete(key);
      this.#store.set(key, now);
      this.#emit({ key, now });
      return;
    }
    this.#store.set(key, now);
    this.#emit(before === undefined ? { key, now } : { key, now, before });
  }

  #delete(key: string): void {
    const before = this.#store.get(key);
    if (before === undefined) return;
    this.#store.delete(key);
    this.#emit({ key, before });
  }

  #emit(change: Change<T>): void {
    for (const handler of [...this.#handlers]) this.#call(handler, change);
  }

  #call(handler: (change: Change<T>) => void, change: Change<T>): void {
    try {
      handler(change);
    } catch (error) {
      this.#logger.error(
        `handler of ${this.resource.plural} failed: ${error instanceof Error ? error.stack : error}`,
        {
          key: change.key,
        },
      );
    }
  }
}
