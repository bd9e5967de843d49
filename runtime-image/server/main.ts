/**
 * The inference server of one version: `serve`. This file is its composition root: configuration, clock, signals,
 * the order of starting and stopping.
 *
 * The room holds `protocol/` (pure: decoding, checking and encoding tensors), `execution/` (ONNX Runtime in worker
 * threads), `http/` and `grpc/` (the edges). It must not know Kubernetes, the router or the operator; what it shares
 * with them is in the contract.
 */
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { modelFile } from '#contract';
import { changedFile, findModel, hashFile, readRecord } from '../artifact-record.ts';
import { createLogger, type Logger } from '../logger.ts';
import { Failure } from '../termination.ts';
import { readConfig, type ServeConfig, thisMachine } from './config.ts';
import { serverVersion } from './describe.ts';
import { startDrill } from './drill.ts';
import { Endpoints } from './endpoints.ts';
import { Engine } from './execution/engine.ts';
import { mostWorkers } from './execution/messages.ts';
import { ModelRefused } from './execution/worker-handle.ts';
import { Metrics } from './metrics.ts';
import { ServedModel } from './model.ts';
import { openTracer } from './tracing/tracer.ts';
import { best, delayFor } from './tuning/candidates.ts';
import { tune } from './tuning/measure.ts';

/** Of the grace period, what is kept for ending the process itself. */
const lastMs = 250;

const now = () => performance.now();

/** Serves until a signal asks it to stop; then drains and resolves. @throws Failure */
export async function main(): Promise<void> {
  const logger = createLogger('serve');
  const config = readConfig(process.env);
  const stopped = signalled(logger);
  const model = new ServedModel({ name: config.model, version: config.version }, { now, wall: Date.now });
  const metrics = new Metrics({ model: config.model, version: config.version }, () => model.gauges, now);
  model.measureWith(metrics);
  const tracer = await openTracer(process.env, config);
  model.traceWith(tracer);

  // Listening before loading: a probe sees a live server that is not ready, rather than nobody.
  const endpoints = await Endpoints.open(config, model, metrics, logger);
  logger.info('listening', endpoints.addresses);
  const starting = start(config, model, metrics, logger);
  const engine = await Promise.race([starting, stopped.then(() => undefined)]);
  if (engine !== undefined) {
    model.attach(engine);
    logger.info('serving', { ...endpoints.addresses, serverVersion });
    startDrill(config.drill, model, logger);
    await stopped;
  }
  const began = now();
  model.hold('the server is shutting down');
  logger.info('draining: readiness is denied, requests are still answered', { graceMs: config.graceMs });
  // Ending the process under native code that is loading a model can crash it, so a load that was begun is waited for.
  const loaded = starting.catch(() => undefined);
  await endpoints.drain(config.graceMs, engine !== undefined);
  const last = await Promise.race([
    loaded,
    sleep(Math.max(0, config.graceMs - (now() - began) - lastMs), undefined),
  ]);
  await last?.close();
  await Promise.race([tracer?.close(), sleep(lastMs)]);
  logger.info('stopped', { drainMs: Math.round(now() - began) });
  await flushed(logger);
  // Whatever a library still holds open must not outlive the grace period.
  process.exit(0);
}

function signalled(logger: Logger): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        logger.info('told to stop', { signal });
        resolve();
      });
    }
  });
}

function flushed(logger: Logger): Promise<void> {
  return new Promise((resolve) => {
    logger.once('finish', resolve);
    logger.end();
  });
}

async function start(
  config: ServeConfig,
  model: ServedModel,
  metrics: Metrics,
  logger: Logger,
): Promise<Engine> {
  const { digest, modelPath, bytes } = await verify(config);
  const { provider, gpus } = config;
  try {
    const { threads, workers, batching } = await tuned(config, { digest, modelPath, bytes }, logger);
    const engine = await Engine.start({
      worker: { modelPath, threads, provider },
      workers,
      devices: gpus,
      maxQueue: config.maxQueue,
      batching,
      now,
      onRun: ({ rows, computeMs }) => model.recordRun(rows, computeMs),
      onNote: (note) => {
        logger.warn(note);
        model.changed();
      },
      onDead: (error) => {
        throw new Failure('ModelInvalid', `the model can no longer be loaded: ${error.message}`, {
          cause: error,
        });
      },
      onWorker: () => model.changed(),
    });
    const { report } = engine;
    metrics.recordLoad(report.loadMs, report.warmUpMs);
    metrics.recordProvider(report.provider, provider);
    for (const note of report.notes) logger.warn(note);
    logger.info('model loaded', {
      digest,
      provider: report.provider,
      requestedProvider: config.providerNamed ? provider : 'auto',
      workers,
      threads,
      batchSize: batching.maxSize,
      loadMs: Math.round(report.loadMs),
      warmUpMs: report.warmUpMs === undefined ? null : Math.round(report.warmUpMs),
      inputs: report.spec.inputs,
      outputs: report.spec.outputs,
    });
    return engine;
  } catch (thrown) {
    if (!(thrown instanceof ModelRefused)) throw thrown;
    throw new Failure('ModelInvalid', `ONNX Runtime cannot load the model: ${thrown.message}`, {
      cause: thrown,
    });
  }
}

/** Of each way that is tried: short enough that a start is not held up for long. */
const tuneMeasureMs = 500;

/** How to run the model: as configured, or as measuring finds it to be best. */
async function tuned(
  config: ServeConfig,
  { modelPath, bytes }: Verified,
  logger: Logger,
): Promise<Pick<ServeConfig, 'threads' | 'workers' | 'batching'>> {
  const { provider, gpus, tuneMs } = config;
  if (tuneMs === undefined) return config;
  try {
    const measured = await tune({
      engine: { worker: { modelPath, provider }, now, devices: gpus },
      room: {
        ...thisMachine(),
        modelBytes: bytes,
        gpus: provider === 'cpu' ? 0 : Math.max(1, gpus),
        mostWorkers: mostWorkers(provider),
      },
      targetMs: tuneMs,
      measureMs: tuneMeasureMs,
    });
    const found = best(measured, tuneMs);
    if (found === undefined) return config;
    const { workers, threads, batchSize } = found.shape;
    logger.info('tuned', { targetMs: tuneMs, met: found.met, chosen: found.shape, measured });
    return { workers, threads, batching: { maxSize: batchSize, maxDelayMs: delayFor(tuneMs) } };
  } catch (thrown) {
    if (thrown instanceof ModelRefused) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    logger.warn(`it could not be tuned, and serves as it does by default: ${why}`);
    return config;
  }
}

interface Verified {
  readonly digest: string;
  /** Of the ONNX file. */
  readonly modelPath: string;
  /** Of everything that was fetched, external data included. */
  readonly bytes: number;
}

/** Finds the model and hashes what was fetched. Fetching has verified it, but the volume may have been written to since. */
async function verify({ modelPath, sha256 }: ServeConfig): Promise<Verified> {
  const folder = dirname(modelPath);
  const record = await readRecord(folder);
  if (record === undefined) return verifyFile(modelPath, sha256);
  if (sha256 !== undefined && record.digest !== sha256)
    throw new Failure(
      'ArtifactCorrupt',
      `the artifact's SHA-256 is ${record.digest}; it has to be ${sha256}`,
    );
  const model = findModel(record.files);
  if (typeof model !== 'string') {
    const what =
      model.length === 0 ? 'no .onnx file' : `several .onnx files (${model.slice(0, 5).join(', ')})`;
    throw new Failure('ArtifactUnsupported', `the artifact has ${what}; the model has to be ${modelFile}`);
  }
  const changed = await changedFile(folder, record);
  if (changed !== undefined)
    throw new Failure('ArtifactCorrupt', `${changed} is not what was fetched; its SHA-256 is another`);
  const bytes = record.files.reduce((sum, file) => sum + file.bytes, 0);
  return { digest: record.digest, modelPath: join(folder, model), bytes };
}

/** Of a folder that `fetch` has not filled. */
async function verifyFile(modelPath: string, sha256: string | undefined): Promise<Verified> {
  const found = await stat(modelPath).catch((thrown: unknown) => {
    throw new Failure('ArtifactNotFound', `there is no model at ${modelPath}`, { cause: thrown });
  });
  if (!found.isFile()) throw new Failure('ArtifactNotFound', `${modelPath} is not a file`);
  const digest = await hashFile(modelPath);
  if (sha256 !== undefined && digest !== sha256) {
    throw new Failure('ArtifactCorrupt', `the model's SHA-256 is ${digest}; it has to be ${sha256}`);
  }
  return { digest, modelPath, bytes: found.size };
}
