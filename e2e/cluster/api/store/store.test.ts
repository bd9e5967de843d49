import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ApiObject } from '../json.ts';
import { labelSelector, parseFieldSelector, parseLabelSelector } from './selectors.ts';
import { type Change, Store } from './store.ts';

function object(name: string, value = ''): ApiObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { value } } };
}

const everything = () => true;

describe('the store', () => {
  test('every write gets a revision of its own, over all buckets', () => {
    const store = new Store();
    const a = store.bucket('a').put('x', object('x'));
    const b = store.bucket('b').put('y', object('y'));
    assert.equal(Number(b.metadata.resourceVersion), Number(a.metadata.resourceVersion) + 1);
  });

  test('pages show the moment of the first page, whatever is written meanwhile', () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
    const write = fc.record({ key, remove: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(write),
        fc.array(write),
        fc.integer({ min: 1, max: 3 }),
        (before, between, limit) => {
          const bucket = new Store().bucket('x');
          const run = (list: typeof before) => {
            for (const each of list) {
              if (each.remove) bucket.delete(each.key);
              else bucket.put(each.key, object(each.key));
            }
          };
          run(before);
          const expected = bucket.list('');
          const seen: ApiObject[] = [];
          let page = bucket.page({ prefix: '', matches: everything, limit });
          const { revision } = page;
          seen.push(...page.items);
          while (page.next !== undefined) {
            run(between);
            page = bucket.page({ prefix: '', matches: everything, limit, revision, after: page.next });
            seen.push(...page.items);
          }
          assert.deepEqual(seen, expected);
        },
      ),
    );
  });

  test('a list and the changes since it give the present', () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const write = fc.record({ key, remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(write), fc.array(write), (before, after) => {
        const store = new Store();
        const bucket = store.bucket('x');
        const run = (list: typeof before) => {
          for (const each of list) {
            if (each.remove) bucket.delete(each.key);
            else bucket.put(each.key, object(each.key));
          }
        };
        run(before);
        const copy = new Map(bucket.items);
        const { revision } = store;
        run(after);
        for (const change of bucket.since(revision)) {
          if (change.type === 'DELETED') copy.delete(change.key);
          else copy.set(change.key, change.object);
        }
        assert.deepEqual([...copy.keys()].sort(), [...bucket.items.keys()].sort());
      }),
    );
  });

  test('forgets the oldest history, and says so with 410', () => {
    const store = new Store();
    const bucket = store.bucket('x');
    const first = bucket.put('a', object('a'));
    for (let index = 0; index < 10_000; index += 1) bucket.put('a', object('a', String(index)));
    assert.throws(() => bucket.since(Number(first.metadata.resourceVersion)), {
      code: 410,
      reason: 'Expired',
    });
    assert.equal(bucket.since(store.revision).length, 0);
    bucket.compact();
    bucket.put('a', object('a'));
    assert.throws(() => bucket.since(store.revision - 2), { code: 410 });
  });

  test('bounds the bytes of its history too', () => {
    const store = new Store();
    const bucket = store.bucket('x');
    const large = 'y'.repeat(1024 * 1024);
    const first = bucket.put('a', object('a', large));
    for (let index = 0; index < 50; index += 1) bucket.put('a', object('a', `${index}${large}`));
    assert.throws(() => bucket.since(Number(first.metadata.resourceVersion)), { code: 410 });
    const remembered = bucket.since(store.revision - 10);
    assert.equal(remembered.length, 10);
  });

  test('tells its listeners of each change in order', () => {
    const bucket = new Store().bucket('x');
    const seen: Change[] = [];
    const stop = bucket.subscribe((change) => seen.push(change));
    bucket.put('a', object('a'));
    bucket.put('a', object('a', '2'));
    bucket.delete('a');
    stop();
    bucket.put('a', object('a'));
    assert.deepEqual(
      seen.map((change) => change.type),
      ['ADDED', 'MODIFIED', 'DELETED'],
    );
    assert.equal(seen[2]!.object.metadata.labels!['value'], '2');
  });
});

describe('selectors', () => {
  const labels = { app: 'web', tier: 'front', 'sluice.dev/model': 'vad' };
  const rows: [selector: string, matches: boolean][] = [
    ['', true],
    ['app=web', true],
    ['app==web,tier!=back', true],
    ['app!=web', false],
    ['missing!=x', true],
    ['app in (api, web)', true],
    ['app notin (api,web)', false],
    ['tier', true],
    ['!tier', false],
    ['!missing,sluice.dev/model=vad', true],
    ['app=', false],
  ];
  for (const [selector, matches] of rows) {
    test(`labels: ${selector || '(empty)'}`, () =>
      assert.equal(parseLabelSelector(selector)(labels), matches));
  }

  test('labels: nonsense is refused', () => {
    assert.throws(() => parseLabelSelector('a=b=c'), { code: 400 });
  });

  test('label selector objects', () => {
    const select = (matchExpressions: { key: string; operator: string; values?: string[] }[]) =>
      labelSelector({ matchLabels: { app: 'web' }, matchExpressions })(labels);
    assert.equal(select([{ key: 'tier', operator: 'In', values: ['front'] }]), true);
    assert.equal(select([{ key: 'tier', operator: 'DoesNotExist' }]), false);
    assert.equal(labelSelector({})(labels), true);
    assert.equal(labelSelector(undefined)(labels), false);
  });

  test('fields: only those that the kind offers', () => {
    const fields = (each: ApiObject) => ({ 'metadata.name': each.metadata.name ?? '' });
    assert.equal(parseFieldSelector('metadata.name=a', fields)(object('a')), true);
    assert.equal(parseFieldSelector('metadata.name!=a', fields)(object('a')), false);
    assert.throws(
      () => parseFieldSelector('spec.nodeName=a', fields),
      /field label not supported: spec.nodeName/,
    );
  });
});
