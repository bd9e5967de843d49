/**
 * load: a client of the Open Inference Protocol v2, over REST and gRPC, that checks answers and measures. It runs as a
 * command of the image (smoke tests, load from inside a cluster), and its modules are the client that golden checks use.
 *
 * It shares no code with the server, so that a mistake in one is seen by the other. It must not know Kubernetes.
 */
import { setTimeout as after } from 'node:timers/promises';
import type { Answer, Client } from './client.ts';
import { generate, type Load, type Observer } from './generator.ts';
import { grpcClient } from './grpc-client.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { readPlan } from './plan.ts';
import { restClient } from './rest-client.ts';
import { Tally } from './tally.ts';
import { decode } from './tensor.ts';

/** Failures printed as they happen; the summary counts all of them. */
const printedFailures = 100;

export async function main(): Promise<void> {
  const args = process.argv.slice(3);
  if (args.includes('--help')) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  let options: Options;
  let load: Load;
  try {
    options = parseOptions(args);
    load = await readLoad(options);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 2;
    return;
  }
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  const errors = await run(options, load, print, stop.signal);
  if (errors > 0) process.exitCode = 1;
}

async function readLoad(options: Options): Promise<Load> {
  const plan = await readPlan(options.request);
  const model = options.model ?? plan.model;
  if (model === undefined) throw new Error('--model is needed, since the request file names none');
  const { version, timeoutMs, concurrency, rate, count } = options;
  return { plan, model, version, timeoutMs, concurrency, rate, count };
}

/** Sends the load, tells `report` of it, and resolves to the number of failed requests. */
export async function run(
  options: Options,
  load: Load,
  report: (line: object) => void,
  signal: AbortSignal,
): Promise<number> {
  const { target, connections, headers, warmupMs, durationMs, intervalMs } = options;
  const client: Client =
    target.protocol === 'rest'
      ? restClient(target.address, connections, headers)
      : grpcClient(target.address, connections, headers);
  try {
    if (warmupMs > 0) {
      const warm = AbortSignal.any([signal, AbortSignal.timeout(warmupMs)]);
      await generate(client, { ...load, count: undefined }, { answered: () => {}, failed: () => {} }, warm);
    }
    return await measured(client, options, load, report, signal, { durationMs, intervalMs });
  } finally {
    await client.close();
  }
}

async function measured(
  client: Client,
  options: Options,
  load: Load,
  report: (line: object) => void,
  signal: AbortSignal,
  times: { readonly durationMs: number | undefined; readonly intervalMs: number },
): Promise<number> {
  const tally = new Tally();
  const observer = observe(tally, options, report);
  const start = performance.now();
  report({
    kind: 'start',
    at: now(),
    target: options.target,
    model: load.model,
    version: load.version ?? 'any',
  });

  const done = new AbortController();
  const ticking = tick(times.intervalMs, done.signal, (seconds) => {
    report({ kind: 'interval', at: now(), seconds, recent: tally.recent(), total: tally.total() });
  });
  const ends =
    times.durationMs === undefined
      ? signal
      : AbortSignal.any([signal, AbortSignal.timeout(times.durationMs)]);
  await generate(client, load, observer, ends);
  done.abort();
  await ticking;

  const seconds = (performance.now() - start) / 1000;
  const total = tally.total();
  const throughput = Math.round((total.requests / seconds) * 10) / 10;
  report({ kind: 'summary', at: now(), seconds: Math.round(seconds * 1000) / 1000, throughput, ...total });
  return total.errors;
}

function observe(tally: Tally, options: Options, report: (line: object) => void): Observer {
  let printed = 0;
  return {
    answered: (answer, step, ms) => {
      tally.succeeded(answer.version, ms);
      if (options.print.length > 0) {
        report({ kind: 'answer', step, version: answer.version, outputs: chosen(answer, options.print) });
      }
    },
    failed: (error, step, ms) => {
      const note = tally.failed(error, ms, new Date());
      if (printed < printedFailures) report({ kind: 'failure', step, ...note });
      printed += 1;
    },
  };
}

function chosen(answer: Answer, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    answer.outputs
      .filter(({ name }) => names.includes(name))
      .map(({ name, datatype, raw }) => [name, decode(datatype, raw)]),
  );
}

/** Calls `each` with the seconds since the start, every `ms`, until the signal aborts; never when `ms` is 0. */
async function tick(ms: number, signal: AbortSignal, each: (seconds: number) => void): Promise<void> {
  const start = performance.now();
  while (ms > 0 && !signal.aborted) {
    await after(ms, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) each(Math.round((performance.now() - start) / 100) / 10);
  }
}

function now(): string {
  return new Date().toISOString();
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
