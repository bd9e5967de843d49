/** Configuration of `serve`, read once from the environment. Refuses what it does not understand, by name. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { env, modelFile, paths, serverPorts } from '#contract';
import {
  digest,
  type Environment,
  integer,
  oneOf,
  optional,
  parseDuration,
  required,
} from '../environment.ts';
import { Failure } from '../termination.ts';
import { mostWorkers, type Provider, providers } from './execution/messages.ts';
import type { BatchLimits } from './execution/queue.ts';

const drills = ['unready', 'wrong', 'fail', 'fail-late', 'slow', 'exit'] as const;

/** A fire drill: what to do, and how long after the start of serving. */
export interface Drill {
  readonly action: (typeof drills)[number];
  readonly afterMs: number;
}

export interface ServeConfig {
  readonly model: string;
  readonly version: string;
  readonly modelPath: string;
  /** Lower-case hex; nothing else is ever loaded. */
  readonly sha256: string | undefined;
  /** Undefined means every address of the machine. */
  readonly bindAddress: string | undefined;
  readonly ports: { readonly http: number; readonly grpc: number; readonly metrics: number };
  readonly threads: number;
  readonly workers: number;
  readonly provider: Provider;
  /** Whether the provider was asked for by name, and not chosen here. */
  readonly providerNamed: boolean;
  readonly gpus: number;
  readonly maxRequestBytes: number;
  /** Of all requests at one time. */
  readonly maxHeldBytes: number;
  readonly maxQueue: number;
  readonly batching: BatchLimits;
  /** Latency to tune for before serving, in milliseconds; undefined means as configured. */
  readonly tuneMs: number | undefined;
  readonly graceMs: number;
  readonly drill: Drill | undefined;
}

const port = { min: 0, max: 65_535 };

/** What the machine, or the container's limits, leave to this process; decides what nothing else does. */
export interface Machine {
  /** Cores, which may be a fraction. */
  readonly cpus: number;
  readonly memoryBytes: number;
}

export function readConfig(source: Environment, machine: Machine = thisMachine()): ServeConfig {
  const gpus = integer(source, env.gpus, 0, { min: 0, max: 64 });
  const { provider, providerNamed } = readProvider(source, gpus);
  const maxRequestBytes = integer(source, env.maxRequestBytes, 64 * 2 ** 20, { min: 1024, max: 2 ** 31 - 1 });
  return {
    model: required(source, env.model),
    version: required(source, env.version),
    modelPath: join(optional(source, env.modelDir) ?? paths.modelDir, modelFile),
    sha256: digest(source, env.artifactSha256),
    bindAddress: optional(source, env.bindAddress),
    ports: {
      http: integer(source, env.httpPort, serverPorts.http, port),
      grpc: integer(source, env.grpcPort, serverPorts.grpc, port),
      metrics: integer(source, env.metricsPort, serverPorts.metrics, port),
    },
    threads: integer(source, env.threads, Math.max(1, Math.floor(machine.cpus)), { min: 1, max: 1024 }),
    workers: readWorkers(source, provider, gpus),
    provider,
    providerNamed,
    gpus,
    maxRequestBytes,
    // A quarter: a request is held as received and as inputs, and its answer as outputs and as sent.
    maxHeldBytes: Math.max(2 * maxRequestBytes, Math.floor(machine.memoryBytes / 4)),
    maxQueue: integer(source, env.maxQueue, 512, { min: 1, max: 1_000_000 }),
    batching: {
      maxSize: integer(source, env.batchSize, 1, { min: 1, max: 65_536 }),
      maxDelayMs: duration(source, env.batchDelay, 0),
    },
    tuneMs: optional(source, env.tune) === undefined ? undefined : duration(source, env.tune, 0),
    graceMs: integer(source, env.gracePeriod, 30, { min: 0, max: 86_400 }) * 1000,
    drill: readDrill(source),
  };
}

/** Asked for nothing, the GPU is used where there is one, and the image has what it takes. */
function readProvider(
  source: Environment,
  gpus: number,
): { readonly provider: Provider; readonly providerNamed: boolean } {
  const word = oneOf(source, env.provider, 'auto', ['auto', ...providers]);
  if (word !== 'auto') return { provider: word, providerNamed: true };
  const gpu = (gpus > 0 || existsSync('/dev/nvidiactl')) && hasCudaProvider();
  return { provider: gpu ? 'cuda' : 'cpu', providerNamed: false };
}

function readWorkers(source: Environment, provider: Provider, gpus: number): number {
  const most = mostWorkers(provider);
  const usual = provider === 'cpu' ? 1 : Math.min(most, Math.max(1, gpus));
  const workers = integer(source, env.workers, usual, { min: 1, max: 256 });
  if (workers <= most) return workers;
  throw new Failure(
    'ConfigurationInvalid',
    `${env.workers}=${JSON.stringify(String(workers))} must be 1 with provider ${provider}, which has one device for the whole process`,
  );
}

/** Whether the image was built with it; see the Dockerfile. */
function hasCudaProvider(): boolean {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  const binaries = join(dirname(main), '../bin/napi-v6', process.platform, process.arch);
  return existsSync(join(binaries, 'libonnxruntime_providers_cuda.so'));
}

function duration(source: Environment, name: string, fallback: number): number {
  const text = optional(source, name);
  if (text === undefined) return fallback;
  const ms = parseDuration(text);
  if (ms === undefined) {
    throw new Failure(
      'ConfigurationInvalid',
      `${name}=${JSON.stringify(text)} is no duration such as 2ms or 20s`,
    );
  }
  return ms;
}

function readDrill(source: Environment): Drill | undefined {
  const text = optional(source, env.drill);
  if (text === undefined) return undefined;
  const match = new RegExp(`^(${drills.join('|')})-after=(.+)$`).exec(text);
  const afterMs = parseDuration(match?.[2] ?? '');
  if (match === null || afterMs === undefined) {
    throw new Failure(
      'ConfigurationInvalid',
      `${env.drill}=${JSON.stringify(text)} is not ACTION-after=DURATION, where ACTION is one of ${drills.join(', ')}`,
    );
  }
  return { action: match[1] as Drill['action'], afterMs };
}

export function thisMachine(): Machine {
  // Zero, or more than there is, where no limit is set.
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return { cpus: cpuLimit(), memoryBytes: Math.min(limit, totalmem()) };
}

/** Cores that the control group allows, as the container's CPU limit sets it; else those of the machine. */
export function cpuLimit(root = '/sys/fs/cgroup'): number {
  const cores = availableParallelism();
  const two = read(join(root, 'cpu.max'))?.split(' ');
  const one = [read(join(root, 'cpu/cpu.cfs_quota_us')), read(join(root, 'cpu/cpu.cfs_period_us'))];
  const [quota, period] = (two ?? one).map(Number);
  const limit = (quota ?? Number.NaN) / (period ?? Number.NaN);
  return limit > 0 ? Math.min(limit, cores) : cores;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
