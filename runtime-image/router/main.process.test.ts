/** The whole router as the image runs it: against an API, acknowledging, reporting, and stopping in order. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { routerPorts, telemetryProto } from '#contract';
import { call, connect, httpLoad, request, until } from './testing/client.ts';
import { FakeApi } from './testing/fake-api.ts';
import { Pod } from './testing/pod.ts';
import { RouterProcess } from './testing/router-process.ts';

const prefix = `127.${64 + (process.pid % 128)}.200`;
const address = `${prefix}.254`;
const api = new FakeApi();
const five = new Pod('5.0.0', `${prefix}.1`);
const six = new Pod('6.0.0', `${prefix}.2`);
let router: RouterProcess;
let client: { Watch(request: object): ClientReadableStream<Report>; close(): void };
let stream: ClientReadableStream<Report>;
const reports: Report[] = [];

interface Report {
  readonly router: string;
  readonly epoch: string;
  readonly latency_bounds_ms: readonly number[];
  readonly models: readonly {
    readonly model: string;
    readonly uid: string;
    readonly generation: number;
    readonly versions: readonly {
      readonly version: string;
      readonly servers: number;
      readonly requests: number;
      readonly errors: number;
      readonly fallbacks: number;
      readonly classes: readonly number[];
      readonly latency: readonly number[];
    }[];
  }[];
}

before(async () => {
  await five.start();
  await six.start();
  await api.start();
  router = await RouterProcess.start(address, api);
});

after(async () => {
  await router?.[Symbol.asyncDispose]();
  client?.close();
  await Promise.all([five.kill(), six.kill(), api.stop().catch(() => {})]);
});

const newest = () => reports.at(-1)?.models[0];

describe('the router', () => {
  it('becomes ready, says what it applied, and routes', async () => {
    await router.ready();
    const loaded = loadPackageDefinition(
      loadSync(fileURLToPath(telemetryProto), {
        keepCase: true,
        longs: Number,
        defaults: true,
        arrays: true,
      }),
    );
    const { Telemetry } = (
      loaded['sluice'] as never as { router: { v1: Record<string, ServiceClientConstructor> } }
    ).router.v1;
    client = new Telemetry!(`${address}:${routerPorts.telemetry}`, credentials.createInsecure()) as never;
    stream = client.Watch({ interval_ms: 200 });
    stream.on('error', () => {});
    stream.on('data', (report: Report) => reports.push(report));
    await until(() => reports.length > 0, 'a report at once');
    assert.equal(reports[0]?.router, 'router-1');

    api.putSlice('5.0.0', [five.address]);
    api.putModel(1, { '5.0.0': 100 });
    await until(() => newest()?.generation === 1, 'the acknowledgement');
    assert.equal(newest()?.uid, 'uid-m');
    assert.equal(
      (await request(address, '/v2/models/m/infer', { body: '{}' })).headers['sluice-version'],
      '5.0.0',
    );
  });

  it('acknowledges a change only when all new requests follow it, and soon', async () => {
    api.putSlice('6.0.0', [six.address]);
    await until(
      () => newest()?.versions.some((one) => one.version === '6.0.0' && one.servers === 1) ?? false,
      'the pod',
    );
    const times: number[] = [];
    for (let generation = 2; generation < 42; generation++) {
      const version = generation % 2 === 0 ? '6.0.0' : '5.0.0';
      const began = performance.now();
      api.putModel(generation, {
        '5.0.0': version === '5.0.0' ? 100 : 0,
        '6.0.0': version === '6.0.0' ? 100 : 0,
      });
      await until(() => newest()?.generation === generation, `generation ${generation}`);
      times.push(performance.now() - began);
      for (let i = 0; i < 3; i++)
        assert.equal(
          (await request(address, '/v2/models/m/infer', { body: '{}' })).headers['sluice-version'],
          version,
        );
    }
    times.sort((a, b) => a - b);
    assert.ok(
      times[Math.floor(times.length * 0.9)]! < 100,
      `90 % within ${times[Math.floor(times.length * 0.9)]} ms`,
    );
  });

  it('counts requests, classes, errors and latency, per version', async () => {
    api.putModel(50, { '5.0.0': 100, '6.0.0': 0 });
    await until(() => newest()?.generation === 50, 'the acknowledgement');
    const counts = async () => {
      await router.admin('/metrics');
      const before = reports.length;
      await until(() => reports.length > before + 1, 'a fresh report');
      return newest()!.versions.find((one) => one.version === '5.0.0')!;
    };
    const start = await counts();
    five.status = 500;
    for (let i = 0; i < 7; i++) await request(address, '/v2/models/m/infer', { body: '{}' });
    five.status = 200;
    for (let i = 0; i < 5; i++) await request(address, '/v2/models/m/infer', { body: '{}' });
    const session = connect(address);
    five.grpcStatus = 13;
    for (let i = 0; i < 3; i++) assert.equal((await call(session)).status, 13);
    five.grpcStatus = 3;
    assert.equal((await call(session)).status, 3);
    five.grpcStatus = 0;
    assert.equal((await call(session)).status, 0);
    session.destroy();
    await until(async () => (await counts()).requests - start.requests === 17, 'all requests are counted');
    const end = await counts();
    assert.equal(
      end.errors - start.errors,
      10,
      'seven of HTTP and three of gRPC; an invalid argument is the caller’s',
    );
    assert.equal(end.classes[4]! - start.classes[4]!, 7);
    assert.equal(end.classes[1]! - start.classes[1]!, 10);
    const timed = (one: typeof end) => one.latency.reduce((sum, count) => sum + count, 0);
    assert.equal(Math.round(timed(end) - timed(start)), 17);

    const { body } = await router.admin('/metrics');
    assert.match(body, /^sluice_router_requests_total\{model="m",version="5\.0\.0"\} \d+$/m);
    assert.match(body, /^sluice_router_applied_generation\{model="m"\} 50$/m);
    assert.match(body, /^sluice_router_request_seconds_count\{model="m",version="5\.0\.0"\} \d+$/m);
  });

  it('keeps serving while the API is away', async () => {
    await api.stop();
    assert.equal((await request(address, '/v2/models/m/infer', { body: '{}' })).status, 200);
    assert.equal((await router.admin('/readyz')).status, 200);
  });

  it('stops in order: unready at once, serving on, then gone within the grace period', async () => {
    const load = httpLoad(address, 4);
    await until(() => load.count > 50, 'load');
    const began = performance.now();
    const exit = router.terminate();
    await until(
      () =>
        router.admin('/readyz').then(
          (answer) => answer.status === 503,
          () => false,
        ),
      'unready',
      500,
    );
    const counted = load.count;
    await until(() => load.count > counted + 50, 'it serves on');
    const outcome = await load.stop();
    assert.deepEqual(Object.keys(outcome), ['200 5.0.0'], JSON.stringify(outcome));
    assert.equal(await exit, 0, router.log);
    assert.ok(performance.now() - began < 4000);
  });
});
