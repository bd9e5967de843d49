import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RequestQueue, type Waiting } from './queue.ts';

const item = (
  name: string,
  rows = 1,
  key: string | undefined = 'k',
  since = 0,
): Waiting & { name: string } => ({
  name,
  request: { inputs: [], outputs: [] },
  key,
  rows,
  since,
  timeoutMs: Number.POSITIVE_INFINITY,
  resolve: () => undefined,
  reject: () => undefined,
});
const names = (next: ReturnType<RequestQueue['next']>) =>
  Array.isArray(next) ? next.map((one) => (one as ReturnType<typeof item>).name).join('') : next;

describe('RequestQueue', () => {
  const cases: readonly [
    what: string,
    items: readonly Waiting[],
    limits: { maxSize: number; maxDelayMs: number },
    now: number,
    next: string | number | undefined,
  ][] = [
    ['gives nothing when empty', [], { maxSize: 4, maxDelayMs: 0 }, 0, undefined],
    ['gives one at a time without batching', [item('a'), item('b')], { maxSize: 1, maxDelayMs: 0 }, 0, 'a'],
    [
      'gives what is there when it need not wait',
      [item('a'), item('b')],
      { maxSize: 4, maxDelayMs: 0 },
      0,
      'ab',
    ],
    ['waits for more', [item('a'), item('b')], { maxSize: 4, maxDelayMs: 5 }, 2, 3],
    [
      'waits no longer than the first may',
      [item('a'), item('b', 1, 'k', 4)],
      { maxSize: 4, maxDelayMs: 5 },
      5,
      'ab',
    ],
    [
      'stops at the size, by rows',
      [item('a', 3), item('b', 1), item('c', 1)],
      { maxSize: 4, maxDelayMs: 5 },
      0,
      'ab',
    ],
    ['does not split a request', [item('a', 3), item('b', 2)], { maxSize: 4, maxDelayMs: 5 }, 0, 'a'],
    ['runs a large request by itself', [item('a', 9), item('b')], { maxSize: 4, maxDelayMs: 5 }, 0, 'a'],
    [
      'does not mix keys, nor wait for what cannot come',
      [item('a'), item('b', 1, 'other')],
      { maxSize: 4, maxDelayMs: 5 },
      0,
      'a',
    ],
    [
      'runs what has no key by itself',
      [item('a', 1, undefined), item('b', 1, undefined)].map((one) => ({ ...one, key: undefined })),
      { maxSize: 4, maxDelayMs: 5 },
      0,
      'a',
    ],
  ];
  for (const [what, items, limits, now, next] of cases) {
    it(what, () => {
      const queue = new RequestQueue(10);
      for (const one of items) queue.push(one);
      assert.equal(names(queue.next(limits, now)), next);
    });
  }

  it('takes out what has waited for too long, and nothing else', () => {
    const queue = new RequestQueue(10);
    queue.push(item('a'));
    queue.push({ ...item('b', 1, 'k', 2), timeoutMs: 3 });
    queue.push({ ...item('c', 1, 'k', 3), timeoutMs: 3 });
    assert.deepEqual(queue.expired(4.9), []);
    assert.equal(names(queue.expired(5)), 'b');
    assert.equal(names(queue.next({ maxSize: 9, maxDelayMs: 0 }, 5)), 'ac');
  });

  it('is bounded, but not for those that come back', () => {
    const queue = new RequestQueue(1);
    queue.push(item('a'));
    assert.throws(() => queue.push(item('b')), {
      fault: 'Exhausted',
      message: 'the queue is full: 1 requests wait already',
    });
    queue.pushFront([item('c'), item('d')]);
    assert.equal(names(queue.next({ maxSize: 9, maxDelayMs: 0 }, 0)), 'cda');
  });
});
