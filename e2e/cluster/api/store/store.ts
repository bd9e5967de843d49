/**
 * The store: every object in memory, one revision counter for all, and per resource a bounded history that watches,
 * paged lists and exact reads are served from. It knows no kinds and no rules. Objects in it are immutable.
 */
import { expired, StatusError } from '../errors.ts';
import { type ApiObject, textOf } from '../json.ts';

export type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** One change of one object. `object` is the new state (for DELETED the last one, with the deletion's revision). */
export interface Change {
  readonly type: ChangeType;
  readonly key: string;
  readonly revision: number;
  readonly object: ApiObject;
  readonly previous: ApiObject | undefined;
}

export interface Page {
  readonly items: ApiObject[];
  readonly revision: number;
  /** Key of the last item of this page, when there is more. */
  readonly next: string | undefined;
  readonly remaining: number;
}

/** How many changes, and how many bytes of objects in them, a bucket remembers. */
const historyLimit = 4096;
const historyBytesLimit = 32 * 1024 * 1024;

/** The objects of one resource, over all namespaces. */
export class Bucket {
  readonly store: Store;
  readonly items = new Map<string, ApiObject>();
  private history: Change[] = [];
  private historyBytes = 0;
  /** Changes at or before this revision are forgotten. */
  private compacted = 0;
  private readonly listeners = new Set<(change: Change) => void>();
  private sortedKeys: string[] | undefined;

  constructor(store: Store) {
    this.store = store;
    this.compacted = store.revision;
  }

  get(key: string): ApiObject | undefined {
    return this.items.get(key);
  }

  /** Writes a new or changed object, which gets the next revision as its resourceVersion. */
  put(key: string, object: ApiObject): ApiObject {
    const previous = this.items.get(key);
    const revision = this.store.next();
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    this.items.set(key, stored);
    if (!previous) this.sortedKeys = undefined;
    this.publish({ type: previous ? 'MODIFIED' : 'ADDED', key, revision, object: stored, previous });
    return stored;
  }

  delete(key: string): ApiObject | undefined {
    const previous = this.items.get(key);
    if (!previous) return undefined;
    const revision = this.store.next();
    const last = { ...previous, metadata: { ...previous.metadata, resourceVersion: String(revision) } };
    this.items.delete(key);
    this.sortedKeys = undefined;
    this.publish({ type: 'DELETED', key, revision, object: last, previous });
    return last;
  }

  /** All objects under `prefix`, in key order, as they are now. */
  list(prefix: string): ApiObject[] {
    const found: ApiObject[] = [];
    for (const key of this.keys()) if (key.startsWith(prefix)) found.push(this.items.get(key)!);
    return found;
  }

  /**
   * A page of the objects under `prefix` as they were at `revision`.
   * @param after key of the last item of the page before
   * @throws StatusError 410 when that past is forgotten
   */
  page(options: {
    prefix: string;
    matches: (object: ApiObject) => boolean;
    revision?: number | undefined;
    limit?: number | undefined;
    after?: string | undefined;
  }): Page {
    const revision = options.revision ?? this.store.revision;
    const items = revision >= this.lastRevision() ? this.items : this.past(revision);
    const keys = items === this.items ? this.keys() : [...items.keys()].sort();
    const found: ApiObject[] = [];
    let next: string | undefined;
    let last: string | undefined;
    let remaining = 0;
    for (const key of keys) {
      if (!key.startsWith(options.prefix)) continue;
      if (options.after !== undefined && key <= options.after) continue;
      const object = items.get(key)!;
      if (!options.matches(object)) continue;
      if (options.limit && found.length >= options.limit) {
        next = last;
        remaining += 1;
        continue;
      }
      found.push(object);
      last = key;
    }
    return { items: found, revision, next, remaining };
  }

  /** @throws StatusError 410 when changes after `revision` are already forgotten */
  since(revision: number): Change[] {
    if (revision < this.compacted) {
      throw expired(`too old resource version: ${revision} (${this.compacted + 1})`);
    }
    let low = 0;
    let high = this.history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.history[middle]!.revision > revision) high = middle;
      else low = middle + 1;
    }
    return this.history.slice(low);
  }

  /** Calls `listener` for every change from now on, in order. Returns the way to stop. */
  subscribe(listener: (change: Change) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Forgets the history, so that every older watch and continue token is answered with 410. */
  compact(): void {
    this.history = [];
    this.historyBytes = 0;
    this.compacted = this.store.revision;
  }

  private publish(change: Change): void {
    this.history.push(change);
    this.historyBytes += textOf(change.object).length;
    while (this.history.length > historyLimit || this.historyBytes > historyBytesLimit) this.forgetOldest();
    for (const listener of [...this.listeners]) listener(change);
  }

  /** A quarter at a time, since taking from the front of a list is slow. The latest change always stays. */
  private forgetOldest(): void {
    if (this.history.length === 1) {
      this.historyBytes = 0;
      return;
    }
    const dropped = this.history.splice(0, Math.max(1, this.history.length >> 2));
    for (const change of dropped) this.historyBytes -= textOf(change.object).length;
    this.compacted = dropped[dropped.length - 1]!.revision;
  }

  private lastRevision(): number {
    return this.history[this.history.length - 1]?.revision ?? this.compacted;
  }

  private keys(): string[] {
    this.sortedKeys ??= [...this.items.keys()].sort();
    return this.sortedKeys;
  }

  private past(revision: number): Map<string, ApiObject> {
    if (revision < this.compacted) {
      throw expired('The provided continue parameter is too old to display a consistent list result.');
    }
    const items = new Map(this.items);
    for (const change of this.history.toReversed()) {
      if (change.revision <= revision) break;
      if (change.previous) items.set(change.key, change.previous);
      else items.delete(change.key);
    }
    return items;
  }
}

export class Store {
  private counter = 1;
  private readonly buckets = new Map<string, Bucket>();

  /** The revision of the latest write of all. */
  get revision(): number {
    return this.counter;
  }

  next(): number {
    this.counter += 1;
    return this.counter;
  }

  /** The bucket of a resource, by `group/plural`. */
  bucket(resource: string): Bucket {
    let bucket = this.buckets.get(resource);
    if (!bucket) {
      bucket = new Bucket(this);
      this.buckets.set(resource, bucket);
    }
    return bucket;
  }

  compact(): void {
    for (const bucket of this.buckets.values()) bucket.compact();
  }

  /** A revision as clients send it. @throws StatusError 400 when it is not a number, 504 when it is in the future */
  parse(text: string): number {
    if (!/^\d+$/.test(text)) {
      const message = `Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`;
      throw new StatusError(400, 'BadRequest', `resourceVersion: ${message}`);
    }
    const revision = Number(text);
    if (revision > this.counter) {
      const message = `Too large resource version: ${revision}, current: ${this.counter}`;
      throw new StatusError(504, 'Timeout', message, {
        causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
        retryAfterSeconds: 1,
      });
    }
    return revision;
  }
}
