/** The server as a process, with a real model, as clients and probes meet it. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import './execution/no-telemetry.ts';
import * as ort from 'onnxruntime-node';
import { env, modelFile, versionHeader } from '#contract';
import { ImageProcess, sileroFolder, temporaryFolder } from '../testing/process.ts';
import { loadProtocol, serviceName } from './grpc/service.ts';

type Unary = (
  request: unknown,
  metadata: Metadata,
  done: (error: ServiceError | null, answer: Record<string, unknown>) => void,
) => { on(event: 'metadata', listener: (metadata: Metadata) => void): void };

const local = {
  [env.model]: 'vad',
  [env.version]: '5.0.0',
  [env.bindAddress]: '127.0.0.1',
  [env.httpPort]: '0',
  [env.grpcPort]: '0',
  [env.metricsPort]: '0',
};

/** A tone, so that the answer differs from that for silence. */
const samples = Float32Array.from({ length: 512 }, (_, index) => Math.sin(index / 5) * 0.5);
const state = new Float32Array(256);

function restRequest(overrides: Record<string, unknown> = {}) {
  return {
    id: 'r-1',
    inputs: [
      { name: 'input', datatype: 'FP32', shape: [1, 512], data: [...samples] },
      { name: 'state', datatype: 'FP32', shape: [2, 1, 128], data: [...state] },
      { name: 'sr', datatype: 'INT64', shape: [], data: [16000] },
    ],
    outputs: [{ name: 'output' }],
    ...overrides,
  };
}

function rawOf(array: Float32Array | BigInt64Array): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

function grpcRequest(overrides: Record<string, unknown> = {}) {
  return {
    model_name: 'vad',
    id: 'g-1',
    inputs: [
      { name: 'input', datatype: 'FP32', shape: [1, 512] },
      { name: 'state', datatype: 'FP32', shape: [2, 1, 128] },
      { name: 'sr', datatype: 'INT64', shape: [] },
    ],
    raw_input_contents: [rawOf(samples), rawOf(state), rawOf(BigInt64Array.of(16000n))],
    ...overrides,
  };
}

async function golden(): Promise<{ output: number; state: Float32Array }> {
  const session = await ort.InferenceSession.create(join(sileroFolder, 'silero_vad_v5.onnx'), {
    intraOpNumThreads: 1,
  });
  const results = await session.run({
    input: new ort.Tensor('float32', samples, [1, 512]),
    state: new ort.Tensor('float32', state, [2, 1, 128]),
    sr: new ort.Tensor('int64', BigInt64Array.of(16000n), []),
  });
  return { output: Number(results['output']?.data[0]), state: results['stateN']?.data as Float32Array };
}

function folderWithModel(): string {
  const folder = temporaryFolder();
  copyFileSync(join(sileroFolder, 'silero_vad_v5.onnx'), join(folder, modelFile));
  return folder;
}

function serve(variables: Record<string, string> = {}): ImageProcess {
  const folder = folderWithModel();
  return new ImageProcess('serve', { ...local, [env.modelDir]: folder, ...variables }, folder);
}

async function addresses(server: ImageProcess): Promise<{ http: string; grpc: string; metrics: string }> {
  const line = await server.logged('listening');
  return {
    http: `http://${line['http']}`,
    grpc: String(line['grpc']),
    metrics: `http://${line['metrics']}/metrics`,
  };
}

describe('serve', { timeout: 240_000 }, () => {
  let server: ImageProcess;
  let http: string;
  let metrics: string;
  let client: Client;
  let expected: { output: number; state: Float32Array };

  before(async () => {
    server = serve();
    await server.logged('serving');
    const at = await addresses(server);
    http = at.http;
    metrics = at.metrics;
    const { inference } = loadPackageDefinition(loadProtocol()) as unknown as {
      inference: { GRPCInferenceService: typeof Client };
    };
    client = new inference.GRPCInferenceService(at.grpc, credentials.createInsecure());
    expected = await golden();
  });
  after(async () => {
    client?.close();
    await server?.[Symbol.asyncDispose]();
  });

  function call(
    method: string,
    request: unknown,
  ): Promise<{ answer: Record<string, unknown>; version: unknown }> {
    const unary = (client as unknown as Record<string, Unary>)[method];
    assert.ok(unary);
    return new Promise((resolve, reject) => {
      let version: unknown;
      const sent = unary.call(client, request, new Metadata(), (error, answer) =>
        error === null ? resolve({ answer, version }) : reject(error),
      );
      sent.on('metadata', (metadata) => {
        version = metadata.get(versionHeader)[0];
      });
    });
  }

  const infer = (body: unknown, path = '/v2/models/vad/infer') =>
    fetch(http + path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });

  it('answers over REST what the model answers', async () => {
    const response = await infer(restRequest());
    assert.equal(response.status, 200);
    assert.equal(response.headers.get(versionHeader), '5.0.0');
    assert.deepEqual(await response.json(), {
      id: 'r-1',
      model_name: 'vad',
      model_version: '5.0.0',
      outputs: [{ name: 'output', datatype: 'FP32', shape: [1, 1], data: [expected.output] }],
    });
  });

  it('answers over gRPC what the model answers, raw and typed', async () => {
    const typed = grpcRequest({
      raw_input_contents: [],
      inputs: [
        { name: 'input', datatype: 'FP32', shape: [1, 512], contents: { fp32_contents: [...samples] } },
        { name: 'state', datatype: 'FP32', shape: [2, 1, 128], contents: { fp32_contents: [...state] } },
        { name: 'sr', datatype: 'INT64', shape: [], contents: { int64_contents: [16000] } },
      ],
    });
    for (const request of [grpcRequest(), typed]) {
      const { answer, version } = await call('ModelInfer', request);
      assert.equal(version, '5.0.0');
      assert.equal(answer['id'], 'g-1');
      assert.equal(answer['model_version'], '5.0.0');
      const [output, next] = answer['raw_output_contents'] as Buffer[];
      assert.equal(output?.readFloatLE(0), expected.output);
      assert.deepEqual(next, rawOf(expected.state));
    }
  });

  it('takes and gives binary tensors over REST', async () => {
    const header = Buffer.from(
      JSON.stringify({
        inputs: [
          { name: 'input', datatype: 'FP32', shape: [1, 512], parameters: { binary_data_size: 2048 } },
          { name: 'state', datatype: 'FP32', shape: [2, 1, 128], parameters: { binary_data_size: 1024 } },
          { name: 'sr', datatype: 'INT64', shape: [], data: [16000] },
        ],
        outputs: [{ name: 'output' }, { name: 'stateN', parameters: { binary_data: true } }],
      }),
    );
    const response = await fetch(`${http}/v2/models/vad/versions/5.0.0/infer`, {
      method: 'POST',
      headers: { 'Inference-Header-Content-Length': String(header.byteLength) },
      body: Buffer.concat([header, rawOf(samples), rawOf(state)]),
    });
    assert.equal(response.status, 200);
    const length = Number(response.headers.get('Inference-Header-Content-Length'));
    const body = Buffer.from(await response.arrayBuffer());
    const answer = JSON.parse(body.subarray(0, length).toString());
    assert.deepEqual(answer.outputs[0].data, [expected.output]);
    assert.deepEqual(answer.outputs[1].parameters, { binary_data_size: 1024 });
    assert.deepEqual(body.subarray(length), rawOf(expected.state));
  });

  it('describes itself alike over REST and gRPC', async () => {
    const get = async (path: string) => (await fetch(http + path)).json();
    const rest = await get('/v2/models/vad');
    assert.deepEqual(rest, {
      name: 'vad',
      versions: ['5.0.0'],
      platform: 'onnxruntime_onnx',
      inputs: [
        { name: 'input', datatype: 'FP32', shape: [-1, -1] },
        { name: 'state', datatype: 'FP32', shape: [2, -1, 128] },
        { name: 'sr', datatype: 'INT64', shape: [] },
      ],
      outputs: [
        { name: 'output', datatype: 'FP32', shape: [-1, 1] },
        { name: 'stateN', datatype: 'FP32', shape: [-1, -1, -1] },
      ],
      properties: { execution_provider: 'cpu' },
    });
    const { answer } = await call('ModelMetadata', { name: 'vad' });
    assert.deepEqual(answer['properties'], { execution_provider: 'cpu' });
    assert.deepEqual((answer['inputs'] as { shape: string[] }[])[1]?.shape, ['2', '-1', '128']);
    assert.deepEqual(await get('/v2'), (await call('ServerMetadata', {})).answer);
    assert.equal((await call('ModelReady', { name: 'vad', version: '5.0.0' })).answer['ready'], true);
    assert.deepEqual(await get('/v2/models/vad/ready'), { ready: true });
  });

  it('says what is wrong with a request, and never that it is the server', async () => {
    const without = restRequest().inputs.slice(0, 2);
    const wrongState = restRequest();
    wrongState.inputs[1] = { name: 'state', datatype: 'FP32', shape: [2, 3, 128], data: Array(768).fill(0) };
    const cases: readonly [body: unknown, path: string, status: number, message: RegExp][] = [
      ['{"inputs": [NaN]}', '/v2/models/vad/infer', 400, /not valid JSON/],
      [
        restRequest({ inputs: without }),
        '/v2/models/vad/infer',
        400,
        /^input "sr" is missing; the model's inputs are "input", "state", "sr"$/,
      ],
      [
        restRequest({ outputs: [{ name: 'nope' }] }),
        '/v2/models/vad/infer',
        400,
        /^output "nope" is unknown/,
      ],
      [
        wrongState,
        '/v2/models/vad/infer',
        400,
        /^the model cannot run these inputs: .*Input initial_h must have shape/,
      ],
      [
        restRequest(),
        '/v2/models/vad/versions/6.0.0/infer',
        404,
        /^model "vad" has no version "6.0.0" here; this server has "5.0.0"$/,
      ],
      [restRequest(), '/v2/models/other/infer', 404, /^model "other" is unknown; this server has "vad"$/],
      [restRequest(), '/v2/models/vad/nope', 404, /no such path/],
      ['x'.repeat(65 * 2 ** 20), '/v2/models/vad/infer', 413, /larger than 67108864 bytes/],
    ];
    for (const [body, path, code, message] of cases) {
      const response = await infer(body, path);
      const { error } = (await response.json()) as { error: string };
      assert.match(error, message);
      assert.equal(response.status, code, error);
    }
    // Without a length the limit is met while reading.
    const endless = new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(2 ** 20)) });
    const init = { method: 'POST', body: endless, duplex: 'half' } as RequestInit;
    assert.equal((await fetch(`${http}/v2/models/vad/infer`, init)).status, 413);
    assert.equal((await fetch(`${http}/v2/models/vad/infer`)).status, 405);
    const codes: readonly [overrides: Record<string, unknown>, code: number, message: RegExp][] = [
      [{ model_version: '9' }, status.NOT_FOUND, /has no version "9" here/],
      [{ raw_input_contents: [rawOf(samples)] }, status.INVALID_ARGUMENT, /1 entries for 3 inputs/],
      [
        { raw_input_contents: [rawOf(samples).subarray(4), rawOf(state), rawOf(BigInt64Array.of(1n))] },
        status.INVALID_ARGUMENT,
        /input "input": 2044 bytes of raw contents; FP32 of shape \[1,512\] has 2048/,
      ],
    ];
    for (const [overrides, code, message] of codes) {
      await assert.rejects(call('ModelInfer', grpcRequest(overrides)), (error: ServiceError) => {
        assert.match(error.details, message);
        assert.equal(error.metadata.get(versionHeader)[0], '5.0.0');
        return error.code === code;
      });
    }
  });

  it('lists its services by reflection', async () => {
    const call = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes.toString('latin1'),
    );
    // ServerReflectionRequest { list_services: "" }, field 7.
    call.write(Buffer.from([7 * 8 + 2, 0]));
    const answer = await new Promise<string>((resolve, reject) =>
      call.once('data', resolve).once('error', reject),
    );
    call.end();
    assert.match(answer, /inference\.GRPCInferenceService/);
    assert.match(answer, /grpc\.health\.v1\.Health/);
  });

  it('counts what it refuses before it has come as a whole', async () => {
    const refused = async (protocol: string, outcome: string) => {
      const text = await (await fetch(metrics)).text();
      const labels = `protocol="${protocol}",outcome="${outcome}"`;
      return Number(new RegExp(`^sluice_requests_total{${labels},[^}]*} (\\S+)`, 'm').exec(text)?.[1] ?? 0);
    };
    const before = [await refused('rest', 'TooLarge'), await refused('grpc', 'InvalidArgument')];
    assert.equal((await infer('x'.repeat(65 * 2 ** 20))).status, 413);
    const nonsense = new Promise((_, reject) => {
      client.makeUnaryRequest(
        `/${serviceName}/ModelInfer`,
        (bytes: Buffer) => bytes,
        (bytes) => bytes,
        Buffer.from([0xff, 0xff, 0xff]),
        (error) => reject(error),
      );
    });
    await assert.rejects(nonsense, { code: status.INVALID_ARGUMENT });
    const after = [await refused('rest', 'TooLarge'), await refused('grpc', 'InvalidArgument')];
    assert.deepEqual(
      after,
      before.map((count) => count + 1),
    );
  });

  it('counts', async () => {
    const text = await (await fetch(metrics)).text();
    const value = (name: string) =>
      Number(new RegExp(`^${name}{[^}]*model="vad",version="5.0.0"} (\\S+)`, 'm').exec(text)?.[1]);
    assert.ok(value('nv_inference_request_success') >= 4, text);
    assert.ok(value('nv_inference_count') >= 4);
    assert.ok(value('sluice_compute_seconds_count') >= 4);
    assert.equal(value('sluice_ready'), 1);
    const { answer } = await call('ModelStatistics', { name: 'vad' });
    const [model] = answer['model_stats'] as {
      execution_count: string;
      inference_stats: { success: { count: string } };
    }[];
    assert.ok(Number(model?.inference_stats.success.count) >= 4);
    const rest = (await (await fetch(`${http}/v2/models/vad/stats`)).json()) as {
      model_stats: { execution_count: number }[];
    };
    assert.equal(rest.model_stats[0]?.execution_count, Number(model?.execution_count));
  });
});
