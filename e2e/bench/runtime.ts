/**
 * The runtime's bars, each a ratio of two measurements that take turns in one run, so that a busy machine slows both:
 * `node e2e/bench/runtime.ts [SECONDS]`. Prints one line of JSON per bar, and fails when a bar is not met.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { env, modelFile } from '#contract';
import { identityModel, perceptron } from '../../runtime-image/testing/onnx.ts';
import { ImageProcess, temporaryFolder } from '../../runtime-image/testing/process.ts';

// The yardstick loads ONNX Runtime in this process; see the server for what this keeps it from.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const width = 784;
const rounds = 3;
const measureMs = Number(process.argv[2] ?? 2) * 1000;

const protocol = loadSync(fileURLToPath(new URL('../../runtime-image/inference.proto', import.meta.url)), {
  keepCase: true,
});
const service = protocol['inference.GRPCInferenceService'] as ServiceDefinition;
const Stub = (
  loadPackageDefinition(protocol) as unknown as { inference: { GRPCInferenceService: typeof Client } }
).inference.GRPCInferenceService;
type Infer = (request: object, done: (error: Error | null) => void) => void;

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly [detail: string]: unknown;
}

/** Median of what each of two takes, in turns. */
async function inTurns(
  first: () => Promise<number>,
  second: () => Promise<number>,
): Promise<[number, number]> {
  const seen: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    seen[0].push(await first());
    seen[1].push(await second());
  }
  const median = (list: number[]) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
  return [median(seen[0]), median(seen[1])];
}

async function serve(model: Uint8Array, variables: Record<string, string> = {}) {
  const folder = temporaryFolder();
  writeFileSync(join(folder, modelFile), model);
  const server = new ImageProcess(
    'serve',
    {
      ...{
        [env.model]: 'm',
        [env.version]: '1',
        [env.modelDir]: folder,
        [env.bindAddress]: '127.0.0.1',
        [env.threads]: '1',
      },
      ...{ [env.httpPort]: '0', [env.grpcPort]: '0', [env.metricsPort]: '0', ...variables },
    },
    folder,
  );
  await server.logged('serving');
  return { server, ports: await server.logged('listening') };
}

/** Answers a second with so many requests at a time. @throws the first failure */
function load(address: string, request: object, concurrency: number) {
  const clients = [0, 1].map(
    () =>
      new Stub(address, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
        'grpc.max_receive_message_length': -1,
      }),
  );
  const measure = async (): Promise<number> => {
    let answers = 0;
    const began = performance.now();
    const loop = async (index: number) => {
      const client = clients[index % clients.length] as Client & { ModelInfer: Infer };
      while (performance.now() - began < measureMs) {
        await new Promise<void>((resolve, reject) =>
          client.ModelInfer(request, (error) => (error === null ? resolve() : reject(error))),
        );
        answers += 1;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, (_, index) => loop(index)));
    return (answers * 1000) / (performance.now() - began);
  };
  return {
    measure,
    close: () => {
      for (const client of clients) client.close();
    },
  };
}

const requestOf = (name: string, data: Float32Array, shape: readonly number[]) => ({
  model_name: 'm',
  inputs: [{ name, datatype: 'FP32', shape }],
  raw_input_contents: [Buffer.from(data.buffer)],
});

async function direct(model: Uint8Array, rows: number) {
  const folder = temporaryFolder();
  const modelPath = join(folder, modelFile);
  writeFileSync(modelPath, model);
  const worker = new Worker(new URL('./direct-worker.ts', import.meta.url), {
    workerData: { modelPath, rows, width },
  });
  const next = () =>
    new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await next();
  return {
    measure: () => {
      worker.postMessage(measureMs);
      return next();
    },
    close: async () => {
      await worker.terminate();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A request of `rows` small rows, against the same run made directly in as many workers. */
async function againstDirect(rows: number): Promise<Bar> {
  const model = perceptron([width, 512, 512, 10]);
  const yardstick = await direct(model, rows);
  const { server, ports } = await serve(model);
  const client = load(
    String(ports['grpc']),
    requestOf('x', new Float32Array(rows * width).fill(0.1), [rows, width]),
    8,
  );
  try {
    await client.measure();
    const [own, bare] = await inTurns(client.measure, yardstick.measure);
    return {
      name: `gRPC, batches of ${rows} rows, against session.run`,
      value: own / bare,
      atLeast: 0.5,
      requestsPerSecond: own,
      runsPerSecond: bare,
    };
  } finally {
    client.close();
    await yardstick.close();
    await server[Symbol.asyncDispose]();
  }
}

/** One row per request, with and without batching in the server. */
async function batching(): Promise<Bar[]> {
  const model = perceptron([width, 512, 512, 10]);
  const plain = await serve(model);
  const batched = await serve(model, { [env.batchSize]: '64', [env.batchDelay]: '2ms' });
  const request = requestOf('x', new Float32Array(width).fill(0.1), [1, width]);
  const [without, having] = [plain, batched].map(({ ports }) => load(String(ports['grpc']), request, 128));
  try {
    await having?.measure();
    const [fast, slow] = await inTurns(having!.measure, without!.measure);
    const metrics = await (await fetch(`http://${batched.ports['metrics']}/metrics`)).text();
    const read = (name: string) => Number(new RegExp(`^${name}({[^}]*})? (\\S+)`, 'm').exec(metrics)?.[2]);
    const rowsPerRun = read('nv_inference_count') / read('nv_inference_exec_count');
    return [
      {
        name: 'dynamic batching, single rows',
        value: fast / slow,
        requestsPerSecond: fast,
        unbatched: slow,
        rowsPerRun,
      },
      {
        name: 'event loop delay p99 under full load, ms',
        value: read('nodejs_eventloop_lag_p99_seconds') * 1000,
        atMost: 25,
      },
    ];
  } finally {
    without?.close();
    having?.close();
    await plain.server[Symbol.asyncDispose]();
    await batched.server[Symbol.asyncDispose]();
  }
}

/** Tensors of 1 MB there and back, against a handler of the same library that sends back what it got. */
async function megabytes(): Promise<Bar> {
  const data = new Float32Array(2 ** 18).fill(0.5);
  const { server, ports } = await serve(identityModel([{ name: 'x', type: 'FP32', shape: ['n'] }]));
  const echo = new Server({ 'grpc.max_receive_message_length': -1 });
  echo.addService(service, {
    ModelInfer: (
      call: { request: { raw_input_contents: Buffer[] } },
      done: (error: null, answer: object) => void,
    ) => done(null, { raw_output_contents: call.request.raw_input_contents }),
  });
  const port = await new Promise<number>((resolve, reject) =>
    echo.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  const request = requestOf('x', data, [data.length]);
  const own = load(String(ports['grpc']), request, 4);
  const bare = load(`127.0.0.1:${port}`, request, 4);
  try {
    const [served, echoed] = await inTurns(own.measure, bare.measure);
    return {
      name: '1 MB tensors, against an echo of the same stack',
      value: served / echoed,
      atLeast: 0.7,
      requestsPerSecond: served,
      echoed,
    };
  } finally {
    own.close();
    bare.close();
    echo.forceShutdown();
    await server[Symbol.asyncDispose]();
  }
}

/** From the start of the process to ready, and the memory it then holds, for a model of 100 MB. */
async function start(): Promise<Bar[]> {
  const model = perceptron([2048, 4096, 4096, 32]);
  const began = performance.now();
  const { server } = await serve(model);
  try {
    const ms = performance.now() - began;
    const residentMB = server.residentBytes / 1e6;
    const modelMB = model.byteLength / 1e6;
    return [
      { name: 'start to ready, seconds', value: ms / 1000, modelMB },
      {
        name: 'memory held, against the size of the model',
        value: residentMB / modelMB,
        residentMB,
        modelMB,
      },
    ];
  } finally {
    await server[Symbol.asyncDispose]();
  }
}

function judge(bar: Bar): boolean {
  const met =
    bar.value >= (bar.atLeast ?? Number.NEGATIVE_INFINITY) &&
    bar.value <= (bar.atMost ?? Number.POSITIVE_INFINITY);
  const rounded = Object.fromEntries(
    Object.entries(bar).map(([name, value]) => [
      name,
      typeof value === 'number' ? Number(value.toPrecision(4)) : value,
    ]),
  );
  process.stdout.write(`${JSON.stringify({ ...rounded, met })}\n`);
  return met;
}

const verdicts: boolean[] = [];
for (const measure of [() => againstDirect(32), batching, megabytes, start]) {
  for (const bar of [await measure()].flat()) verdicts.push(judge(bar));
}
if (verdicts.includes(false)) process.exitCode = 1;
