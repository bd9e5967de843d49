/**
 * `tune`: measures workers, threads and batch sizes on the machine that it runs on, within the limits of its container,
 * and says which serve the most rows within a target of latency.
 */
import { stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { parseDuration } from '../../environment.ts';
import { readPlan } from '../../load/plan.ts';
import { Failure } from '../../termination.ts';
import { readConfig, thisMachine } from '../config.ts';
import { mostWorkers } from '../execution/messages.ts';
import { ModelRefused } from '../execution/worker-handle.ts';
import { decodeRaw } from '../protocol/raw.ts';
import type { Tensor } from '../protocol/tensor.ts';
import { best } from './candidates.ts';
import { tune } from './measure.ts';
import { fields, table } from './table.ts';

export const usage = `tune: finds workers, threads and batch size for a target of latency, on this machine

  --model FILE       the model; default: the one that a pod's server serves
  --target 20ms      longest time that 99 of 100 requests may take (default 20ms)
  --time 2s          how long each way is measured (default 2s)
  --request FILE     a request file of load, whose inputs have one row; default: zeros in the model's shapes

It prints a table, and the fields of a ModelVersion that make a server run like the best. The exit code is 0 when the
target can be met, 1 when not, and 2 when the command line is wrong. The provider is that of SLUICE_PROVIDER.`;

export async function main(): Promise<void> {
  const args = process.argv.slice(3);
  if (args.includes('--help')) return print(usage);
  let options: ReturnType<typeof parse>;
  let inputs: readonly Tensor[] | undefined;
  try {
    options = parse(args);
    inputs = options.request === undefined ? undefined : await readInputs(options.request);
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
    process.exitCode = 2;
    return;
  }
  const { targetMs, measureMs } = options;
  // The names say nothing here, and a server needs them.
  const config = readConfig({ SLUICE_MODEL: 'model', SLUICE_VERSION: '0', ...process.env });
  const modelPath = options.model ?? config.modelPath;
  const { provider, gpus } = config;
  try {
    const { size } = await stat(modelPath);
    const measured = await tune({
      engine: { worker: { modelPath, provider }, now: () => performance.now(), devices: gpus },
      room: {
        ...thisMachine(),
        modelBytes: size,
        gpus: provider === 'cpu' ? 0 : Math.max(1, gpus),
        mostWorkers: mostWorkers(provider),
      },
      targetMs,
      measureMs,
      inputs,
      onMeasured: ({ workers, threads, batchSize }) =>
        process.stderr.write(`measured ${workers} workers of ${threads} threads, batches of ${batchSize}\n`),
    });
    const found = best(measured, targetMs);
    print(table(measured, found?.shape));
    if (found === undefined) return;
    if (!found.met) {
      print(`\nNothing has its p99 within ${targetMs} ms. The quickest:`);
      process.exitCode = 1;
    }
    print(`\n${fields(found.shape, targetMs)}`);
  } catch (thrown) {
    if (thrown instanceof ModelRefused) throw new Failure('ModelInvalid', thrown.message, { cause: thrown });
    throw thrown;
  }
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    options: {
      model: { type: 'string' },
      target: { type: 'string', default: '20ms' },
      time: { type: 'string', default: '2s' },
      request: { type: 'string' },
    },
  });
  return {
    model: values.model,
    request: values.request,
    targetMs: duration('--target', values.target),
    measureMs: duration('--time', values.time),
  };
}

function duration(name: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0) throw new Error(`${name} ${text} is no duration such as 20ms or 2s`);
  return ms;
}

async function readInputs(path: string): Promise<readonly Tensor[]> {
  const plan = await readPlan(path);
  return plan.inputs(0).map(({ name, datatype, shape, raw }) => decodeRaw(name, datatype, shape, raw));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
