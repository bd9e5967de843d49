import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Controller, type ControllerEvent, type Result } from './controller.ts';
import { RetryError, TerminalError } from './errors.ts';
import { ManualClock, settle } from './manual-clock.ts';

type Step = { wait: number } | { add: string } | { later: string; ms: number } | { finish: number; how: How };
type How = 'ok' | 'requeue' | 'fail' | 'terminal';

const keys = fc.constantFrom('a', 'b', 'c', 'd');
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ wait: fc.integer({ min: 1, max: 400 }) }),
  fc.record({ add: keys }),
  fc.record({ later: keys, ms: fc.integer({ min: 0, max: 500 }) }),
  fc.record({ finish: fc.nat(10), how: fc.constantFrom<How>('ok', 'requeue', 'fail', 'terminal') }),
);

test('no change is lost, no key runs twice at once, concurrency is bounded, and it comes to rest', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(steps, { maxLength: 60 }),
      fc.integer({ min: 1, max: 3 }),
      async (script, concurrency) => {
        const clock = new ManualClock();
        const running: { key: string; end: (how: How) => void }[] = [];
        /** Changes of a key's object, and how many of them a visit that began later has seen. */
        const changes = new Map<string, number>();
        const seen = new Map<string, number>();
        let quiet = false;
        const controller = new Controller({
          name: 'test',
          clock,
          concurrency,
          backOff: { baseMs: 10, capMs: 200 },
          timeoutMs: 1e9,
          reconcile: (key) => {
            assert.ok(!running.some((other) => other.key === key), `${key} runs twice`);
            assert.ok(running.length < concurrency, 'too many at once');
            const version = changes.get(key) ?? 0;
            if (quiet) {
              seen.set(key, version);
              return Promise.resolve({});
            }
            return new Promise<Result>((resolve, reject) => {
              const run = {
                key,
                end: (how: How) => {
                  running.splice(running.indexOf(run), 1);
                  if (how === 'fail') return reject(new Error('failed'));
                  seen.set(key, version);
                  if (how === 'terminal') reject(new TerminalError('no use'));
                  else resolve(how === 'requeue' ? { requeueAfterMs: 50 } : {});
                },
              };
              running.push(run);
            });
          },
        });
        controller.start();
        for (const step of script) {
          if ('wait' in step) await clock.advance(step.wait);
          else if ('add' in step) {
            changes.set(step.add, (changes.get(step.add) ?? 0) + 1);
            controller.enqueue(step.add);
          } else if ('later' in step) {
            changes.set(step.later, (changes.get(step.later) ?? 0) + 1);
            controller.enqueueAfter(step.later, step.ms);
          } else running[step.finish % Math.max(1, running.length)]?.end(step.how);
          await settle();
        }
        quiet = true;
        while (running.length > 0) {
          running[0]!.end('ok');
          await settle();
        }
        await clock.advance(2000);
        for (const [key, count] of changes) assert.equal(seen.get(key), count, `${key} has unseen changes`);
        assert.equal(clock.next, undefined, 'a timer is left');
        await controller.stop();
      },
    ),
    { numRuns: 150 },
  );
});

function recorded(reconcile: (key: string, signal: AbortSignal) => Promise<Result>) {
  const clock = new ManualClock();
  const events: ControllerEvent[] = [];
  const controller = new Controller({
    name: 'test',
    clock,
    reconcile,
    random: () => 0.5,
    backOff: { baseMs: 100, capMs: 1000 },
    observe: (event) => events.push(event),
  });
  const finished = () => events.filter((event) => event.type === 'finished');
  return { clock, controller, finished };
}

test('a key that fails is tried again with growing pauses until it succeeds', async () => {
  const times: number[] = [];
  const { clock, controller, finished } = recorded(async () => {
    times.push(clock.now());
    if (times.length < 4) throw new Error('not yet');
    return {};
  });
  controller.enqueue('a');
  controller.start();
  await clock.advance(5000);
  assert.deepEqual(times, [0, 75, 225, 525]);
  assert.deepEqual(
    finished().map((event) => event.outcome),
    ['error', 'error', 'error', 'success'],
  );
});

test('a terminal error rests until the key is enqueued again', async () => {
  const { clock, controller, finished } = recorded(async () => {
    throw new TerminalError('hopeless');
  });
  controller.start();
  controller.enqueue('a');
  await clock.advance(100_000);
  assert.equal(finished().length, 1);
  controller.enqueue('a');
  await clock.advance(1);
  assert.deepEqual(
    finished().map((event) => event.outcome),
    ['terminal', 'terminal'],
  );
});

test('an error may ask for a longer pause', async () => {
  let calls = 0;
  const { clock, controller } = recorded(async () => {
    calls++;
    throw new RetryError('busy', { afterMs: 3000 });
  });
  controller.start();
  controller.enqueue('a');
  await clock.advance(2999);
  assert.equal(calls, 1);
  await clock.advance(1);
  assert.equal(calls, 2);
});

test('requeueAfterMs visits again without a change', async () => {
  const times: number[] = [];
  const { clock, controller } = recorded(async () => {
    times.push(clock.now());
    return times.length < 3 ? { requeueAfterMs: 1000 } : {};
  });
  controller.start();
  controller.enqueue('a');
  await clock.advance(10_000);
  assert.deepEqual(times, [0, 1000, 2000]);
});

test('enqueueing never runs a visit in the turn of the caller', async () => {
  let ran = false;
  const { clock, controller } = recorded(async () => {
    ran = true;
    return {};
  });
  controller.start();
  controller.enqueue('a');
  assert.equal(ran, false);
  await clock.advance(0);
  assert.equal(ran, true);
});

test('stopping waits for visits under way, and aborts them when the grace is over', async () => {
  const { clock, controller, finished } = recorded(
    (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  );
  controller.start();
  controller.enqueue('a');
  await clock.advance(0);
  let stopped = false;
  const stop = controller.stop(1000).then(() => {
    stopped = true;
  });
  controller.enqueue('b');
  await clock.advance(999);
  assert.equal(stopped, false);
  await clock.advance(1);
  await stop;
  assert.deepEqual(
    finished().map(({ key, outcome }) => [key, outcome]),
    [['a', 'error']],
  );
  assert.equal(clock.next, undefined);
});

test('a visit that takes too long is aborted and tried again', async () => {
  let calls = 0;
  const { clock, controller } = recorded((_, signal) => {
    calls++;
    return calls > 1
      ? Promise.resolve({})
      : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  controller.start();
  controller.enqueue('a');
  await clock.advance(119_999);
  assert.equal(calls, 1);
  await clock.advance(1000);
  assert.equal(calls, 2);
});
