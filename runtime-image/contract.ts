/**
 * What the operator and the runtime image promise each other: commands, ports, environment names, paths,
 * labels that routers select by, and the shape of a termination message.
 *
 * Holds constants and types only; imports nothing. The operator's `resources` room writes pods by it, the
 * processes in the image read it, and anybody who builds a compatible image can too.
 */

/** First argument of the runtime image's entry point (`runtime-image/main.ts`). */
export const commands = {
  /** The inference server of a version's pod. */
  serve: 'serve',
  /** Init container: fetches the artifact into the cache volume and verifies it. */
  fetch: 'fetch',
  /** The router agent, which runs HAProxy as its child. */
  route: 'route',
  /** Sidecar of a version's pod: sends golden requests, and is ready while the answers are right. */
  golden: 'golden',
  /** Measures how a server should run a model on this machine; see `server/tuning`. */
  tune: 'tune',
  /** The client: smoke tests and load against an Open Inference Protocol server. */
  load: 'load',
} as const;

/**
 * Flags of Node in every process of the image. Tensors lie outside of V8's heap, which is small: by its own rules every 64 MiB of them
 * that pass through make it search the whole heap, dozens of times a second. So they count like the heap itself, of which garbage may be
 * half as much as what is in use; and what is new is looked through in small portions, since an event loop waits for each.
 */
export const nodeFlags: readonly string[] = [
  '--max-semi-space-size=2',
  '--initial-old-space-size=64',
  '--external-memory-accounted-in-global-limit',
  '--heap-growing-percent=50',
];

/** Default ports of a version's server. They are the Open Inference Protocol's customary ones. */
export const serverPorts = { http: 8080, grpc: 8081, metrics: 8082 } as const;

/**
 * Gauges of `fetch` at `/metrics`, for as long as it runs: bytes that have come, and bytes that there are, which is absent
 * while that is not known.
 */
export const artifactMetrics = {
  fetched: 'sluice_artifact_fetched_bytes',
  size: 'sluice_artifact_size_bytes',
} as const;

/**
 * Gauges of a server that say how its start went: seconds that loading took, seconds of the first run, and what computes
 * (labels `provider`, and `wanted`: another one where the wanted one could not be used). Servers need not have them.
 */
export const startMetrics = {
  loadSeconds: 'sluice_model_load_seconds',
  warmUpSeconds: 'sluice_model_warm_up_seconds',
  provider: 'sluice_execution_provider',
} as const;

/** Name of the init container that runs `fetch`. */
export const fetchContainerName = 'fetch';

/** HTTP port of the golden sidecar, which answers `/readyz`. */
export const goldenPort = 8083;

/** Ports of a model's Service. Each carries HTTP/1.1, clear-text HTTP/2 and gRPC alike. */
export const servicePorts = { http: 8080, grpc: 8081 } as const;

/** Ports of a router pod. Model `i` of the namespace listens on `firstModel + i`, for `i < maxModels`. */
export const routerPorts = {
  firstModel: 10_000,
  maxModels: 500,
  /** gRPC, `sluice.router.v1.Telemetry`: acknowledgements and counters, read by the operator. */
  telemetry: 9090,
  /** HTTP: `/metrics`, `/healthz` and `/readyz`. */
  admin: 9091,
} as const;

/** Environment variables read by the processes in the image. */
export const env = {
  /** Address that servers listen on; absent means all. Nodes without network namespaces set it to the pod's address. */
  bindAddress: 'SLUICE_BIND_ADDRESS',
  /** Pod name, from the downward API. */
  podName: 'POD_NAME',
  /** Pod namespace, from the downward API. */
  podNamespace: 'POD_NAMESPACE',
  /** Name clients call. */
  model: 'SLUICE_MODEL',
  /** Version string, as in `spec.version`. */
  version: 'SLUICE_VERSION',
  /** `spec.artifact.uri`. */
  artifactUri: 'SLUICE_ARTIFACT_URI',
  /** Lower-case hex of the artifact's SHA-256; absent means that any content is accepted. */
  artifactSha256: 'SLUICE_ARTIFACT_SHA256',
  /** Directory that credentials are mounted in (one file per Secret key); absent means none. */
  artifactCredentials: 'SLUICE_ARTIFACT_CREDENTIALS',
  /** Comma-separated URI schemes that may be fetched, besides `https`. Set by the chart, never by a tenant. */
  artifactSchemes: 'SLUICE_ARTIFACT_SCHEMES',
  /**
   * Comma-separated `host[:port]` that may be reached though their addresses are private; those after `http://` are
   * spoken to in clear text. Set by the chart.
   */
  artifactPrivateHosts: 'SLUICE_ARTIFACT_PRIVATE_HOSTS',
  /** Comma-separated `scheme=URL`: where `s3`, `gs` and `hf` artifacts are when a Secret does not say. Set by the chart. */
  artifactEndpoints: 'SLUICE_ARTIFACT_ENDPOINTS',
  /** `spec.artifact.files`: JSON, a list of `{path, sha256?}`, beside the artifact's own file. */
  artifactFiles: 'SLUICE_ARTIFACT_FILES',
  /** UID of the ModelVersion: what a cache remembers of an artifact without a digest is for this version only. */
  artifactOwner: 'SLUICE_ARTIFACT_OWNER',
  /** Folder of fetched content, shared by pods; absent means none. */
  cacheDir: 'SLUICE_CACHE_DIR',
  /** Folder that `pvc:` URIs are relative to: where the claim is mounted. */
  claimDir: 'SLUICE_CLAIM_DIR',
  /** Folder that `file:` URIs are relative to; nothing outside it is ever opened. */
  fileRoot: 'SLUICE_FILE_ROOT',
  /** Folder that the fetched artifact lies in; shared by `fetch` and `serve`. */
  modelDir: 'SLUICE_MODEL_DIR',
  /** HTTP port of the server, decimal. */
  httpPort: 'SLUICE_HTTP_PORT',
  /** gRPC port of the server, decimal. */
  grpcPort: 'SLUICE_GRPC_PORT',
  /** Prometheus port, decimal; also of `fetch`, for which absent means none. */
  metricsPort: 'SLUICE_METRICS_PORT',
  /** Golden requests: JSON, a list of `{inputs, expect}`; see `GoldenRequest`. */
  goldenRequests: 'SLUICE_GOLDEN_REQUESTS',
  /** Time between two rounds of golden requests, such as `30s`. */
  goldenPeriod: 'SLUICE_GOLDEN_PERIOD',
  /** Protocol of golden requests: `HTTP` (default) or `GRPC`. */
  goldenProtocol: 'SLUICE_GOLDEN_PROTOCOL',
  /** Intra-op threads of one session, decimal; absent means the CPU limit. */
  threads: 'SLUICE_THREADS',
  /** Execution provider: `auto` (default: the GPU where there is one), `cpu`, `cuda`, `tensorrt`, `webgpu`. */
  provider: 'SLUICE_PROVIDER',
  /** GPUs of the pod, decimal, default 0. Workers are spread over them, and there is one for each unless told otherwise. */
  gpus: 'SLUICE_GPUS',
  /** Where the reason for an exit is written, for the kubelet to put into the pod's status. */
  terminationLog: 'SLUICE_TERMINATION_LOG',
  /** Seconds, decimal, between SIGTERM and the moment by which the process must have ended. */
  gracePeriod: 'SLUICE_GRACE_PERIOD',
  /** HAProxy binary; default `haproxy` on the PATH. */
  haproxy: 'SLUICE_HAPROXY',
  /** Writable folder of the router: configuration, sockets, state. */
  routerDir: 'SLUICE_ROUTER_DIR',
  /** Inference workers, decimal; default one for each GPU, or one. Each holds the model's weights once. */
  workers: 'SLUICE_WORKERS',
  /** Most bytes of one request's body or message, decimal; default 64 MiB. */
  maxRequestBytes: 'SLUICE_MAX_REQUEST_BYTES',
  /** Most requests that wait for a worker, decimal; default 512. One more is refused. */
  maxQueue: 'SLUICE_MAX_QUEUE',
  /** `spec.server.tune.latency`, such as `20ms`: workers, threads and batch size are measured before serving. */
  tune: 'SLUICE_TUNE',
  /** `spec.server.batching.maxSize`, decimal; default 1, which is no batching. */
  batchSize: 'SLUICE_BATCH_SIZE',
  /** `spec.server.batching.maxDelay`, such as `2ms`; default 0. */
  batchDelay: 'SLUICE_BATCH_DELAY',
  /** Most bytes of an artifact, decimal; default 32 GiB. */
  artifactMaxBytes: 'SLUICE_ARTIFACT_MAX_BYTES',
  /** winston level, default `info`. */
  logLevel: 'SLUICE_LOG_LEVEL',
  /**
   * A fire drill, for rehearsing a rollback, counted from the start of serving: `unready-after=20s`, `exit-after=20s`,
   * `wrong-after=20s`, which is what golden requests are for, `fail-after=20s`,
   * `fail-late-after=20s` (over gRPC, in trailers) or `slow-after=20s`.
   */
  drill: 'SLUICE_DRILL',
} as const;

/** Paths inside the containers of this image. */
export const paths = {
  modelDir: '/var/lib/sluice/model',
  cacheDir: '/var/lib/sluice/cache',
  claimDir: '/var/lib/sluice/claim',
  routerDir: '/var/lib/sluice/router',
  credentials: '/var/run/secrets/sluice.dev/artifact',
  tmp: '/tmp',
  terminationLog: '/dev/termination-log',
} as const;

/** File that `fetch` leaves in the model folder and `serve` opens, unless an archive has its own names. */
export const modelFile = 'model.onnx';

/** File in the model folder, JSON, an `ArtifactRecord`: what `fetch` has put there. */
export const artifactRecordFile = '.artifact.json';

export interface ArtifactFile {
  /** Below the model folder, with `/`. */
  readonly path: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface ArtifactRecord {
  readonly uri: string;
  /** SHA-256 that the artifact as a whole is known by, lower-case hex: of its file, archive or manifest. */
  readonly digest: string;
  readonly files: readonly ArtifactFile[];
}

/** HTTP paths that probes use. */
export const probePaths = { live: '/v2/health/live', ready: '/v2/health/ready' } as const;

/** Labels on every child of a version: pods, Deployment, headless Service and hence its EndpointSlices. */
export const labels = {
  model: 'sluice.dev/model',
  version: 'sluice.dev/version',
} as const;

/**
 * Label on a version's headless Service, and hence on its EndpointSlices, never on pods: requests that one pod can
 * answer at the same time, decimal. Absent means that it is not known.
 */
export const targetConcurrencyLabel = 'sluice.dev/target-concurrency';

/** Names of the ports of a version's headless Service, and hence of its EndpointSlices. */
export const endpointPorts = { http: 'http', grpc: 'grpc' } as const;

/** Header (and gRPC metadata) that names the version: on every answer, and on a request to pin one. */
export const versionHeader = 'sluice-version';

/** Why a process of the image ended. The same words are the operator's condition reasons. */
export const failureReasons = [
  'ArtifactRefused',
  'ArtifactUnreachable',
  'ArtifactNotFound',
  'ArtifactUnauthorized',
  'ArtifactCorrupt',
  'ArtifactTooLarge',
  'ArtifactUnsupported',
  'ArtifactUnsafe',
  'VolumeFull',
  'ModelInvalid',
  'GoldenMismatch',
  'ConfigurationInvalid',
  'InternalError',
] as const;
export type FailureReason = (typeof failureReasons)[number];

/**
 * JSON on one line in the termination log, at most 4 KiB. `fetch` writes one on success too, which is how the
 * digest reaches the status.
 */
export type TerminationMessage =
  | { readonly ok: true; readonly digest: string; readonly bytes: number; readonly seconds: number }
  | { readonly ok: false; readonly reason: FailureReason; readonly message: string };

/** gRPC description of the stream that the operator reads from every router. */
export const telemetryProto: URL = new URL('./telemetry.proto', import.meta.url);
