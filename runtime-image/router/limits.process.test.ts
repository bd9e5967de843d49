/** A running router in front of pods that can answer only so many requests at the same time. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseStat } from './counters.ts';
import { call, connect, grpcLoad, httpLoad, request, until } from './testing/client.ts';
import type { Pod } from './testing/pod.ts';
import { World } from './testing/world.ts';

let world: World;
let pods: Pod[];

before(async () => {
  world = await World.start();
  pods = [await world.pod('5.0.0'), await world.pod('5.0.0')];
});
after(() => world.stop());

/** Lets each pod have so many requests of each protocol at the same time; 0: any number. */
async function limit(targetConcurrency: number, its: readonly Pod[] = pods): Promise<void> {
  const more = targetConcurrency > 0 ? { targetConcurrency } : {};
  await world.split(
    { '5.0.0': 100 },
    its.map((pod) => ({ ...pod.endpoint, ...more })),
  );
}

const infer = '/v2/models/m/infer';
const reloads = () => world.events.filter((event) => event.kind === 'reload').length;
const slow = (ms: number) => {
  for (const pod of pods) {
    pod.delayMs = ms;
    pod.mostOpen = 0;
  }
};

describe('a limit', () => {
  for (const [protocol, load] of [
    ['HTTP', httpLoad],
    ['gRPC, all on one connection', grpcLoad],
  ] as const) {
    it(`holds for ${protocol}: no pod has more at a time, and nobody is refused`, async () => {
      await limit(2);
      slow(5);
      const running = load(world.address, 16);
      await until(() => running.count > 300, 'requests', 20_000);
      const counts = await running.stop();
      assert.deepEqual(
        Object.keys(counts).filter((key) => !key.endsWith(' 5.0.0') || !/^(200|0) /.test(key)),
        [],
      );
      for (const pod of pods) assert.equal(pod.mostOpen, 2);
    });
  }

  it('changes, and goes, without a reload', async () => {
    const before = reloads();
    for (const [most, fewest] of [
      [1, 1],
      [4, 2],
      [0, 5],
    ] as const) {
      await limit(most, pods.slice(0, 1));
      slow(20);
      const load = httpLoad(world.address, 16);
      await until(() => load.count > 100, 'requests', 20_000);
      await load.stop();
      assert.ok(pods[0]!.mostOpen >= fewest && (most === 0 || pods[0]!.mostOpen <= most));
    }
    assert.equal(reloads(), before);
  });

  it('is that of a pod that takes the place of another, and is there after a restart', async () => {
    await limit(3);
    await limit(2, pods.slice(0, 1));
    await limit(2);
    process.kill(world.agent.pid!, 'SIGKILL');
    await until(
      () =>
        request(world.address, infer, { body: '{}' }).then(
          ({ status }) => status === 200,
          () => false,
        ),
      'HAProxy is back',
    );
    slow(5);
    const loads = [httpLoad(world.address, 12), grpcLoad(world.address, 12)];
    await until(() => loads.every((load) => load.count > 100), 'requests', 20_000);
    for (const load of loads) await load.stop();
    for (const pod of pods) assert.ok(pod.mostOpen <= 4, `${pod.mostOpen}: two of each protocol`);
  });
});

describe('what waits', () => {
  const report = async () => {
    await world.monitor.refresh();
    return world.monitor.report()[0]!.versions.find(({ version }) => version === '5.0.0')!;
  };

  it('is refused at once when it is too much, and told when to come again', async () => {
    const [only] = pods;
    await limit(1, [only!]);
    slow(30);
    const before = await report();
    const asked = Promise.all(
      Array.from({ length: 140 }, () => request(world.address, infer, { body: '{}' })),
    );
    await until(async () => (await report()).waiting > 10, 'requests wait, and are seen to');
    const answers = await asked;
    const by = Map.groupBy(answers, ({ status }) => status);
    assert.deepEqual([...by.keys()].sort(), [200, 503]);
    assert.ok(by.get(200)!.length > 100, 'a hundred may wait');
    const after = await report();
    assert.equal(after.classes[4]! - before.classes[4]!, by.get(503)!.length);
    assert.equal(after.errors - before.errors, by.get(503)!.length);
    for (const { headers, body } of by.get(503)!) {
      assert.equal(headers['retry-after'], '1');
      assert.deepEqual(JSON.parse(body), { error: 'all pods are busy' });
    }
  });

  it('is refused in gRPC terms too', async () => {
    await limit(1, pods.slice(0, 1));
    slow(30);
    const session = connect(world.address);
    const before = await report();
    try {
      const answers = await Promise.all(Array.from({ length: 140 }, () => call(session)));
      const by = Map.groupBy(answers, ({ status }) => status);
      assert.deepEqual([...by.keys()].sort(), [0, 14]);
      const after = await report();
      assert.equal(after.grpc[14]! - before.grpc[14]!, by.get(14)!.length);
      assert.equal(after.grpc[0]! - before.grpc[0]!, by.get(0)!.length);
      assert.equal(after.errors - before.errors, by.get(14)!.length);
      for (const { headers, trailersOnly } of by.get(14)!) {
        assert.equal(headers['grpc-message'], 'all pods are busy');
        assert.equal(headers[':status'], 200);
        assert.ok(trailersOnly);
      }
    } finally {
      session.destroy();
    }
  });

  it('waits for five seconds, and is refused then', async () => {
    await limit(1, pods.slice(0, 1));
    slow(7_000);
    const first = request(world.address, infer, { body: '{}' });
    await until(() => pods[0]!.open === 1, 'the pod is busy');
    const began = performance.now();
    const second = await request(world.address, infer, { body: '{}' });
    assert.equal(second.status, 503);
    assert.equal(second.headers['retry-after'], '1');
    assert.ok(performance.now() - began >= 4_500);
    assert.equal((await first).status, 200);
    slow(0);
  });
});

describe('a pod that is new', () => {
  it('gets its part slowly', async () => {
    await limit(0, pods.slice(0, 1));
    const guest = await world.pod('5.0.0');
    const weights = async () => {
      const session = await world.agent.session();
      const rows = parseStat(await session.run('show stat -1 4 -1', /^#/), ['addr', 'status', 'weight']);
      session.close();
      return rows
        .filter(({ addr, status }) => addr?.startsWith(`${guest.address}:`) && status?.startsWith('UP'))
        .map(({ weight }) => Number(weight));
    };
    // A machine that stands still for two seconds sees nothing of it, so there are several tries.
    let less = false;
    for (let attempt = 0; attempt < 5 && !less; attempt++) {
      await limit(0, pods.slice(0, 1));
      await until(() => world.agent.retiring === 0, 'it has left', 20_000);
      await limit(0, [pods[0]!, guest]);
      await until(
        async () => {
          const now = await weights();
          less ||= now.some((weight) => weight < 100);
          return now.length === 2 && now.every((weight) => weight === 100);
        },
        'it has all in the end',
        20_000,
      );
    }
    assert.ok(less, 'it begins with less');
  });
});
