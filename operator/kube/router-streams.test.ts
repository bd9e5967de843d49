import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { telemetryProto } from '#contract';
import type { Change } from '../../kube-client/informer.ts';
import { silent } from '../../kube-client/logger.ts';
import { until } from '../../kube-client/testing/until.ts';
import type { Pod } from '../api/kubernetes.ts';
import { systemClock } from '../engine/clock.ts';
import { RouterStreams } from './router-streams.ts';

type Stream = ServerWritableStream<{ intervalMs: number }, object>;

/** A router's side of the stream, which says what a test wants. */
class FakeRouter {
  readonly streams: Stream[] = [];
  #server = new Server();

  async start(port = 0): Promise<number> {
    const definition = loadSync(fileURLToPath(telemetryProto), { longs: Number, defaults: true });
    const loaded = loadPackageDefinition(definition) as unknown as {
      sluice: { router: { v1: { Telemetry: ServiceClientConstructor } } };
    };
    this.#server = new Server();
    this.#server.addService(loaded.sluice.router.v1.Telemetry.service, {
      Watch: (stream: Stream) => void this.streams.push(stream),
    });
    return new Promise((resolve, reject) =>
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
  }

  report(generation: number, uid = 'm1', pods = 2): void {
    const versions = [{ version: '5.0.0', servers: 2, pods, requests: 10, errors: 1, inFlight: 3 }];
    this.streams
      .at(-1)!
      .write({ router: 'r', epoch: 'e', models: [{ model: 'vad', uid, generation, versions }] });
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

let router: FakeRouter;
let port: number;
let handlers: ((change: Change<Pod>) => void)[];
let changes: string[];
let streams: RouterStreams;

beforeEach(async () => {
  router = new FakeRouter();
  port = await router.start();
  handlers = [];
  changes = [];
  streams = new RouterStreams({
    pods: {
      subscribe(handler) {
        handlers.push(handler);
        return () => handlers.splice(handlers.indexOf(handler), 1);
      },
    },
    isRouter: (pod) => pod.metadata.labels?.['router'] === 'yes',
    onChange: (namespace, model) => changes.push(`${namespace}/${model}`),
    onLost: (namespace) => changes.push(`lost in ${namespace}`),
    lostAfterMs: 400,
    logger: silent,
    clock: systemClock,
    intervalMs: 50,
    port,
  });
  streams.start();
});

afterEach(() => {
  streams.stop();
  router.stop();
});

function pod(ready = true, labels: Record<string, string> = { router: 'yes' }): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'router-0', namespace: 'ns', labels },
    status: { podIP: '127.0.0.1', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

const tell = (now?: Pod, before?: Pod) => {
  for (const handler of handlers)
    handler({ key: 'ns/router-0', ...(now ? { now } : {}), ...(before ? { before } : {}) });
};
const generation = (uid = 'm1') => streams.following('ns', 'router-0', uid)?.generation;

test('a ready router is dialled; what it follows is known, and changes are told once', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  assert.equal(router.streams[0]!.request.intervalMs, 50);
  assert.equal(generation(), undefined);
  router.report(4);
  await until('generation 4', () => generation() === 4);
  router.report(4);
  router.report(5);
  await until('generation 5', () => generation() === 5);
  assert.deepEqual(changes, ['ns/vad', 'ns/vad']);
  assert.equal(generation('its predecessor'), undefined);
  assert.deepEqual(streams.connected, { wanted: 1, open: 1 });
  const [counted] = streams.reports('ns').get('router-0')!.models[0]!.versions;
  assert.partialDeepStrictEqual(counted, {
    version: '5.0.0',
    servers: 2,
    requests: 10,
    errors: 1,
    inFlight: 3,
  });
  assert.equal(streams.reports('other').size, 0);
});

test('versions that a router comes to reach, or ceases to, are told', async () => {
  const reaches = () => [...(streams.following('ns', 'router-0', 'm1')?.reaches ?? [])];
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  router.report(4, 'm1', 0);
  await until('generation 4', () => generation() === 4);
  assert.deepEqual(reaches(), []);
  router.report(4, 'm1', 3);
  await until('5.0.0', () => reaches().join() === '5.0.0');
  router.report(4, 'm1', 2);
  router.report(4, 'm1', 0);
  await until('nothing', () => reaches().length === 0);
  assert.deepEqual(changes, ['ns/vad', 'ns/vad', 'ns/vad']);
});

test('a router of an older release, which does not say what it reaches, is believed to reach what it follows', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  const versions = [{ version: '5.0.0', servers: 2 }];
  const models = [{ model: 'vad', uid: 'm1', generation: 4, versions }];
  router.streams.at(-1)!.write({ router: 'r', epoch: 'e', models });
  await until('generation 4', () => generation() === 4);
  assert.deepEqual([...streams.following('ns', 'router-0', 'm1')!.reaches], ['5.0.0']);
});

test('pods that are no routers, or not ready, are left alone', async () => {
  tell(pod(true, {}));
  tell(pod(false));
  assert.deepEqual(streams.connected, { wanted: 0, open: 0 });
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
});

test('a router that is gone or not ready any more follows nothing', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  router.report(4);
  await until('generation 4', () => generation() === 4);
  let ended = false;
  router.streams[0]!.on('cancelled', () => {
    ended = true;
  });
  tell(pod(false), pod());
  assert.equal(generation(), undefined);
  assert.deepEqual(changes, ['ns/vad', 'ns/vad']);
  await until('the end of the stream', () => ended);
});

test('a broken stream is opened again, and until then nothing is claimed', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  router.report(4);
  await until('generation 4', () => generation() === 4);
  router.stop();
  await until('nothing known', () => generation() === undefined);
  await router.start(port);
  await until('another stream', () => router.streams.length === 2);
  router.report(6);
  await until('generation 6', () => generation() === 6);
});

test('a router that falls silent is dialled again', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  router.report(4);
  await until('generation 4', () => generation() === 4);
  await until('another stream', () => router.streams.length === 2);
});

test('a ready router from which nothing comes for long counts as lost, until it speaks', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  assert.equal(streams.lost('ns', 'router-0'), false);
  await until('the loss', () => streams.lost('ns', 'router-0'));
  assert.ok(changes.includes('lost in ns'));
  router.report(4);
  await until('it is back', () => generation() === 4);
  assert.equal(streams.lost('ns', 'router-0'), false);
  tell(pod(false), pod());
  assert.equal(streams.lost('ns', 'router-0'), false, 'one that is not ready is not waited for anyway');
});

test('what is in flight and counted is known from the first report on', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  assert.equal(streams.concurrency('ns', 'm1'), undefined);
  router.report(4);
  await until('what is in flight', () => streams.concurrency('ns', 'm1') === 3);
  assert.equal(streams.traffic('ns', 'm1').versions.get('5.0.0')?.requests, 0, 'what was before is nobody’s');
});

test('after the end nothing is held open', async () => {
  tell(pod());
  await until('a stream', () => router.streams.length === 1);
  streams.stop();
  assert.deepEqual(streams.connected, { wanted: 0, open: 0 });
  assert.equal(handlers.length, 0);
});
