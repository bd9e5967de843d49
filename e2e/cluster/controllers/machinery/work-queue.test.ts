import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkQueue } from './work-queue.ts';

/** A queue whose visits end when the test says so. */
function stage(workers: number) {
  const running = new Map<string, { end: (after?: number) => void; fail: () => void }>();
  const visits: string[] = [];
  const failures: number[] = [];
  const queue = new WorkQueue({
    workers,
    failed: (_key, _error, attempt) => failures.push(attempt),
    visit: (key) => {
      visits.push(key);
      return new Promise((resolve, reject) => {
        const done = (settle: () => void) => () => {
          running.delete(key);
          settle();
        };
        running.set(key, {
          end: (after) => done(() => resolve(after))(),
          fail: done(() => reject(new Error('no'))),
        });
      });
    },
  });
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { queue, running, visits, failures, settle };
}

test('a key waits once, and one that is added while it is visited is visited once more', async () => {
  const { queue, running, visits, settle } = stage(1);
  for (const key of ['a', 'b', 'b', 'a', 'a']) queue.add(key);
  assert.deepEqual(visits, ['a']);
  running.get('a')?.end();
  await settle();
  running.get('b')?.end();
  await settle();
  running.get('a')?.end();
  await settle();
  assert.deepEqual(visits, ['a', 'b', 'a']);
  assert.equal(running.size, 0);
  await queue.stop();
});

test('several keys are visited at once, but never one key twice', () => {
  const { queue, visits, running } = stage(2);
  for (const key of ['a', 'a', 'b', 'c']) queue.add(key);
  assert.deepEqual(visits, ['a', 'b']);
  for (const { end } of running.values()) end();
});

test('a failed visit is repeated, later each time, until one succeeds', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { queue, running, visits, failures, settle } = stage(1);
  queue.add('a');
  for (const pause of [5, 10, 20]) {
    running.get('a')?.fail();
    await settle();
    const before = visits.length;
    context.mock.timers.tick(pause - 1);
    assert.equal(visits.length, before);
    context.mock.timers.tick(1);
    assert.equal(visits.length, before + 1);
  }
  assert.deepEqual(failures, [1, 2, 3]);
  running.get('a')?.end();
  await settle();
  queue.add('a');
  running.get('a')?.fail();
  await settle();
  assert.equal(failures.at(-1), 1);
  await queue.stop();
});

test('a wished-for visit comes then, and stop ends everything', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { queue, running, visits, settle } = stage(1);
  queue.add('a');
  running.get('a')?.end(1000);
  await settle();
  context.mock.timers.tick(1000);
  assert.deepEqual(visits, ['a', 'a']);
  queue.add('b');
  const stopped = queue.stop();
  running.get('a')?.end(5);
  await stopped;
  context.mock.timers.tick(60_000);
  queue.add('c');
  assert.deepEqual(visits, ['a', 'a']);
});
