import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from './manual-clock.ts';
import { type QueueEvent, WorkQueue } from './queue.ts';

const half = () => 0.5;

test('a key waits once, however often it is added', () => {
  const queue = new WorkQueue({ clock: new ManualClock() });
  queue.add('a');
  queue.add('b');
  queue.add('a');
  assert.equal(queue.depth, 2);
  assert.deepEqual([queue.take(), queue.take(), queue.take()], ['a', 'b', undefined]);
});

test('a key added while in flight comes back after the others', () => {
  const queue = new WorkQueue({ clock: new ManualClock() });
  queue.add('a');
  assert.equal(queue.take(), 'a');
  queue.add('a');
  queue.add('b');
  assert.equal(queue.take(), 'b');
  assert.equal(queue.take(), undefined);
  queue.done('a');
  assert.equal(queue.take(), 'a');
});

test('of several delays the earliest counts, and it adds once', async () => {
  const clock = new ManualClock();
  const queue = new WorkQueue({ clock });
  queue.addAfter('a', 500);
  queue.addAfter('a', 100);
  queue.addAfter('a', 300);
  await clock.advance(99);
  assert.equal(queue.take(), undefined);
  await clock.advance(1);
  assert.equal(queue.take(), 'a');
  queue.done('a');
  await clock.advance(1000);
  assert.equal(queue.take(), undefined);
});

test('pauses double per key up to the cap, start again after success, and respect a longer wish', () => {
  const queue = new WorkQueue({
    clock: new ManualClock(),
    backOff: { baseMs: 100, capMs: 1000 },
    random: half,
  });
  const pauses = Array.from({ length: 6 }, () => queue.retry('a'));
  assert.deepEqual(pauses, [75, 150, 300, 600, 750, 750]);
  assert.equal(queue.retry('b'), 75);
  queue.forget('a');
  assert.equal(queue.retry('a'), 75);
  assert.equal(queue.retry('a', 5000), 5000);
});

test('a pause lies between half of its bound and the bound', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (failures, random) => {
        const clock = new ManualClock();
        const queue = new WorkQueue({ clock, backOff: { baseMs: 10, capMs: 5000 }, random: () => random });
        for (let i = 0; i < failures; i++) queue.retry('a');
        const ms = queue.retry('a');
        const bound = Math.min(5000, 10 * 2 ** failures);
        assert.ok(ms >= bound / 2 && ms <= bound, `${ms} of ${bound}`);
      },
    ),
  );
});

test('events tell depth and waiting time', async () => {
  const events: QueueEvent[] = [];
  const clock = new ManualClock();
  const queue = new WorkQueue({ clock, observe: (event) => events.push(event) });
  queue.add('a');
  await clock.advance(40);
  queue.take();
  assert.deepEqual(events, [
    { type: 'added', depth: 1 },
    { type: 'taken', depth: 0, waitedMs: 40 },
  ]);
});

test('a closed queue gives and takes nothing and leaves no timer', () => {
  const clock = new ManualClock();
  const queue = new WorkQueue({ clock });
  queue.add('a');
  queue.addAfter('b', 10);
  queue.close();
  queue.add('c');
  queue.addAfter('d', 10);
  assert.equal(queue.take(), undefined);
  assert.equal(clock.next, undefined);
});
