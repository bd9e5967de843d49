import { commands, env, goldenPort, paths, probePaths } from '#contract';
import { milliseconds } from '../api/duration.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type { DesiredObject } from '../api/kubernetes.ts';
import { contentLabel } from '../api/labels.ts';
import { type ArtifactPolicy, envOf, fieldEnv, type ImageConfig, type Resources } from './images.ts';
import { controlledBy, versionLabels, versionSelector } from './metadata.ts';
import { versionChildName } from './names.ts';
import { containerSecurity, podSecurity } from './pod-security.ts';

export interface VersionWorkload {
  readonly version: ModelVersion;
  readonly contentHash: string;
  readonly replicas: number;
  readonly pool?: GPUPool;
}

export interface VersionConfig {
  readonly runtime: ImageConfig;
  readonly artifacts: ArtifactPolicy;
  /** Resources of a server whose ModelVersion says nothing. */
  readonly defaultResources: Resources;
}

const volumes = {
  model: 'model',
  tmp: 'tmp',
  credentials: 'credentials',
  cache: 'cache',
  claim: 'claim',
} as const;

/** Seconds that a server of another make keeps answering after it was told to stop, while routers turn away from it. */
const foreignDrainSeconds = 5;

/** The Deployment of a version: an init container that fetches and verifies the artifact, and the server. */
export function versionDeployment(
  { version, contentHash, replicas, pool }: VersionWorkload,
  config: VersionConfig,
): DesiredObject {
  const { spec, metadata } = version;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: versionChildName(metadata.name),
      namespace: metadata.namespace!,
      labels: versionLabels(version),
      ownerReferences: controlledBy(version),
    },
    spec: {
      replicas,
      revisionHistoryLimit: 2,
      progressDeadlineSeconds: Math.max(60, seconds(spec.probes.startup.deadline) + 30),
      selector: { matchLabels: versionSelector(version) },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          labels: { ...versionLabels(version), [contentLabel]: contentHash },
          annotations: { 'kubectl.kubernetes.io/default-container': 'server' },
        },
        spec: podSpec(version, pool, config),
      },
    },
  };
}

function podSpec(version: ModelVersion, pool: GPUPool | undefined, config: VersionConfig) {
  const { spec } = version;
  const { priorityClassName } = spec.placement;
  const tolerations = pool?.spec.tolerations;
  const pullSecrets = config.runtime.pullSecrets.map((name) => ({ name }));
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: podSecurity,
    terminationGracePeriodSeconds:
      seconds(spec.server.gracePeriod) + (spec.server.image === undefined ? 0 : foreignDrainSeconds),
    ...(pullSecrets.length === 0 ? {} : { imagePullSecrets: pullSecrets }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    ...(pool?.spec.runtimeClassName === undefined ? {} : { runtimeClassName: pool.spec.runtimeClassName }),
    ...(pool?.spec.nodeSelector === undefined ? {} : { nodeSelector: pool.spec.nodeSelector }),
    ...(tolerations === undefined || tolerations.length === 0 ? {} : { tolerations }),
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: versionSelector(version) },
      },
    ],
    initContainers: [fetchContainer(version, config)],
    containers: [serverContainer(version, pool, config), ...goldenContainers(version, config)],
    volumes: [
      { name: volumes.model, emptyDir: {} },
      { name: volumes.tmp, emptyDir: {} },
      ...fetchMounts(version, config.artifacts).map(({ name, source }) => ({ name, ...source })),
    ],
  };
}

interface FetchMount {
  readonly name: string;
  readonly source: Readonly<Record<string, unknown>>;
  readonly mountPath: string;
  readonly readOnly: boolean;
  /** Tells `fetch` the path. */
  readonly variable: string;
}

/** What only `fetch` gets to see, all of it from the version's own namespace: a pod cannot mount anything else. */
function fetchMounts({ spec }: ModelVersion, { schemes }: ArtifactPolicy): readonly FetchMount[] {
  const { credentials, uri } = spec.artifact;
  const claim = claimOf(uri);
  return [
    ...(credentials === undefined
      ? []
      : [
          {
            name: volumes.credentials,
            // Where it is missing `fetch` says so, which it could not if the pod waited for it.
            source: { secret: { secretName: credentials.secretName, optional: true } },
            mountPath: paths.credentials,
            readOnly: true,
            variable: env.artifactCredentials,
          },
        ]),
    ...(spec.artifactCache === undefined
      ? []
      : [
          {
            name: volumes.cache,
            source: { persistentVolumeClaim: { claimName: spec.artifactCache.claimName } },
            mountPath: paths.cacheDir,
            readOnly: false,
            variable: env.cacheDir,
          },
        ]),
    // Where the scheme is not allowed, `fetch` says so, which it could not if the pod waited for the claim.
    ...(claim === undefined || !schemes.includes('pvc')
      ? []
      : [
          {
            name: volumes.claim,
            source: { persistentVolumeClaim: { claimName: claim, readOnly: true } },
            mountPath: paths.claimDir,
            readOnly: true,
            variable: env.claimDir,
          },
        ]),
  ];
}

/** The claim of a `pvc:` URI. */
const claimOf = (uri: string): string | undefined => /^pvc:\/\/([^/]+)\//.exec(uri)?.[1];

function fetchContainer(version: ModelVersion, { runtime, artifacts }: VersionConfig) {
  const { artifact, artifactCache } = version.spec;
  const mounts = fetchMounts(version, artifacts);
  const endpoints = Object.entries(artifacts.endpoints).map(([scheme, url]) => `${scheme}=${url}`);
  return {
    name: 'fetch',
    image: runtime.image,
    imagePullPolicy: runtime.pullPolicy,
    args: [commands.fetch],
    env: envOf({
      [env.artifactUri]: artifact.uri,
      [env.artifactSha256]: artifact.sha256,
      [env.artifactFiles]: artifact.files === undefined ? undefined : JSON.stringify(artifact.files),
      [env.artifactSchemes]: artifacts.schemes.join(',') || undefined,
      [env.artifactPrivateHosts]: artifacts.privateHosts.join(',') || undefined,
      [env.artifactEndpoints]: endpoints.join(',') || undefined,
      [env.artifactMaxBytes]: String(artifacts.maxBytes),
      // A version that is made anew is another one, and does not get what the cache remembers of the old one.
      [env.artifactOwner]: artifactCache === undefined ? undefined : version.metadata.uid,
      ...Object.fromEntries(mounts.map(({ variable, mountPath }) => [variable, mountPath])),
      [env.modelDir]: paths.modelDir,
      [env.terminationLog]: paths.terminationLog,
      [env.logLevel]: runtime.logLevel,
    }),
    resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '512Mi' } },
    securityContext: containerSecurity(true),
    terminationMessagePath: paths.terminationLog,
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: volumes.model, mountPath: paths.modelDir },
      { name: volumes.tmp, mountPath: paths.tmp },
      ...mounts.map(({ name, mountPath, readOnly }) => ({ name, mountPath, readOnly })),
    ],
  };
}

function serverContainer(version: ModelVersion, pool: GPUPool | undefined, config: VersionConfig) {
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
    terminationMessagePath: paths.terminationLog,
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: volumes.model, mountPath: paths.modelDir, readOnly: true },
      { name: volumes.tmp, mountPath: paths.tmp },
    ],
    ...(own ? {} : { lifecycle: { preStop: { sleep: { seconds: foreignDrainSeconds } } } }),
    ...probes(version),
  };
}

/** No name twice: where the user chooses one of ours, as the CRD allows for the log level, the user's is taken. */
function serverEnv({ spec }: ModelVersion, { runtime }: VersionConfig) {
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
    [env.gracePeriod]: String(seconds(spec.server.gracePeriod)),
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

/**
 * The golden sidecar, for versions that have golden requests: one for every server, whoever made it. The pod is
 * ready only while the answers are right.
 */
function goldenContainers({ spec }: ModelVersion, { runtime }: VersionConfig) {
  const { golden, goldenPeriod, protocol, startup } = spec.probes;
  if (golden === undefined || golden.length === 0) return [];
  const ready = { httpGet: { path: '/readyz', port: 'golden', scheme: 'HTTP' }, timeoutSeconds: 2 };
  return [
    {
      name: 'golden',
      image: runtime.image,
      imagePullPolicy: runtime.pullPolicy,
      args: [commands.golden],
      env: envOf({
        [env.model]: spec.model,
        [env.goldenRequests]: JSON.stringify(golden),
        [env.goldenPeriod]: goldenPeriod,
        [env.goldenProtocol]: protocol,
        [env.httpPort]: String(spec.server.ports.http),
        [env.grpcPort]: String(spec.server.ports.grpc),
        [env.terminationLog]: paths.terminationLog,
        [env.logLevel]: runtime.logLevel,
      }),
      ports: [{ name: 'golden', containerPort: goldenPort, protocol: 'TCP' }],
      resources: { requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '192Mi' } },
      securityContext: containerSecurity(true),
      terminationMessagePath: paths.terminationLog,
      terminationMessagePolicy: 'FallbackToLogsOnError',
      startupProbe: { ...ready, periodSeconds: 1, failureThreshold: seconds(startup.deadline) },
      readinessProbe: { ...ready, periodSeconds: 2, failureThreshold: 1 },
    },
  ];
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
      failureThreshold: seconds(startup.deadline),
    },
    readinessProbe: {
      ...ready,
      periodSeconds: seconds(readiness.period),
      timeoutSeconds: Math.min(5, seconds(readiness.period)),
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

/** Whole seconds, at least one: what probes and grace periods are counted in. */
const seconds = (duration: string): number => Math.max(1, Math.ceil(milliseconds(duration) / 1_000));
