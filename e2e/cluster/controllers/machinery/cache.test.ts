import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../../../../kube-client/object.ts';
import { keyOf } from '../../../../kube-client/object.ts';
import { Cache, type CacheEvent, type Source } from './cache.ts';

/** A watch whose pace the test sets. */
class Watched implements Source<KubeObject> {
  readonly #objects = new Map<string, KubeObject>();
  readonly #handlers = new Set<(event: CacheEvent<KubeObject>) => void>();

  get(key: string): KubeObject | undefined {
    return this.#objects.get(key);
  }
  list(): KubeObject[] {
    return [...this.#objects.values()];
  }
  byIndex(_index: string, value: string): KubeObject[] {
    return this.list().filter(({ metadata }) => metadata.labels?.['app'] === value);
  }
  subscribe(handler: (event: CacheEvent<KubeObject>) => void): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }
  bring(now: KubeObject): void {
    const key = keyOf(now);
    const before = this.#objects.get(key);
    this.#objects.set(key, now);
    for (const handler of this.#handlers) handler(before === undefined ? { key, now } : { key, now, before });
  }
  take(key: string): void {
    const before = this.#objects.get(key);
    this.#objects.delete(key);
    if (before !== undefined) for (const handler of this.#handlers) handler({ key, before });
  }
}

function object(version: number, more: KubeObject['metadata'] = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: 'ns',
      name: 'a',
      uid: 'u1',
      resourceVersion: String(version),
      labels: { app: 'x' },
      ...more,
    },
  };
}

function cacheOf(watched: Watched): Cache<KubeObject> {
  return new Cache(watched, { app: ({ metadata }) => [metadata.labels?.['app'] ?? ''] });
}

test('a created object is there before the watch brings it, in every way of reading', () => {
  const watched = new Watched();
  const cache = cacheOf(watched);
  cache.wrote(object(5));
  assert.equal(cache.get('ns/a')?.metadata.resourceVersion, '5');
  assert.equal(cache.list().length, 1);
  assert.equal(cache.byIndex('app', 'x').length, 1);
  assert.equal(cache.byIndex('app', 'y').length, 0);
  watched.bring(object(5));
  assert.equal(cache.list().length, 1);
  watched.take('ns/a');
  assert.equal(cache.get('ns/a'), undefined);
  cache.stop();
});

test('a late event of the past does not undo a write, a later one does', () => {
  const watched = new Watched();
  const cache = cacheOf(watched);
  watched.bring(object(8));
  cache.wrote(object(12, { labels: { app: 'y' } }));
  watched.bring(object(9));
  assert.equal(cache.get('ns/a')?.metadata.resourceVersion, '12');
  assert.equal(cache.byIndex('app', 'y').length, 1);
  assert.equal(cache.byIndex('app', 'x').length, 0);
  watched.bring(object(100));
  assert.equal(cache.get('ns/a')?.metadata.resourceVersion, '100');
  cache.wrote(object(99));
  assert.equal(cache.get('ns/a')?.metadata.resourceVersion, '100');
  cache.stop();
});

test('a deleted object is terminating until the watch says more', () => {
  const watched = new Watched();
  const cache = cacheOf(watched);
  watched.bring(object(5));
  cache.deleted(object(5));
  assert.notEqual(cache.get('ns/a')?.metadata.deletionTimestamp, undefined);
  watched.bring(object(6));
  assert.notEqual(cache.get('ns/a')?.metadata.deletionTimestamp, undefined);
  watched.take('ns/a');
  assert.equal(cache.get('ns/a'), undefined);
  cache.stop();
});

test('another object of the same name is another object', () => {
  const watched = new Watched();
  const cache = cacheOf(watched);
  watched.bring(object(5));
  cache.deleted(object(5));
  watched.bring(object(7, { uid: 'u2' }));
  assert.equal(cache.get('ns/a')?.metadata.uid, 'u2');
  assert.equal(cache.get('ns/a')?.metadata.deletionTimestamp, undefined);
  cache.stop();
});

test('a write that the watch never brings is forgotten, and those who listen are told', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const cache = cacheOf(new Watched());
  const keys: string[] = [];
  cache.subscribe(({ key }) => keys.push(key));
  cache.wrote(object(5));
  context.mock.timers.tick(10_000);
  assert.equal(cache.get('ns/a'), undefined);
  assert.deepEqual(keys, ['ns/a']);
  cache.stop();
});
