import { commands, env, paths, probePaths } from '#contract';
import { wholeSeconds } from '../api/duration.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import { envOf, fieldEnv, type ImageConfig, type Resources, termination } from './images.ts';
import { containerSecurity } from './pod-security.ts';
import { volumes } from './volumes.ts';

export interface ServerConfig {
  readonly runtime: ImageConfig;
  /** Resources of a server whose ModelVersion says nothing. */
  readonly defaultResources: Resources;
}

/** Seconds that a server of another make keeps answering after it was told to stop, while routers turn away from it. */
export const foreignDrainSeconds = 5;

/** The container that serves the model: the runtime, or a server of another make. */
export function serverContainer(version: ModelVersion, pool: GPUPool | undefined, config: ServerConfig) {
  const { spec } = version;
  const { ports, image, args } = spec.server;
  const own = image === undefined;
  return {
    name: 'server',
    image: image ?? config.runtime.image,
    imagePullPolicy: own ? config.runtime.pullPolicy : 'IfNotPresent',
    ...(own ? { args: [commands.serve] } : args === undefined ? {} : { args }),
    env: serverEnv(version, config),
    ports: [
      { name: 'http', containerPort: ports.http, protocol: 'TCP' },
      { name: 'grpc', containerPort: ports.grpc, protocol: 'TCP' },
      { name: 'metrics', containerPort: ports.metrics, protocol: 'TCP' },
    ],
    resources: serverResources(version, pool, config.defaultResources),
    securityContext: containerSecurity(own),
    ...termination,
    volumeMounts: [
      { name: volumes.model, mountPath: paths.modelDir, readOnly: true },
      { name: volumes.tmp, mountPath: paths.tmp },
    ],
    ...(own ? {} : { lifecycle: { preStop: { sleep: { seconds: foreignDrainSeconds } } } }),
    ...probes(version),
  };
}

/** No name twice: where the user chooses one of ours, as the CRD allows for the log level, the user's is taken. */
function serverEnv({ spec }: ModelVersion, { runtime }: ServerConfig) {
  const { ports, provider, tune, threads, workers, batching, env: users = [] } = spec.server;
  const { gpus } = spec.placement;
  const ours = envOf({
    [env.model]: spec.model,
    [env.version]: spec.version,
    [env.modelDir]: paths.modelDir,
    [env.httpPort]: String(ports.http),
    [env.grpcPort]: String(ports.grpc),
    [env.metricsPort]: String(ports.metrics),
    [env.artifactSha256]: spec.artifact.sha256,
    [env.batchSize]: batching === undefined ? undefined : String(batching.maxSize),
    [env.batchDelay]: batching?.maxDelay,
    [env.provider]: provider,
    [env.gpus]: gpus > 0 ? String(gpus) : undefined,
    [env.tune]: tune?.latency,
    [env.workers]: workers === undefined ? undefined : String(workers),
    [env.threads]: threads === undefined ? undefined : String(threads),
    [env.terminationLog]: paths.terminationLog,
    [env.gracePeriod]: String(wholeSeconds(spec.server.gracePeriod)),
    [env.logLevel]: runtime.logLevel,
  });
  const chosen = users.map(({ name, value }) => ({ name, value }));
  const named = new Set(chosen.map(({ name }) => name));
  return [
    ...chosen,
    ...ours.filter(({ name }) => !named.has(name)),
    fieldEnv(env.podName, 'metadata.name'),
    fieldEnv(env.podNamespace, 'metadata.namespace'),
  ];
}

function serverResources({ spec }: ModelVersion, pool: GPUPool | undefined, defaults: Resources): Resources {
  const { resources = defaults, gpus } = spec.placement;
  const name = pool?.spec.resourceName;
  const devices = gpus > 0 && name !== undefined ? { [name]: String(gpus) } : {};
  return {
    requests: { ...resources.requests, ...devices },
    limits: { ...resources.limits, ...devices },
  };
}

/** Start-up is looked at every second, so that a fast server is not kept waiting; then readiness and liveness take over. */
function probes({ spec }: ModelVersion) {
  const { startup, readiness } = spec.probes;
  const ready = probeOf(spec, probePaths.ready);
  return {
    startupProbe: {
      ...ready,
      periodSeconds: 1,
      timeoutSeconds: 5,
      failureThreshold: wholeSeconds(startup.deadline),
    },
    readinessProbe: {
      ...ready,
      periodSeconds: wholeSeconds(readiness.period),
      timeoutSeconds: Math.min(5, wholeSeconds(readiness.period)),
      failureThreshold: readiness.failureThreshold,
    },
    livenessProbe: {
      ...probeOf(spec, probePaths.live),
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
    },
  };
}

const probeOf = ({ probes: { protocol }, server: { ports } }: ModelVersion['spec'], path: string) =>
  protocol === 'GRPC'
    ? { grpc: { port: ports.grpc, service: '' } }
    : { httpGet: { path, port: 'http', scheme: 'HTTP' } };
