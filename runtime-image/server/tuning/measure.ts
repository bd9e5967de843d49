/** Measures how fast the engine is in each of several shapes, with a request of one row that the model takes. */
import { Histogram } from '../../load/histogram.ts';
import { isBatchable } from '../execution/batch.ts';
import { Engine, type EngineOptions } from '../execution/engine.ts';
import { warmUpInputs } from '../execution/warm-up.ts';
import type { ModelSpec, Tensor } from '../protocol/tensor.ts';
import type { PlannedRequest } from '../protocol/validate.ts';
import { batchSizes, delayFor, type Measured, type Room, splits } from './candidates.ts';

export interface TuneOptions {
  readonly engine: Pick<EngineOptions, 'now' | 'devices'> & {
    readonly worker: Omit<EngineOptions['worker'], 'threads'>;
  };
  readonly room: Room;
  readonly targetMs: number;
  /** Of each shape. */
  readonly measureMs: number;
  /** A request of one row, in the model's words; absent means zeros. */
  readonly inputs?: readonly Tensor[] | undefined;
  readonly onMeasured?: (measured: Measured) => void;
}

/** Before anything counts, of the time that a shape is measured. */
const warmShare = 0.25;

/**
 * @returns what was measured, in the order of trying
 * @throws ModelRefused; or Error when no made-up input satisfies the model
 */
export async function tune(options: TuneOptions): Promise<readonly Measured[]> {
  const measured: Measured[] = [];
  for (const { workers, threads } of splits(options.room)) {
    const { worker, now, devices } = options.engine;
    const engine = await Engine.start({
      worker: { ...worker, threads },
      workers,
      maxQueue: 100_000,
      batching: { maxSize: 1, maxDelayMs: 0 },
      now,
      ...(devices === undefined ? {} : { devices }),
    });
    try {
      const request = await requestFor(engine, options.inputs);
      for (const batchSize of isBatchable(engine.spec) ? batchSizes : [1]) {
        engine.setBatching({ maxSize: batchSize, maxDelayMs: delayFor(options.targetMs) });
        const one = {
          workers,
          threads,
          batchSize,
          ...(await load(engine, request, workers * batchSize, options)),
        };
        measured.push(one);
        options.onMeasured?.(one);
        // A larger batch takes longer still.
        if (one.p50 > options.targetMs) break;
      }
    } finally {
      await engine.close();
    }
  }
  return measured;
}

async function requestFor(engine: Engine, given: readonly Tensor[] | undefined): Promise<PlannedRequest> {
  const outputs = engine.spec.outputs.map(({ name }) => name);
  const tries = given === undefined ? madeUp(engine.spec) : [given];
  let failure = 'its inputs are too large to make up';
  for (const inputs of tries) {
    try {
      await engine.infer({ inputs, outputs });
      return { inputs, outputs };
    } catch (thrown) {
      failure = thrown instanceof Error ? thrown.message : String(thrown);
    }
  }
  throw new Error(`no input to measure with: ${failure}`);
}

/** Zeros, as for warming up. */
function madeUp(spec: ModelSpec): readonly (readonly Tensor[])[] {
  return warmUpInputs(spec).map(({ buffer, inputs }) =>
    inputs.map((input): Tensor => {
      const { name, shape } = input;
      if ('text' in input)
        return { name, shape, datatype: 'BYTES', data: input.text.map((text) => Buffer.from(text)) };
      const { datatype } = input;
      if (datatype === 'BYTES') throw new TypeError('BYTES are text');
      return { name, datatype, shape, data: new Uint8Array(buffer, input.offset, input.bytes) };
    }),
  );
}

/** As many requests as keep every worker at it: one batch that runs and one that waits, for each. */
async function load(
  engine: Engine,
  request: PlannedRequest,
  rows: number,
  { engine: { now }, measureMs }: TuneOptions,
): Promise<Pick<Measured, 'rowsPerSecond' | 'p50' | 'p99'>> {
  const latencies = new Histogram();
  const began = now();
  const counted = began + measureMs * warmShare;
  const end = began + measureMs;
  const sender = async () => {
    while (now() < end) {
      const sent = now();
      await engine.infer(request);
      if (sent >= counted) latencies.record(now() - sent);
    }
  };
  await Promise.all(Array.from({ length: 2 * rows }, sender));
  const round = (value: number) => Number(value.toPrecision(3));
  return {
    rowsPerSecond: Math.round((latencies.count * 1000) / (now() - counted)),
    p50: round(latencies.quantile(0.5) ?? Number.POSITIVE_INFINITY),
    p99: round(latencies.quantile(0.99) ?? Number.POSITIVE_INFINITY),
  };
}
