/** Starting, stopping, failing and fire drills of the server, as processes. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, credentials, loadPackageDefinition, type MethodDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath } from 'grpc-health-check';
import { env, modelFile } from '#contract';
import { perceptron } from '../testing/onnx.ts';
import { ImageProcess, sileroFolder, temporaryFolder } from '../testing/process.ts';
import { frame } from './grpc/framing.ts';
import { loadProtocol } from './grpc/service.ts';

const local = {
  [env.model]: 'm',
  [env.version]: '1',
  [env.bindAddress]: '127.0.0.1',
  [env.httpPort]: '0',
  [env.grpcPort]: '0',
  [env.metricsPort]: '0',
};

/** A server over the given model: bytes, or Silero v6. */
function serve(model: Uint8Array | undefined, variables: Record<string, string> = {}): ImageProcess {
  const folder = temporaryFolder();
  const path = join(folder, modelFile);
  if (model === undefined) copyFileSync(join(sileroFolder, 'silero_vad_v6.onnx'), path);
  else writeFileSync(path, model);
  return new ImageProcess('serve', { ...local, [env.modelDir]: folder, ...variables }, folder);
}

function requestOf(data: Float32Array, shape: readonly number[]): object {
  const raw_input_contents = [Buffer.from(data.buffer, data.byteOffset, data.byteLength)];
  return { model_name: 'm', inputs: [{ name: 'x', datatype: 'FP32', shape }], raw_input_contents };
}

function inferenceClient(address: string) {
  const { inference } = loadPackageDefinition(loadProtocol()) as unknown as {
    inference: { GRPCInferenceService: typeof Client };
  };
  const client = new inference.GRPCInferenceService(address, credentials.createInsecure()) as Client & {
    ModelInfer(request: object, done: (error: Error | null, answer: unknown) => void): void;
  };
  const infer = (request: object) =>
    new Promise<unknown>((resolve, reject) =>
      client.ModelInfer(request, (error, answer) => (error === null ? resolve(answer) : reject(error))),
    );
  return { infer, close: () => client.close() };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 15_000; ; await sleep(20)) {
    if (await holds()) return;
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
  }
}

const silero = JSON.stringify({
  inputs: [
    { name: 'input', datatype: 'FP32', shape: [1, 512], data: Array(512).fill(0) },
    { name: 'state', datatype: 'FP32', shape: [2, 1, 128], data: Array(256).fill(0) },
    { name: 'sr', datatype: 'INT64', shape: [], data: [16000] },
  ],
});

describe('the life of a server', { concurrency: 2 }, () => {
  it('drains on SIGTERM: unready at once, still answering, then gone with exit code 0', async () => {
    await using server = serve(undefined, { [env.gracePeriod]: '20' });
    await server.logged('serving');
    const http = `http://${(await server.logged('listening'))['http']}`;
    const infer = () => fetch(`${http}/v2/models/m/infer`, { method: 'POST', body: silero });
    assert.equal((await infer()).headers.get('connection'), 'keep-alive');

    const began = performance.now();
    server.signal('SIGTERM');
    await server.logged('told to stop');
    const ready = await fetch(`${http}/v2/health/ready`);
    assert.equal(ready.status, 503);
    assert.deepEqual(await ready.json(), { ready: false, error: 'the server is shutting down' });
    const answer = await infer();
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('connection'), 'close');
    assert.equal((await fetch(`${http}/v2/health/live`)).status, 200);

    assert.equal(await server.exited, 0);
    assert.ok(performance.now() - began < 20_000, 'within the grace period');
  });

  it('loses no request that reached it while it drains, over either protocol', async () => {
    const wide = perceptron([64, 1024, 1024, 64]);
    await using server = serve(wide, { [env.gracePeriod]: '20', [env.threads]: '1' });
    await server.logged('serving');
    const { http, grpc } = await server.logged('listening');
    const rows = 64;
    const data = new Float32Array(rows * 64).fill(0.5);
    const client = inferenceClient(String(grpc));
    const rest = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, 64], data: [...data] }],
    });
    const overRest = async () => {
      const response = await fetch(`http://${http}/v2/models/m/infer`, { method: 'POST', body: rest });
      assert.equal(response.status, 200, await response.text());
    };
    let sending = true;
    let answered = 0;
    const loop = async (send: () => Promise<unknown>) => {
      while (sending) {
        await send();
        answered += 1;
      }
    };
    const overGrpc = () => client.infer(requestOf(data, [rows, 64]));
    const loops = Promise.all([overRest, overRest, overGrpc, overGrpc, overGrpc, overGrpc].map(loop));
    try {
      await until('requests flow', async () => answered > 20);
      server.signal('SIGTERM');
      await server.logged('told to stop');
      const before = answered;
      await until('requests flow while it drains', async () => answered > before + 10);
      // A burst that will still be queued when the listeners close.
      const burst = Promise.all(Array.from({ length: 60 }, overGrpc));
      sending = false;
      await Promise.all([loops, burst]);
      assert.equal(await server.exited, 0);
    } finally {
      sending = false;
      client.close();
    }
  });

  it('waits for a body that is still on its way', async () => {
    await using server = serve(undefined, { [env.gracePeriod]: '8' });
    await server.logged('serving');
    const { http } = await server.logged('listening');
    const later = Promise.withResolvers<void>();
    const body = new ReadableStream({
      async start(stream) {
        stream.enqueue(Buffer.from(silero.slice(0, 100)));
        await later.promise;
        stream.enqueue(Buffer.from(silero.slice(100)));
        stream.close();
      },
    });
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    const answer = fetch(`http://${http}/v2/models/m/infer`, init);
    await until('the request has begun', async () => (await fetch(`http://${http}/v2`)).ok);
    server.signal('SIGTERM');
    // The listener closes a quarter of the grace period after the signal.
    await until('no new connection is taken', () =>
      fetch(`http://${http}/v2`).then(
        () => false,
        () => true,
      ),
    );
    later.resolve();
    assert.equal((await answer).status, 200);
    assert.equal(await server.exited, 0);
  });

  it('waits for a message over gRPC that comes slowly', async () => {
    await using server = serve(perceptron([64, 4]), { [env.gracePeriod]: '20' });
    await server.logged('serving');
    const { http, grpc } = await server.logged('listening');
    const rows = 4096;
    const { inference } = loadPackageDefinition(loadProtocol()) as unknown as {
      inference: { GRPCInferenceService: { service: Record<string, MethodDefinition<object, object>> } };
    };
    const method = inference.GRPCInferenceService.service['ModelInfer'];
    assert.ok(method);
    const message = method.requestSerialize(requestOf(new Float32Array(rows * 64), [rows, 64]));
    const framed = Buffer.concat(frame([message]));
    const session = connect(`http://${grpc}`);
    const stream = session.request({
      ':method': 'POST',
      ':path': method.path,
      'content-type': 'application/grpc',
    });
    const status = new Promise((resolve, reject) => {
      stream.once('trailers', (trailers) => resolve(trailers['grpc-status']));
      stream.once('close', () => reject(new Error('the call was cut off'))).once('error', reject);
    });
    status.catch(() => undefined);
    stream.resume();
    await new Promise((resolve) => stream.write(framed.subarray(0, 1000), resolve));
    await new Promise((resolve) => session.ping(resolve));
    server.signal('SIGTERM');
    await until('no new connection is taken', () =>
      fetch(`http://${http}/v2`).then(
        () => false,
        () => true,
      ),
    );
    // A slow client, which sends a hundredth of its message now and then.
    const step = Math.ceil(framed.byteLength / 100);
    for (let sent = 1000; sent < framed.byteLength && !stream.closed; sent += step) {
      stream.write(framed.subarray(sent, sent + step));
      await sleep(20);
    }
    stream.end();
    assert.equal(await status, '0');
    session.close();
    assert.equal(await server.exited, 0);
  });

  it('tells those who watch over gRPC that it stops serving', async () => {
    await using server = serve(undefined, { [env.gracePeriod]: '2' });
    const { grpc } = await server.logged('listening');
    const { Health } = (
      loadPackageDefinition(loadSync(protoPath, { enums: String })) as unknown as {
        grpc: { health: { v1: { Health: typeof Client } } };
      }
    ).grpc.health.v1;
    const client = new Health(String(grpc), credentials.createInsecure());
    try {
      const watch = client as unknown as {
        watch(request: object): NodeJS.EventEmitter & AsyncIterable<{ status: string }>;
      };
      const seen: string[] = [];
      const stream = watch.watch({ service: 'inference.GRPCInferenceService' });
      stream.on('error', () => undefined);
      stream.on('data', ({ status }: { status: string }) => {
        seen.push(status);
        if (status === 'SERVING') server.signal('SIGTERM');
      });
      assert.equal(await server.exited, 0);
      assert.deepEqual(seen.slice(-2), ['SERVING', 'NOT_SERVING']);
    } finally {
      client.close();
    }
  });

  it('says why it could not start, for the pod status', async () => {
    const cases: readonly [
      model: Uint8Array,
      variables: Record<string, string>,
      reason: string,
      message: RegExp,
    ][] = [
      [
        Buffer.from('<html>not found</html>'),
        {},
        'ModelInvalid',
        /^ONNX Runtime cannot load the model: Protobuf parsing failed/,
      ],
      [Buffer.alloc(0), {}, 'ModelInvalid', /ModelProto does not have a graph/],
      [
        Buffer.from('x'),
        { [env.artifactSha256]: '0'.repeat(64) },
        'ArtifactCorrupt',
        /^the model's SHA-256 is 2d71/,
      ],
      [
        Buffer.from('x'),
        { [env.threads]: 'many' },
        'ConfigurationInvalid',
        /^SLUICE_THREADS="many" is not a whole number from 1 to 1024$/,
      ],
      [Buffer.from('x'), { [env.model]: '' }, 'ConfigurationInvalid', /^SLUICE_MODEL is not set$/],
    ];
    for (const [model, variables, reason, message] of cases) {
      await using server = serve(model, variables);
      assert.notEqual(await server.exited, 0);
      const { termination } = server;
      assert.ok(!termination.ok);
      assert.equal(termination.reason, reason);
      assert.match(termination.message, message);
    }
  });

  it('drills unreadiness: the probe fails while requests are answered', async () => {
    await using server = serve(undefined, { [env.drill]: 'unready-after=300ms' });
    const http = `http://${(await server.logged('listening'))['http']}`;
    await until('ready', async () => (await fetch(`${http}/v2/health/ready`)).status === 200);
    await until('unready', async () => (await fetch(`${http}/v2/health/ready`)).status === 503);
    const line = await server.logged(
      'DRILL: the readiness probe fails from now on; requests are still answered',
    );
    assert.match(String(line['at']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal((await fetch(`${http}/v2/models/m/infer`, { method: 'POST', body: silero })).status, 200);
  });

  it('drills wrong answers: requests are answered, with other values', async () => {
    await using server = serve(undefined, { [env.drill]: 'wrong-after=300ms' });
    const http = `http://${(await server.logged('listening'))['http']}`;
    const answer = async () => {
      const response = await fetch(`${http}/v2/models/m/infer`, { method: 'POST', body: silero });
      const { outputs } = (await response.json()) as { outputs?: { data: number[] }[] };
      return outputs?.[0]?.data[0];
    };
    await server.logged('DRILL: answers are wrong from now on');
    assert.ok((await answer())! > 1e30);
    assert.equal((await fetch(`${http}/v2/health/ready`)).status, 200);
  });

  it('drills failures: requests fail while the probe does not', async () => {
    await using server = serve(undefined, { [env.drill]: 'fail-after=300ms' });
    const http = `http://${(await server.logged('listening'))['http']}`;
    await server.logged('DRILL: requests fail from now on');
    const answer = await fetch(`${http}/v2/models/m/infer`, { method: 'POST', body: silero });
    assert.equal(answer.status, 500);
    assert.match(await answer.text(), /a fire drill/);
    assert.equal((await fetch(`${http}/v2/health/ready`)).status, 200);
  });

  it('drills late failures: over gRPC requests fail, over REST they are answered', async () => {
    await using server = serve(perceptron([4, 4]), { [env.drill]: 'fail-late-after=300ms' });
    const { http, grpc } = await server.logged('listening');
    await server.logged('DRILL: gRPC requests fail after their answers have begun from now on');
    const client = inferenceClient(String(grpc));
    const data = new Float32Array(4);
    await assert.rejects(client.infer(requestOf(data, [1, 4])), /INTERNAL: a fire drill/);
    client.close();
    const body = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [...data] }],
    });
    assert.equal((await fetch(`http://${http}/v2/models/m/infer`, { method: 'POST', body })).status, 200);
  });

  it('drills slowness: answers are right, and late', async () => {
    await using server = serve(undefined, { [env.drill]: 'slow-after=300ms' });
    const http = `http://${(await server.logged('listening'))['http']}`;
    await server.logged('DRILL: answers are slow from now on');
    const began = performance.now();
    assert.equal((await fetch(`${http}/v2/models/m/infer`, { method: 'POST', body: silero })).status, 200);
    assert.ok(performance.now() - began >= 290);
  });

  it('tunes itself before it serves, when it is told a latency', async () => {
    await using server = serve(perceptron([16, 16, 4]), { [env.tune]: '1m' });
    await server.logged('serving');
    const { chosen, met, measured } = await server.logged('tuned');
    assert.equal(met, true);
    assert.ok((measured as object[]).some((one) => JSON.stringify(one) === JSON.stringify(chosen)));
  });

  it('drills an exit', async () => {
    await using server = serve(undefined, { [env.drill]: 'exit-after=50ms' });
    assert.equal(await server.exited, 70);
    await server.logged('DRILL: the process exits now');
  });

  it('ends at once when told to stop while it loads', async () => {
    await using server = serve(undefined, { [env.gracePeriod]: '20' });
    await server.logged('listening');
    server.signal('SIGTERM');
    assert.equal(await server.exited, 0, JSON.stringify(server.log));
  });
});
