/** A running router while pods, weights and HAProxy itself come and go. No client may notice. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { parseStat } from './counters.ts';
import { call, connect, grpcLoad, httpLoad, type Load, request, until } from './testing/client.ts';
import type { Pod } from './testing/pod.ts';
import { World } from './testing/world.ts';

let world: World;

before(async () => {
  world = await World.start();
});
after(() => world.stop());

/** Pods of this test; those of earlier ones stay out. */
let pods: Pod[];
beforeEach(() => {
  pods = [];
});

async function pod(version: string, delayMs = 0): Promise<Pod> {
  const started = await world.pod(version, { delayMs });
  pods.push(started);
  return started;
}

/** Runs both kinds of load around an action, and asserts that every request was answered well. */
async function unnoticed(action: (loads: readonly Load[]) => Promise<void>): Promise<Record<string, number>> {
  const loads = [httpLoad(world.address, 8), grpcLoad(world.address, 8)];
  await until(() => loads.every((load) => load.count > 100), 'load');
  let outcome: Record<string, number>;
  try {
    await action(loads);
    const counts = loads.map((load) => load.count);
    await until(() => loads.every((load, index) => load.count > counts[index]! + 100), 'load afterwards');
  } finally {
    outcome = Object.assign({}, ...(await Promise.all(loads.map((load) => load.stop()))));
  }
  const bad = Object.entries(outcome).filter(([key]) => !/^(200|0) \S+\.0\.0$/.test(key));
  assert.deepEqual(bad, [], JSON.stringify(outcome));
  return outcome;
}

describe('weights', () => {
  it('change two hundred times under load without a failure, a reload or a wrong share', async () => {
    await pod('5.0.0');
    await pod('6.0.0');
    const reloads = world.events.filter((event) => event.kind === 'reload').length;
    await world.split({ '5.0.0': 100, '6.0.0': 0 }, pods);
    await unnoticed(async () => {
      for (let i = 0; i < 200; i++) {
        const weight = Math.round(Math.random() * 10_000) / 100;
        await world.split({ '5.0.0': (10_000 - Math.round(weight * 100)) / 100, '6.0.0': weight }, pods);
        await request(world.address, '/v2/models/m/infer', { body: '{}' });
      }
    });
    await world.split({ '5.0.0': 0, '6.0.0': 100 }, pods);
    for (let i = 0; i < 50; i++)
      assert.equal(
        (await request(world.address, '/')).headers['sluice-version'],
        '6.0.0',
        'all new requests follow',
      );
    assert.equal(world.events.filter((event) => event.kind === 'reload').length, reloads);
  });
});

describe('pods', () => {
  it('one of two is killed: the other answers all', async () => {
    const [victim] = [await pod('5.0.0', 2), await pod('5.0.0', 2)];
    await world.split({ '5.0.0': 100 }, pods);
    await unnoticed(async () => {
      await victim.kill();
    });
  });

  it('the only one of the candidate is killed: stable answers in its place, at once', async () => {
    await pod('5.0.0', 2);
    const victim = await pod('6.0.0', 2);
    await world.split({ '5.0.0': 50, '6.0.0': 50 }, pods);
    const counts = await unnoticed(async () => {
      await victim.kill();
    });
    assert.ok(counts['200 6.0.0']! > 0);
    const pinned = await request(world.address, '/v2/models/m/versions/6.0.0/infer', { body: '{}' });
    assert.equal(pinned.status, 503, 'a pin is never answered by another version');
  });

  it('all of stable are killed: the candidate answers', async () => {
    const victim = await pod('5.0.0', 2);
    await pod('6.0.0', 2);
    await world.split({ '5.0.0': 50, '6.0.0': 50 }, pods);
    await unnoticed(async () => {
      await victim.kill();
    });
    assert.equal((await request(world.address, '/')).headers['sluice-version'], '6.0.0');
  });

  it('one says that it is not ready: it gets nothing more within a second, before the API says so', async () => {
    const [victim] = [await pod('5.0.0'), await pod('5.0.0')];
    await world.split({ '5.0.0': 100 }, pods);
    await unnoticed(async (loads) => {
      victim.ready = false;
      const began = performance.now();
      let answered = -1;
      let at = 0;
      await until(() => {
        const total = loads.reduce((sum, load) => sum + load.count, 0);
        if (victim.answered !== answered) {
          answered = victim.answered;
          at = total;
        }
        return total > at + 400;
      }, 'the unready pod gets nothing');
      assert.ok(performance.now() - began < 1500);
    });
  });

  it('all fail their checks while the API says they are ready: they are asked all the same', async () => {
    const both = [await pod('5.0.0'), await pod('6.0.0')];
    await world.split({ '5.0.0': 50, '6.0.0': 50 }, pods);
    const rescued = () => world.events.some((event) => event.kind === 'rescue');
    for (const one of both) one.ready = false;
    await until(rescued, 'nothing is left and the agent looks after it');
    await until(
      async () => (await request(world.address, '/v2/models/m/infer', { body: '{}' })).status === 200,
      'an answer',
    );
  });

  it('one answers 503 while it shuts down: another is asked', async () => {
    const [victim] = [await pod('5.0.0'), await pod('5.0.0')];
    await world.split({ '5.0.0': 100 }, pods);
    victim.status = 503;
    for (let i = 0; i < 50; i++)
      assert.equal((await request(world.address, '/v2/models/m/infer', { body: '{}' })).status, 200);
  });

  it('all answer 503: what they refuse is not sent to them many times over', async () => {
    const both = [await pod('5.0.0'), await pod('5.0.0')];
    await world.split({ '5.0.0': 100 }, pods);
    for (const one of both) one.status = 503;
    const ask = async () => (await request(world.address, '/v2/models/m/infer', { body: '{}' })).status;
    for (let i = 0; i < 20; i++) assert.equal(await ask(), 503);
    const before = both[0]!.answered + both[1]!.answered;
    for (let i = 0; i < 20; i++) assert.equal(await ask(), 503);
    const asked = both[0]!.answered + both[1]!.answered - before;
    // 220 without; a machine that stands still for two seconds lets some of them be sent again.
    assert.ok(asked < 180, `${asked} requests for 20`);
    both[0]!.status = 200;
    await until(async () => {
      for (let i = 0; i < 20; i++) if ((await ask()) !== 200) return false;
      return true;
    }, 'another is asked again');
  });

  it('an error of the model reaches the client, once', async () => {
    const only = await pod('5.0.0');
    await world.split({ '5.0.0': 100 }, pods);
    only.status = 500;
    const before = only.answered;
    assert.equal((await request(world.address, '/v2/models/m/infer', { body: '{}' })).status, 500);
    assert.equal(only.answered, before + 1);
    only.grpcStatus = 13;
    const session = connect(world.address);
    assert.equal((await call(session)).status, 13);
    session.destroy();
  });

  it('come and go in turn', async () => {
    await pod('5.0.0', 1);
    await world.split({ '5.0.0': 100 }, pods);
    await unnoticed(async () => {
      for (let i = 0; i < 10; i++) {
        const guest = await pod('5.0.0', 1);
        await world.split({ '5.0.0': 100 }, pods);
        await until(() => guest.answered > 5, 'the guest gets requests');
        pods = pods.filter((one) => one !== guest);
        await world.split({ '5.0.0': 100 }, pods);
        const seen = guest.answered;
        await until(() => guest.answered - seen <= 16, 'the guest gets no more');
      }
    });
  });

  it('one that was added at run time keeps its connections, and is deleted when it has left', async () => {
    const guest = await pod('5.0.0');
    const other = await pod('5.0.0');
    await world.split({ '5.0.0': 100 }, pods);
    await unnoticed(async (loads) => {
      await until(() => loads.every((load) => load.count > 500), 'load');
    });
    const servers = async () => {
      const session = await world.agent.session();
      const rows = parseStat(await session.run('show stat -1 4 -1', /^#/), [
        'pxname',
        'addr',
        'status',
        'connect',
        'reuse',
      ]);
      session.close();
      return rows.filter((row) => row.addr?.startsWith(`${guest.address}:`) && row.status !== 'MAINT');
    };
    const both = await servers();
    assert.equal(both.length, 2);
    for (const row of both) {
      const { pxname, connect, reuse } = row;
      // One that kept none would open a connection for every request. How many it keeps is the load's business.
      assert.ok(Number(reuse) > Number(connect), `${pxname}: ${connect} connections, ${reuse} reused`);
    }
    await world.split({ '5.0.0': 100 }, [other]);
    assert.equal((await servers()).length, 0);
    await until(() => world.agent.retiring === 0, 'nothing is left of it', 10_000);
  });

  it('a leaving one finishes what it has begun', async () => {
    const slow = await pod('5.0.0', 400);
    const other = await pod('5.0.0');
    await world.split({ '5.0.0': 100 }, [slow]);
    const http = request(world.address, '/v2/models/m/infer', { body: '{}' });
    const session = connect(world.address);
    const grpc = call(session);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await world.split({ '5.0.0': 100 }, [other]);
    assert.equal(
      JSON.parse((await request(world.address, '/v2/models/m/infer', { body: '{}' })).body).pod,
      other.address,
    );
    assert.equal(JSON.parse((await http).body).pod, slow.address);
    assert.equal((await grpc).trailers['x-pod'], slow.address);
    session.destroy();
  });
});

describe('HAProxy', () => {
  it('is reloaded when the pool grows, and nobody notices', async () => {
    await pod('5.0.0');
    await world.split({ '5.0.0': 100 }, pods);
    const { pool } = world.agent.applied;
    const many = Object.fromEntries(Array.from({ length: pool + 10 }, (_, index) => [`0.${index}.1`, 0]));
    await unnoticed(async () => {
      const { pid } = world.agent;
      await world.split({ '5.0.0': 100, ...many }, pods);
      assert.notEqual(world.agent.pid, pid);
      assert.ok(world.agent.applied.pool > pool);
      await world.split({ '5.0.0': 100 }, pods);
    });
  });

  it('is killed: it is back in well under a second with the same state', async () => {
    await pod('5.0.0');
    await pod('6.0.0');
    await world.split({ '5.0.0': 0, '6.0.0': 100 }, pods);
    const pid = world.agent.pid!;
    const began = performance.now();
    process.kill(pid, 'SIGKILL');
    await until(
      () =>
        request(world.address, '/').then(
          (answer) => answer.status === 200,
          () => false,
        ),
      'it answers',
    );
    assert.ok(performance.now() - began < 2000);
    assert.notEqual(world.agent.pid, pid);
    for (let i = 0; i < 20; i++)
      assert.equal((await request(world.address, '/')).headers['sluice-version'], '6.0.0');
    await world.split({ '5.0.0': 100, '6.0.0': 0 }, pods);
    assert.equal((await request(world.address, '/')).headers['sluice-version'], '5.0.0');
  });
});

describe('the agent', () => {
  it('dies: HAProxy goes on, and the next agent takes it over from what was saved, without an API', async () => {
    await pod('5.0.0');
    await pod('6.0.0');
    await world.split({ '5.0.0': 0, '6.0.0': 100 }, pods);
    let served = 0;
    const orphan = await world.orphanHaproxy(async () => {
      await unnoticed(async () => {
        served++;
        await world.agent.start();
        assert.ok(world.agent.ready);
      });
    });
    assert.equal(served, 1);
    assert.notEqual(world.agent.pid, orphan);
    assert.equal((await request(world.address, '/')).headers['sluice-version'], '6.0.0');
    await until(() => !alive(orphan), 'the former HAProxy ends', 10_000);
  });

  it('repairs what somebody else changed, by a reload', async () => {
    await pod('5.0.0');
    await world.split({ '5.0.0': 100 }, pods);
    const session = await world.agent.session();
    await session.run('clear map pins.map');
    session.close();
    const reloads = world.events.filter((event) => event.kind === 'reload').length;
    await pod('6.0.0');
    await world.split({ '6.0.0': 100 }, pods.slice(1));
    assert.equal(world.events.filter((event) => event.kind === 'reload').length, reloads + 1);
    assert.equal((await request(world.address, '/')).headers['sluice-version'], '6.0.0');
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
