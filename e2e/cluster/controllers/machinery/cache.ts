import type { Informer } from '../../../../kube-client/informer.ts';
import { type KubeObject, keyOf } from '../../../../kube-client/object.ts';

export interface CacheEvent<T> {
  readonly key: string;
  readonly now?: Readonly<T>;
  readonly before?: Readonly<T>;
}

/** What a cache needs of an informer. */
export type Source<T extends KubeObject> = Pick<Informer<T>, 'get' | 'list' | 'byIndex' | 'subscribe'>;

type IndexFunction<T> = (object: T) => string[];

/** How long a write may stay ahead of the watch before the watch is believed again. */
const patienceMs = 10_000;

/**
 * An informer that also knows one's own writes: whoever creates a pod sees it in the next read, though the watch
 * has not brought it yet, so that no controller acts twice on one cause. A write is forgotten when the watch
 * has caught up with it.
 */
export class Cache<T extends KubeObject> {
  readonly #source: Source<T>;
  readonly #indexes: Readonly<Record<string, IndexFunction<T>>>;
  readonly #ahead = new Map<string, { object: T; deleted: boolean; timer: NodeJS.Timeout }>();
  readonly #handlers = new Set<(event: CacheEvent<T>) => void>();
  readonly #unsubscribe: () => void;

  constructor(source: Source<T>, indexes: Readonly<Record<string, IndexFunction<T>>> = {}) {
    this.#source = source;
    this.#indexes = indexes;
    this.#unsubscribe = source.subscribe((event) => {
      this.#settle(event);
      for (const handler of this.#handlers) handler(event);
    });
  }

  get(key: string): Readonly<T> | undefined {
    return this.#ahead.get(key)?.object ?? this.#source.get(key);
  }

  list(): readonly Readonly<T>[] {
    if (this.#ahead.size === 0) return this.#source.list();
    return this.#merge(this.#source.list(), () => true);
  }

  byIndex(index: string, value: string): readonly Readonly<T>[] {
    const found = this.#source.byIndex(index, value);
    if (this.#ahead.size === 0) return found;
    const keysOf = this.#indexes[index];
    return this.#merge(found, (object) => keysOf?.(object).includes(value) ?? false);
  }

  /** Calls the handler with what is there, then with every change the watch brings. */
  subscribe(handler: (event: CacheEvent<T>) => void): () => void {
    this.#handlers.add(handler);
    for (const object of this.#source.list()) handler({ key: keyOf(object), now: object });
    return () => this.#handlers.delete(handler);
  }

  /** Notes the API server's answer to a create or an update. */
  wrote(object: T): T {
    const seen = this.#source.get(keyOf(object));
    if (seen !== undefined && seen.metadata.uid === object.metadata.uid && !isOlder(seen, object)) {
      return object;
    }
    this.#put(object, false);
    return object;
  }

  /** Notes that a deletion was accepted: until the watch says more, the object counts as terminating. */
  deleted(object: Readonly<T>): void {
    const seen = this.#source.get(keyOf(object));
    if (seen?.metadata.uid === object.metadata.uid && seen?.metadata.deletionTimestamp !== undefined) return;
    if (seen === undefined && !this.#ahead.has(keyOf(object))) return;
    const deletionTimestamp = object.metadata.deletionTimestamp ?? new Date().toISOString();
    this.#put({ ...object, metadata: { ...object.metadata, deletionTimestamp } }, true);
  }

  stop(): void {
    this.#unsubscribe();
    for (const { timer } of this.#ahead.values()) clearTimeout(timer);
    this.#ahead.clear();
    this.#handlers.clear();
  }

  #put(object: T, deleted: boolean): void {
    const key = keyOf(object);
    clearTimeout(this.#ahead.get(key)?.timer);
    const timer = setTimeout(() => {
      this.#ahead.delete(key);
      const now = this.#source.get(key);
      const event = now === undefined ? { key, before: object } : { key, now, before: object };
      for (const handler of this.#handlers) handler(event);
    }, patienceMs);
    timer.unref();
    this.#ahead.set(key, { object, deleted, timer });
  }

  #settle(event: CacheEvent<T>): void {
    const ahead = this.#ahead.get(event.key);
    if (ahead === undefined) return;
    const { now } = event;
    const gone = now === undefined || now.metadata.uid !== ahead.object.metadata.uid;
    const caughtUp = ahead.deleted
      ? gone || now.metadata.deletionTimestamp !== undefined
      : gone
        ? event.before?.metadata.uid === ahead.object.metadata.uid
        : !isOlder(now, ahead.object);
    if (!caughtUp) return;
    clearTimeout(ahead.timer);
    this.#ahead.delete(event.key);
  }

  #merge(found: readonly Readonly<T>[], fits: (object: T) => boolean): Readonly<T>[] {
    const merged = found.filter((object) => !this.#ahead.has(keyOf(object)));
    for (const { object } of this.#ahead.values()) if (fits(object)) merged.push(object);
    return merged;
  }
}

/** Resource versions are decimal integers of any length. */
function isOlder(left: KubeObject, right: KubeObject): boolean {
  const a = left.metadata.resourceVersion ?? '';
  const b = right.metadata.resourceVersion ?? '';
  return a.length === b.length ? a < b : a.length < b.length;
}
