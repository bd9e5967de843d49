/** A running router and what it tells of its requests: every count is held against what clients and pods saw. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseStat } from './counters.ts';
import { sampleUnits } from './latency.ts';
import { Metrics } from './metrics.ts';
import { call, connect, httpLoad, request, until } from './testing/client.ts';
import type { Pod } from './testing/pod.ts';
import { World } from './testing/world.ts';

let world: World;
let five: Pod;
let six: Pod;

before(async () => {
  world = await World.start();
  five = await world.pod('5.0.0');
  six = await world.pod('6.0.0');
  await world.split({ '5.0.0': 100, '6.0.0': 0 });
});
after(() => world.stop());

const infer = '/v2/models/m/infer';
const at = (version: string) => ({ headers: { 'sluice-version': version }, body: '{}' });

async function report(version: string) {
  await world.monitor.refresh();
  return world.monitor.report()[0]!.versions.find((one) => one.version === version)!;
}

describe('counts', () => {
  it('of pods, at once, whatever checks say of them', async () => {
    const pods = async () => [(await report('5.0.0')).pods, (await report('6.0.0')).pods];
    assert.deepEqual(await pods(), [1, 1]);
    const nobody = { ...five.endpoint, version: '6.0.0', address: world.nextAddress() };
    await world.split({ '5.0.0': 50, '6.0.0': 50 }, [five, six, nobody]);
    assert.deepEqual(await pods(), [1, 2]);
    await world.split({ '5.0.0': 50, '6.0.0': 50 }, [five]);
    assert.deepEqual(await pods(), [1, 0]);
    await world.split({ '5.0.0': 50, '6.0.0': 50 });
  });

  it('of answers by class and version', async () => {
    const before = [await report('5.0.0'), await report('6.0.0')];
    for (const [status, count] of [
      [200, 5],
      [404, 3],
      [500, 2],
    ] as const) {
      six.status = status;
      for (let i = 0; i < count; i++) await request(world.address, infer, at('6.0.0'));
    }
    six.status = 200;
    const now = await report('6.0.0');
    assert.deepEqual(
      now.classes.map((count, index) => count - before[1]!.classes[index]!),
      [0, 5, 0, 3, 2],
    );
    assert.equal(now.requests - before[1]!.requests, 10);
    assert.equal(now.errors - before[1]!.errors, 2);
    assert.deepEqual(await report('5.0.0'), before[0]);
  });

  it('of gRPC answers by status', async () => {
    const before = await report('6.0.0');
    const session = connect(world.address);
    for (const [status, count] of [
      [0, 4],
      [3, 3],
      [8, 2],
      [13, 1],
    ] as const) {
      six.grpcStatus = status;
      for (let i = 0; i < count; i++)
        assert.equal((await call(session, { 'sluice-version': '6.0.0' })).status, status);
    }
    six.grpcStatus = 0;
    session.destroy();
    const now = await report('6.0.0');
    const grown = now.grpc.map((count, status) => count - before.grpc[status]!);
    assert.deepEqual(
      grown.flatMap((count, status) => (count > 0 ? [[status, count]] : [])),
      [
        [0, 4],
        [3, 3],
        [8, 2],
        [13, 1],
      ],
    );
    assert.equal(now.errors - before.errors, 3, 'INVALID_ARGUMENT is no fault of the server');
  });

  it('of requests under way', async () => {
    six.delayMs = 1_000;
    const asked = Array.from({ length: 7 }, () => request(world.address, infer, at('6.0.0')));
    await until(async () => (await report('6.0.0')).inFlight === 7, 'seven are under way');
    await Promise.all(asked);
    six.delayMs = 0;
    assert.equal((await report('6.0.0')).inFlight, 0);
  });

  it('go on over a reload', async () => {
    const before = await report('5.0.0');
    await request(world.address, infer, at('5.0.0'));
    await world.monitor.refresh();
    await world.agent.reload('a test');
    await request(world.address, infer, at('5.0.0'));
    assert.equal((await report('5.0.0')).requests - before.requests, 2);
  });

  it('of times, of which the beginning of a burst does not have one for each request', async () => {
    await until(async () => {
      await world.monitor.refresh();
      return world.latency.units === sampleUnits;
    }, 'all requests are timed while there are few');
    const before = await report('5.0.0');
    // Nobody tells HAProxy how many there are.
    world.monitor.stop();
    const began = performance.now();
    const load = httpLoad(world.address, 8);
    await until(() => load.count > 6_000, 'requests', 60_000);
    await load.stop();
    const seconds = (performance.now() - began) / 1_000;
    const timed = (await report('5.0.0')).timed - before.timed;
    assert.ok(timed < 1_000 * (seconds + 1), `${timed} of 6,000 requests were timed in ${seconds} s`);
    world.monitor.start();
  });

  it('of times, which estimate all requests from those that were timed', async () => {
    const load = httpLoad(world.address, 8);
    await until(() => load.count > 2_000, 'requests', 30_000);
    await load.stop();
    await until(async () => (await report('5.0.0')).timed > 50, 'times');
    const { latency = [], timed, requests } = await report('5.0.0');
    const estimated = latency.reduce((sum, count) => sum + count, 0);
    assert.ok(timed <= requests);
    // A request is timed with probability p and counts 1/p: the variance of the sum is at most requests * 1024.
    assert.ok(Math.abs(estimated - requests) < 6 * Math.sqrt(requests * 1024), `${estimated} of ${requests}`);
  });
});

describe('ejections', () => {
  /** Of the pod's two servers, those that get requests. */
  const up = async () => {
    const session = await world.agent.session();
    const rows = parseStat(await session.run('show stat -1 4 -1', /^#/), ['addr', 'status']);
    session.close();
    return rows.filter(({ addr, status }) => addr?.startsWith(`${five.address}:`) && status?.startsWith('UP'))
      .length;
  };

  it('count each time that a pod is taken out, and it comes back', async () => {
    const before = await report('5.0.0');
    for (const time of [1, 2]) {
      five.ready = false;
      await until(async () => (await up()) === 0, 'it is out', 20_000);
      await until(async () => (await report('5.0.0')).ejections === before.ejections + time, 'it is counted');
      five.ready = true;
      await until(async () => (await up()) === 2, 'it is back', 20_000);
    }
    assert.equal((await report('6.0.0')).ejections, 0);
  });

  it('are none when a pod leaves as it should', async () => {
    const before = (await report('5.0.0')).ejections;
    await world.split({ '5.0.0': 100, '6.0.0': 0 }, [six]);
    await until(() => world.agent.retiring === 0, 'it has left', 20_000);
    await world.split({ '5.0.0': 100, '6.0.0': 0 });
    assert.equal((await report('5.0.0')).ejections, before);
  });
});

describe('metrics', () => {
  it('have a line for each thing that is counted, and no text of a client', async () => {
    const hostile = '"} 1\nsluice_router_requests_total{model="other';
    await request(world.address, infer, { headers: { 'sluice-version': 'no-such', 'x-a': 'b' }, body: '{}' });
    await request(world.address, `/${encodeURIComponent(hostile)}`, { body: '{}' });
    const text = await new Metrics(world.monitor).text();
    for (const line of [
      /^sluice_router_requests_total\{model="m",version="6\.0\.0"\} \d+$/m,
      /^sluice_router_responses_total\{model="m",version="6\.0\.0",class="4xx"\} 3$/m,
      /^sluice_router_grpc_responses_total\{model="m",version="6\.0\.0",code="INTERNAL"\} 1$/m,
      /^sluice_router_ejections_total\{model="m",version="5\.0\.0"\} [1-9]\d*$/m,
      /^sluice_router_in_flight\{model="m",version="6\.0\.0"\} 0$/m,
      /^sluice_router_waiting\{model="m",version="6\.0\.0"\} 0$/m,
      /^sluice_router_timed_requests_total\{model="m",version="5\.0\.0"\} \d+$/m,
      /^sluice_router_request_seconds_bucket\{model="m",version="5\.0\.0",le="\+Inf"\} \d+$/m,
    ])
      assert.match(text, line);
    assert.doesNotMatch(text, /no-such|model="other/);
  });

  it('of names that no API server would let in are still whole', async () => {
    const name = 'a"} 1\\\nb';
    const stub = { refresh: async () => {}, report: () => [{ ...world.monitor.report()[0]!, model: name }] };
    const text = await new Metrics(stub).text();
    for (const line of text.split('\n'))
      assert.match(
        line,
        /^$|^# (HELP|TYPE) |^[a-z0-9_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)*\})? ([\d.e+-]+|Nan)$/,
      );
  });
});
