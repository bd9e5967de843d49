/**
 * The runtime with a provider that computes on a GPU, against itself on the processor, with the same model and requests, taking turns:
 * `npm run bench:gpu [-- --help]`. `SLUICE_BENCH_PROVIDER` is `webgpu`, `cuda` or `tensorrt`. Prints one line of JSON for each size of request, and fails
 * when that provider cannot be used, when answers differ, or when a server does not end by itself when it is told to.
 */
import { Client, credentials } from '@grpc/grpc-js';
import { env } from '#contract';
import { perceptron } from '../../runtime-image/testing/onnx.ts';
import { ModelInfer } from './h2-load.ts';
import { readOptions } from './options.ts';
import { requestOf, type Served, serve } from './served.ts';
import { median, quantile, round } from './statistics.ts';

const { rounds, seconds, width, concurrency, threads, workers } = readOptions(
  'npm run bench:gpu',
  'The runtime with a provider that computes on a GPU, against itself on the processor.',
  {
    rounds: { otherwise: 3, what: 'turns of each, of which the medians count' },
    seconds: { otherwise: 3, what: 'seconds of each turn' },
    width: { otherwise: 4096, what: 'width of the five layers; 4096 makes 270 MB of weights' },
    concurrency: { otherwise: 4, what: 'requests under way at a time' },
    threads: { otherwise: 16, what: 'threads of a run on the processor' },
    workers: { otherwise: 1, what: 'workers, each with the model of its own' },
  },
);
const provider = process.env['SLUICE_BENCH_PROVIDER'] ?? 'webgpu';
/** Sums of thousands of products in another order, and with the multiply-adds of another processor. */
const tolerance = 1e-3;

interface Contestant extends AsyncDisposable {
  readonly name: string;
  readonly served: Served;
  readonly startSeconds: number;
  readonly infer: (request: object) => Promise<Float32Array>;
}

async function contestant(name: string, model: Uint8Array): Promise<Contestant> {
  await using stack = new AsyncDisposableStack();
  const began = performance.now();
  const served = stack.use(
    await serve(model, {
      [env.provider]: name,
      [env.threads]: String(threads),
      [env.workers]: String(workers),
    }),
  );
  const startSeconds = (performance.now() - began) / 1000;
  const { provider: computes } = await served.process.logged('model loaded');
  if (computes !== name) {
    const warnings = served.process.log.filter(({ level }) => level === 'warn');
    throw new Error(`${name} cannot be used, ${computes} computes: ${JSON.stringify(warnings)}`);
  }
  const client = new Client(served.grpc, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
  });
  if (ModelInfer === undefined) throw new Error('the protocol has no ModelInfer');
  const { path, requestSerialize, responseDeserialize } = ModelInfer;
  const infer = async (request: object) => {
    const answer = await new Promise<unknown>((resolve, reject) =>
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, value) =>
        error === null ? resolve(value) : reject(error),
      ),
    );
    const [bytes] = (answer as { raw_output_contents: readonly Uint8Array[] }).raw_output_contents;
    return new Float32Array(new Uint8Array(bytes!).buffer);
  };
  const started = stack.move();
  return { name, served, startSeconds, infer, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

/** Milliseconds that each answer took, of as many as there were in that time. */
async function load({ infer }: Contestant, request: object): Promise<number[]> {
  const end = performance.now() + seconds * 1000;
  const took: number[] = [];
  const sender = async () => {
    while (performance.now() < end) {
      const began = performance.now();
      await infer(request);
      took.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, sender));
  return took;
}

async function compare(rows: number, contestants: readonly Contestant[]) {
  const request = requestOf(
    Float32Array.from({ length: rows * width }, (_, index) => Math.sin(index)),
    [rows, width],
  );
  const [first, second] = await Promise.all(contestants.map(({ infer }) => infer(request)));
  const largest = first!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const difference = first!.reduce(
    (most, value, index) => Math.max(most, Math.abs(value - second![index]!)),
    0,
  );
  if (!(difference <= tolerance * largest)) throw new Error(`answers differ by ${difference} of ${largest}`);
  const took = contestants.map((): number[][] => []);
  for (let turn = 0; turn < rounds; turn++) {
    for (const [index, one] of contestants.entries()) took[index]!.push(await load(one, request));
  }
  const measured = contestants.map(({ name }, index) => ({
    name,
    perSecond: round(median(took[index]!.map(({ length }) => length / seconds)), 1),
    p50: round(quantile(took[index]!.flat(), 0.5), 1),
    p99: round(quantile(took[index]!.flat(), 0.99), 1),
  }));
  return {
    rows,
    ratio: round(measured[1]!.perSecond / measured[0]!.perSecond, 2),
    measured,
    difference: Number((difference / largest).toPrecision(2)),
  };
}

const model = perceptron([width, width, width, width, width, 1000]);
await using cpu = await contestant('cpu', model);
await using gpu = await contestant(provider, model);
for (const rows of [1, 64, 512]) process.stdout.write(`${JSON.stringify(await compare(rows, [cpu, gpu]))}\n`);
for (const { name, served, startSeconds } of [cpu, gpu]) {
  const residentMB = round(served.process.residentBytes / 1e6, 0);
  await served.metrics();
  served.process.signal('SIGTERM');
  const exitCode = await served.process.exited;
  const modelMB = round(model.byteLength / 1e6, 0);
  process.stdout.write(
    `${JSON.stringify({ name, startSeconds: round(startSeconds, 1), modelMB, residentMB, exitCode })}\n`,
  );
  if (exitCode !== 0) process.exitCode = 1;
}
