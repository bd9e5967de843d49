/**
 * The runtime's bars, each a ratio of two measurements that take turns in one run, so that a busy machine slows both:
 * `npm run bench:runtime [-- --help]`. Prints one line of JSON per bar, and fails when a bar is not met.
 * h2load is brought where it is missing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { env, modelFile, nodeFlags } from '#contract';
import { engineLoad } from '../../runtime-image/testing/engine-load.ts';
import { identityModel, perceptron } from '../../runtime-image/testing/onnx.ts';
import { temporaryFolder } from '../../runtime-image/testing/process.ts';
import { h2Load, ModelInfer } from './h2-load.ts';
import { resolutionMs } from './idle-process.ts';
import { readOptions } from './options.ts';
import { requestOf, serve } from './served.ts';
import { median } from './statistics.ts';

// The yardstick loads ONNX Runtime in this process; see the server for what this keeps it from.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

const width = 784;
const { rounds, seconds } = readOptions(
  'npm run bench:runtime',
  'The runtime against session.run called directly, against itself without batching, and against an echo.',
  {
    rounds: { otherwise: 5, what: 'turns of each, of which the medians count' },
    seconds: { otherwise: 2, what: 'seconds of each turn' },
  },
);

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly [detail: string]: unknown;
}

type Measure = () => Promise<number>;

/** Ratio of two measures that take turns: the median of the rounds' ratios, and of each. */
async function inTurns(first: Measure, second: Measure) {
  const seen: [number, number][] = [];
  for (let round = 0; round < rounds; round++) seen.push([await first(), await second()]);
  return {
    ratio: median(seen.map(([a, b]) => a / b)),
    first: median(seen.map(([a]) => a)),
    second: median(seen.map(([, b]) => b)),
  };
}

/** `session.run` in a loop in as many workers as a server has: one. */
async function direct(model: Uint8Array, rows: number) {
  const folder = temporaryFolder();
  const modelPath = join(folder, modelFile);
  writeFileSync(modelPath, model);
  const worker = new Worker(new URL('./direct-worker.ts', import.meta.url), {
    workerData: { modelPath, rows, width },
  });
  const next = async () => (await once(worker, 'message'))[0] as { perSecond: number; cpuMicros: number };
  await next();
  let cpuMicros = 0;
  return {
    /** Processor time of a run, when it was measured last. */
    get cpuMicros() {
      return cpuMicros;
    },
    measure: async () => {
      worker.postMessage(seconds * 1000);
      const measured = await next();
      ({ cpuMicros } = measured);
      return measured.perSecond;
    },
    close: async () => {
      await worker.terminate();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A request with a batch of small rows, against the same run made directly in as many workers. */
async function againstDirect(rows: number, atLeast?: number): Promise<Bar[]> {
  const model = perceptron([width, 512, 512, 10]);
  const yardstick = await direct(model, rows);
  await using served = await serve(model);
  const request = requestOf(new Float32Array(rows * width).fill(0.1), [rows, width]);
  const load = await h2Load({ address: served.grpc, request, connections: 2, streamsPerConnection: 4 });
  await load(seconds);
  let cpuMicros = 0;
  const loaded = async () => {
    const before = served.process.cpuSeconds;
    const perSecond = await load(seconds);
    cpuMicros = ((served.process.cpuSeconds - before) * 1e6) / (perSecond * seconds);
    return perSecond;
  };
  const { ratio, first, second } = await inTurns(loaded, yardstick.measure);
  await yardstick.close();
  await served.metrics();
  return [
    {
      name: `gRPC, requests of ${rows} rows, against session.run`,
      value: ratio,
      ...(atLeast === undefined ? {} : { atLeast }),
      requestsPerSecond: first,
      runsPerSecond: second,
      cpuMicrosPerRequest: cpuMicros,
      cpuMicrosPerRun: yardstick.cpuMicros,
    },
  ];
}

/** One row per request, with and without batching: in the engine alone, and over gRPC. */
async function batching(): Promise<Bar[]> {
  const model = perceptron([width, 512, 512, 10]);
  const limits = { maxSize: 64, maxDelayMs: 2 };
  const batchedEngine = await engineLoad(model, width, limits, 128);
  const plainEngine = await engineLoad(model, width, { maxSize: 1, maxDelayMs: 0 }, 128);
  const ms = seconds * 1000;
  await batchedEngine.measure(ms);
  const engine = await inTurns(
    () => batchedEngine.measure(ms),
    () => plainEngine.measure(ms),
  );
  await batchedEngine.close();
  await plainEngine.close();

  await using plain = await serve(model);
  await using batched = await serve(model, { [env.batchSize]: '64', [env.batchDelay]: '2ms' });
  const request = requestOf(new Float32Array(width).fill(0.1), [1, width]);
  const [without, having] = await Promise.all(
    [plain, batched].map(({ grpc }) =>
      h2Load({ address: grpc, request, connections: 4, streamsPerConnection: 32 }),
    ),
  );
  await having!(seconds);
  const wire = await inTurns(
    () => having!(seconds),
    () => without!(seconds),
  );
  const read = await batched.metrics();
  return [
    {
      name: 'dynamic batching, single rows, in the engine',
      value: engine.ratio,
      atLeast: 3,
      requestsPerSecond: engine.first,
      unbatched: engine.second,
      cpuMicros: batchedEngine.cpuMicros,
      unbatchedCpuMicros: plainEngine.cpuMicros,
    },
    {
      name: 'dynamic batching, single rows, over gRPC',
      value: wire.ratio,
      requestsPerSecond: wire.first,
      unbatched: wire.second,
      rowsPerRun: read('nv_inference_count') / read('nv_inference_exec_count'),
    },
  ];
}

/** What the event loop of a server under full load is late by, beyond a process that has nothing to do meanwhile. */
async function delay(): Promise<Bar[]> {
  await using served = await serve(perceptron([width, 512, 512, 10]), {
    [env.batchSize]: '64',
    [env.batchDelay]: '2ms',
  });
  const request = requestOf(new Float32Array(width).fill(0.1), [1, width]);
  const load = await h2Load({
    address: served.grpc,
    request,
    connections: 4,
    streamsPerConnection: 32,
  });
  await load(seconds);
  // Reading begins the next measurement.
  await served.metrics();
  const idle = await start('./idle-process.ts');
  await idle.next();
  await load(seconds * rounds);
  const read = await served.metrics();
  idle.child.kill('SIGTERM');
  const late = (ms: number) => Math.max(0, ms - resolutionMs);
  const own = late(read('nodejs_eventloop_lag_p99_seconds') * 1000);
  const idleMs = late(Number(await idle.next()));
  return [
    {
      name: 'event loop delay p99 under full load, ms',
      value: own - idleMs,
      atMost: 10,
      measured: own,
      idleProcess: idleMs,
    },
  ];
}

/** A module as a process, and the lines that it prints. */
async function start(module: string): Promise<{ child: ChildProcess; next: () => Promise<string> }> {
  const path = fileURLToPath(new URL(module, import.meta.url));
  const child = spawn(process.execPath, [...nodeFlags, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const next = async () => String((await once(child.stdout, 'data'))[0]).trim();
  return { child, next };
}

/** Tensors of 1 MB there and back, against an echo on the same transport, and on grpc-js. */
async function megabytes(): Promise<Bar[]> {
  const size = 2 ** 18;
  const request = requestOf(new Float32Array(size).fill(0.5), [size]);
  await using served = await serve(identityModel([{ name: 'x', type: 'FP32', shape: ['n'] }]));
  const echo = await start('../../runtime-image/testing/echo-server.ts');
  const echoAt = await echo.next();
  const library = await libraryEcho();
  const flood = (address: string) => h2Load({ address, request, connections: 2, streamsPerConnection: 2 });
  const [own, bare, theirs] = await Promise.all([served.grpc, echoAt, library.address].map(flood));
  await own!(seconds);
  const same = await inTurns(
    () => own!(seconds),
    () => bare!(seconds),
  );
  const other = await inTurns(
    () => own!(seconds),
    () => theirs!(seconds),
  );
  await served.metrics();
  echo.child.kill('SIGTERM');
  library.close();
  return [
    {
      name: '1 MB tensors, against an echo on the same transport',
      value: same.ratio,
      atLeast: 0.7,
      requestsPerSecond: same.first,
      echoed: same.second,
    },
    {
      name: '1 MB tensors, against an echo on grpc-js',
      value: other.ratio,
      requestsPerSecond: other.first,
      echoed: other.second,
    },
  ];
}

/** An echo on grpc-js that does not even decode. In this process, which only waits meanwhile. */
async function libraryEcho(): Promise<{ readonly address: string; readonly close: () => void }> {
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  if (ModelInfer === undefined) throw new Error('the protocol has no ModelInfer');
  // Field 7 of a request is the raw contents, and 6 of an answer, which is all that anybody looks at.
  server.addService(
    { ModelInfer },
    {
      ModelInfer: (
        call: { request: { raw_input_contents: Buffer[] } },
        done: (error: null, answer: object) => void,
      ) => done(null, { raw_output_contents: call.request.raw_input_contents }),
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

/** From the start of the process to ready, and the memory it then holds, for a model of 100 MB. */
async function startUp(): Promise<Bar[]> {
  const model = perceptron([2048, 4096, 4096, 32]);
  const began = performance.now();
  await using served = await serve(model);
  const ms = performance.now() - began;
  const residentMB = served.process.residentBytes / 1e6;
  const modelMB = model.byteLength / 1e6;
  return [
    { name: 'start to ready, seconds', value: ms / 1000, modelMB },
    { name: 'memory held, against the size of the model', value: residentMB / modelMB, residentMB, modelMB },
  ];
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
const measures = [() => againstDirect(64, 0.5), () => againstDirect(1), batching, delay, megabytes, startUp];
for (const measure of measures) {
  for (const bar of await measure()) verdicts.push(judge(bar));
}
if (verdicts.includes(false)) process.exitCode = 1;
