/**
 * The same story under every kind of fault: a first version, a second that is promoted, a third whose pods never get
 * ready once they had traffic. Whatever happens on the way, the end is that of a clean run, and no moment breaks a rule.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { FaultAction } from '../cluster/api/faults.ts';
import { outcome, violations } from './outcome.ts';
import { otherOperators, operatorUser as user, World } from './world.ts';

type Disturb = (world: World, signal: AbortSignal) => Promise<void> | void;

/** Waits for a fact about the cluster. */
async function until(world: World, what: string, fact: () => Promise<boolean>, ms = 300_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await fact())) {
    if (performance.now() > deadline) {
      const { status } = await world.model();
      throw new Error(
        `not within ${ms} ms: ${what}\n${JSON.stringify(status, null, 1)}\n${world.output.slice(-4_000)}`,
      );
    }
    await delay(50);
  }
}

const stable = (world: World, version: string) => async () => {
  const { status } = await world.model();
  return status?.stable === version && status.candidate === undefined && status.phase !== 'Baking';
};

/** How a story without faults ends. */
let clean: Record<string, unknown> | undefined;

/** What is there when nothing has changed for a while, or when it is as expected and stays so. */
async function rest(world: World, expected: unknown): Promise<Record<string, unknown>> {
  let last = '';
  let since = performance.now();
  let now: Record<string, unknown> = {};
  await until(world, 'everything is at rest', async () => {
    now = await outcome(world);
    const text = JSON.stringify(now);
    if (text !== last) since = performance.now();
    last = text;
    // Caches come back within seconds, so what is not as expected yet gets more time.
    return performance.now() - since > (isDeepStrictEqual(now, expected) ? 2_000 : 8_000);
  });
  return now;
}

async function story(disturb: Disturb): Promise<Record<string, unknown>> {
  const world = await World.start();
  const calm = new AbortController();
  const disturbance = { over: Promise.resolve() as Promise<void> };
  try {
    world.startOperator();
    disturbance.over = Promise.resolve(disturb(world, calm.signal));
    await world.createVersion('5.0.0');
    await until(world, '5.0.0 is stable', stable(world, '5.0.0'));
    await world.createVersion('6.0.0');
    await until(world, '6.0.0 is stable', stable(world, '6.0.0'));
    await world.createVersion('7.0.0');
    await until(world, '7.0.0 gets traffic', async () => {
      const { status } = await world.model();
      return (status?.traffic ?? []).some(({ version, weight }) => version === '7.0.0' && weight > 0);
    });
    world.pods.unready.add('7.0.0');
    world.pods.refresh();
    await until(world, '7.0.0 is latched', async () => {
      const { status } = await world.model();
      return (status?.latched ?? []).some(({ version }) => version === '7.0.0');
    });
    calm.abort();
    await disturbance.over;
    world.api.faults.clear();
    const end = await rest(world, clean);
    const broken = world.told.flatMap((status) => violations(status));
    assert.deepEqual(broken, []);
    assert.doesNotMatch(world.output, /uncaught exception|unhandled rejection/);
    return end;
  } finally {
    calm.abort();
    await disturbance.over.catch(() => {});
    await world.stop();
  }
}

/** Calls `act` again and again until the calm. */
async function every(ms: number, signal: AbortSignal, act: () => Promise<void> | void): Promise<void> {
  while (!signal.aborted) {
    await act();
    await delay(ms, undefined, { signal }).catch(() => {});
  }
}

const writes = ['create', 'update', 'patch', 'delete'];
/** What only the operator writes here. */
const children = [
  'models',
  'modelversions',
  'gpupools',
  'services',
  'deployments',
  'serviceaccounts',
  'rolebindings',
];

/**
 * Every now and then the operator's next write meets a fault; of two such moments one is a pause, so that it gets
 * anywhere at all. Leases are left alone, else the operator would rightly end.
 */
async function unreliably(
  world: World,
  signal: AbortSignal,
  ms: number,
  action: (turn: number) => FaultAction,
) {
  let turn = 0;
  let end = () => {};
  await every(ms, signal, () => {
    end();
    turn++;
    if (turn % 2 === 0) return;
    const half = (turn - 1) / 2;
    const match = { user, verb: writes, resource: children[half % children.length]! };
    end = world.api.faults.add({ match, action: action(half), times: 1 });
  });
}

before(async () => {
  clean = await story(() => {});
  assert.equal(Object.keys(clean).filter((name) => name.startsWith('ModelVersion ')).length, 3);
});

const disturbances: Record<string, Disturb> = {
  'refusals: conflicts, too many requests, errors, unavailability': async (world, signal) => {
    const codes = [409, 429, 500, 503] as const;
    await unreliably(world, signal, 40, (turn) => {
      const code = codes[turn % codes.length]!;
      return { type: 'status', code, ...(code === 429 ? { retryAfterSeconds: 1 } : {}) };
    });
  },
  'answers that are lost after the write, and requests that are lost before it': (world, signal) =>
    unreliably(world, signal, 40, (turn) => ({ type: turn % 2 === 0 ? 'dropAnswer' : 'drop' })),
  'watches that are cut, and a history that is forgotten': async (world, signal) => {
    let turn = 0;
    await every(1_100, signal, () => {
      if (turn++ % 3 === 0) world.api.faults.compact();
      world.api.faults.closeWatches({ user }, turn % 2 === 0);
    });
  },
  'changes and their reversal, of which nobody saw the middle': async (world, signal) => {
    let turn = 0;
    await every(900, signal, async () => {
      turn++;
      world.api.faults.freezeWatches({ user });
      await world.flap(turn);
      // What was held back is never sent: the caches list anew, and see only how it ended.
      world.api.faults.compact();
      world.api.faults.closeWatches({ user }, true);
    });
  },
  'pauses after a write, until its consequences have come': async (world, signal) => {
    const ends = children.map((resource) =>
      world.api.faults.add({
        match: { user, verb: writes, resource },
        action: { type: 'delayAnswer', milliseconds: 400 },
      }),
    );
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    for (const end of ends) end();
  },
  'a leader that stands still in the middle of a reconcile, and goes on when another one leads': async (
    world,
    signal,
  ) => {
    const late: string[] = [];
    let turns = 0;
    await every(500, signal, async () => {
      if (turns === otherOperators) return;
      const former = await world.suspendOperator({ verb: writes, resource: children }, signal);
      if (former === undefined) return;
      const name = world.startOperator(`${user}-${turns + 1}`);
      await until(world, 'another one leads', async () => (await world.leader()) === name);
      const end = world.api.faults.observe(({ user: who, verb, resource }) => {
        if (who === former.user && writes.includes(verb) && resource !== 'leases')
          late.push(`${verb} ${resource}`);
      });
      await former.resume();
      end();
      turns++;
    });
    assert.ok(turns > 0, 'at least one leader was succeeded');
    assert.deepEqual(late, [], 'without the lease nothing is written');
  },
  'caches that see the past': async (world, signal) => {
    await every(400, signal, async () => {
      for (const resource of ['models', 'modelversions', 'pods', 'deployments']) {
        world.api.faults.freezeWatches({ user, resource });
      }
      await delay(700, undefined, { signal }).catch(() => {});
      world.api.faults.thawWatches();
    });
  },
  'an operator that dies after every single write, before it hears of it': async (world, signal) => {
    let deaths = 0;
    let dying = false;
    let died = Promise.resolve();
    const then = () => {
      if (dying) return;
      dying = true;
      deaths++;
      died = world.killOperator().then(async () => {
        // As if its lease had run out, which only takes time.
        await world.expireLease();
        dying = false;
        world.startOperator();
      });
    };
    const ends = children.map((resource) =>
      world.api.faults.add({ match: { user, verb: writes, resource }, action: { type: 'dropAnswer', then } }),
    );
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    for (const end of ends) end();
    await died;
    assert.ok(deaths > 15, `it died ${deaths} times`);
  },
};

for (const [name, disturb] of Object.entries(disturbances)) {
  test(name, { timeout: 900_000 }, async () => {
    assert.deepEqual(await story(disturb), clean);
  });
}
