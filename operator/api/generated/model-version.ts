// Generated from crds/modelversions.sluice.dev.yaml by scripts/generate.ts. Change that file and run `npm run generate`.

import type { ObjectMeta } from '../kubernetes.ts';

export const modelVersionResource = {
  group: 'sluice.dev',
  version: 'v1alpha1',
  plural: 'modelversions',
  kind: 'ModelVersion',
  namespaced: true,
} as const;

/** One immutable model artifact and how to serve it. */
export interface ModelVersion {
  readonly apiVersion: 'sluice.dev/v1alpha1';
  readonly kind: 'ModelVersion';
  readonly metadata: ObjectMeta;
  readonly spec: ModelVersionSpec;
  readonly status?: ModelVersionStatus;
}

export interface ModelVersionSpec {
  /** Name that clients call. The Model of the same name holds the policy. */
  readonly model: string;
  /** Version of the model, unique in the model. Semantic versions are ordered by their precedence. */
  readonly version: string;
  /** What is different about this version, for people. */
  readonly description?: string;
  /**
   * The model file, an archive or an artifact of a registry. Immutable, since a changed model is a new
   * version.
   */
  readonly artifact: ModelVersionArtifact;
  /**
   * Where fetched artifacts are kept, so that a version starts again without its store. Pods copy from it and
   * verify what they copy.
   */
  readonly artifactCache?: ModelVersionArtifactCache;
  /** The inference server. By default the Sluice runtime, which serves ONNX. */
  readonly server: ModelVersionServer;
  /** Where the pods run. */
  readonly placement: ModelVersionPlacement;
  /** Pods of this version while it runs. */
  readonly replicas: number;
  /** What the pods can carry. */
  readonly scaling?: ModelVersionScaling;
  /** How the pods are watched. */
  readonly probes: ModelVersionProbes;
}

/**
 * The model file, an archive or an artifact of a registry. Immutable, since a changed model is a new version.
 */
export interface ModelVersionArtifact {
  /**
   * Where the artifact is: https://host/path, s3://bucket/key, gs://bucket/object,
   * oci://registry/repository:tag, hf://organisation/repository@revision/path or pvc://claim/path; http and
   * file URIs only where the installation allows them. Names that end in .tar, .tar.gz, .tgz, .tar.zst or
   * .zip are archives.
   */
  readonly uri: string;
  /**
   * SHA-256 in lower-case hex of the file, of the archive, or of the manifest of an oci artifact. When given,
   * nothing else is ever loaded.
   */
  readonly sha256?: string;
  /** Files beside the artifact's own in the same place, such as a model's external data. */
  readonly files?: readonly ModelVersionArtifactFile[];
  /** Credentials for the download. */
  readonly credentials?: ModelVersionArtifactCredentials;
}

export interface ModelVersionArtifactFile {
  /** Relative to the folder of uri; where the model looks for it, relative to its own. */
  readonly path: string;
  /** SHA-256 of this file in lower-case hex. */
  readonly sha256?: string;
}

/** Credentials for the download. */
export interface ModelVersionArtifactCredentials {
  /**
   * A Secret of the same namespace with token; username and password; accessKeyId, secretAccessKey and
   * region; serviceAccount.json; or .dockerconfigjson. It may also name an endpoint and ca.crt.
   */
  readonly secretName: string;
}

/**
 * Where fetched artifacts are kept, so that a version starts again without its store. Pods copy from it and
 * verify what they copy.
 */
export interface ModelVersionArtifactCache {
  /** A PersistentVolumeClaim of the same namespace that every node of the pods can mount. */
  readonly claimName: string;
}

/** The inference server. By default the Sluice runtime, which serves ONNX. */
export interface ModelVersionServer {
  /** Any server that speaks the Open Inference Protocol v2. Absent means the Sluice runtime. */
  readonly image?: string;
  /** Arguments for a custom image. */
  readonly args?: readonly string[];
  /** Environment of the server. References to other objects are not possible. */
  readonly env?: readonly ModelVersionServerEnv[];
  /** Ports that the server listens on. */
  readonly ports: ModelVersionServerPorts;
  /** Requests that wait for each other, to be computed together. Absent means none. */
  readonly batching?: ModelVersionServerBatching;
  /**
   * What computes. auto, and absent: the GPU where the pod has one and the image can use it, else the CPU. A
   * provider that cannot be used is reported, and the CPU computes.
   */
  readonly provider?: 'auto' | 'cpu' | 'cuda' | 'tensorrt' | 'webgpu';
  /**
   * Measure workers, threads and batch size on a pod's own hardware when it starts, which takes some twenty
   * seconds, and serve in the way that answers the most within the latency. In place of workers, threads and
   * batching.
   */
  readonly tune?: ModelVersionServerTune;
  /**
   * Inferences at the same time. Each holds the model's weights once. Absent means one for each GPU, or one.
   * With provider webgpu it can only be one.
   */
  readonly workers?: number;
  /** Threads of one inference. Absent means the CPU limit. */
  readonly threads?: number;
  /** Longest time for requests under way to finish when a pod is stopped. */
  readonly gracePeriod: string;
}

export interface ModelVersionServerEnv {
  readonly name: string;
  readonly value: string;
}

/** Ports that the server listens on. */
export interface ModelVersionServerPorts {
  readonly http: number;
  readonly grpc: number;
  readonly metrics: number;
}

/** Requests that wait for each other, to be computed together. Absent means none. */
export interface ModelVersionServerBatching {
  /** Rows of one computation. */
  readonly maxSize: number;
  /** How long a request waits for others at most. */
  readonly maxDelay: string;
}

/**
 * Measure workers, threads and batch size on a pod's own hardware when it starts, which takes some twenty
 * seconds, and serve in the way that answers the most within the latency. In place of workers, threads and
 * batching.
 */
export interface ModelVersionServerTune {
  /** Longest time that 99 of 100 requests may take in the server. */
  readonly latency: string;
}

/** Where the pods run. */
export interface ModelVersionPlacement {
  /** Name of a GPUPool. Absent means any node. */
  readonly pool?: string;
  /** GPUs of one pod. */
  readonly gpus: number;
  /** Compute resources of the server container. GPUs are given by gpus. */
  readonly resources?: ModelVersionPlacementResources;
  /** PriorityClass of the pods. */
  readonly priorityClassName?: string;
}

/** Compute resources of the server container. GPUs are given by gpus. */
export interface ModelVersionPlacementResources {
  readonly requests?: Readonly<Record<string, string | number>>;
  readonly limits?: Readonly<Record<string, string | number>>;
}

/** What the pods can carry. */
export interface ModelVersionScaling {
  /**
   * Requests that one pod can answer at the same time. A rollout gives the version no more traffic than its
   * ready pods can carry by this. Absent means that it is not known.
   */
  readonly targetConcurrency?: number;
}

/** How the pods are watched. */
export interface ModelVersionProbes {
  /** HTTP: the protocol's health endpoints. GRPC: grpc.health.v1. */
  readonly protocol: 'HTTP' | 'GRPC';
  /**
   * Requests with the answers they must give. A pod is ready only while it gives them; a wrong answer is a
   * failure of the version.
   */
  readonly golden?: readonly ModelVersionProbesGolden[];
  /** Time between two rounds of golden requests while the version serves. */
  readonly goldenPeriod: string;
  readonly startup: ModelVersionProbesStartup;
  readonly readiness: ModelVersionProbesReadiness;
}

export interface ModelVersionProbesGolden {
  readonly inputs: readonly ModelVersionProbesGoldenInput[];
  readonly expect: readonly ModelVersionProbesGoldenExpect[];
}

export interface ModelVersionProbesGoldenInput {
  readonly name: string;
  readonly datatype: 'BOOL' | 'INT8' | 'INT16' | 'INT32' | 'INT64' | 'UINT8' | 'UINT16' | 'UINT32' | 'UINT64' | 'FP16' | 'FP32' | 'FP64' | 'BYTES';
  /** Sizes of the dimensions; empty for a scalar. */
  readonly shape: readonly number[];
  /** All values, row by row. */
  readonly data?: readonly unknown[];
  /** One value for all elements. */
  readonly fill?: number;
}

export interface ModelVersionProbesGoldenExpect {
  /** Name of an output. */
  readonly name: string;
  /** All values, row by row. */
  readonly data?: readonly unknown[];
  /** Largest difference to a value of data. */
  readonly tolerance?: number;
  /** Lower bound of every value. */
  readonly min?: number;
  /** Upper bound of every value. */
  readonly max?: number;
}

export interface ModelVersionProbesStartup {
  /** Longest time for a container from its start to readiness. */
  readonly deadline: string;
}

export interface ModelVersionProbesReadiness {
  /** Time between two readiness probes, whole seconds. */
  readonly period: string;
  /** Failed probes in a row after which a pod is not ready. */
  readonly failureThreshold: number;
}

export interface ModelVersionStatus {
  /** metadata.generation that this status speaks of. */
  readonly observedGeneration?: number;
  /** The latest observations, one a type. */
  readonly conditions?: readonly ModelVersionStatusCondition[];
  /** A word for people; programs use conditions. */
  readonly phase?: string;
  /** Hash of everything in the spec that can change how the version behaves. */
  readonly contentHash?: string;
  /** Share of the model's traffic in percent. */
  readonly weight?: number;
  /** Pods that exist. */
  readonly replicas?: number;
  /** Pods that are ready. */
  readonly readyReplicas?: number;
  /** Pods that have all been ready at once; fewer than a part of them are too few. */
  readonly establishedReplicas?: number;
  /** Label selector of the pods. */
  readonly selector?: string;
  /** GPUPool that the pods run on. */
  readonly pool?: string;
  /** Value of the annotation sluice.dev/retry that was acted on last. */
  readonly handledRetry?: string;
  /** When the version last lost its part in serving. */
  readonly idleSince?: string;
  /**
   * Present when pods of it were given up before their time, since another version of the model found no
   * room. The version gets no more pods until it has a part in serving again or is needed for a way back, or
   * until the other one has no part any more and has left the room.
   */
  readonly gaveWay?: ModelVersionStatusGaveWay;
  readonly artifact?: ModelVersionStatusArtifact;
  /**
   * What the servers of ready pods say of their start. Absent for those that say nothing, such as servers of
   * another make.
   */
  readonly server?: ModelVersionStatusServer;
  /** The last thing that went wrong with this version. */
  readonly lastFailure?: ModelVersionStatusLastFailure;
}

export interface ModelVersionStatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

/**
 * Present when pods of it were given up before their time, since another version of the model found no room.
 * The version gets no more pods until it has a part in serving again or is needed for a way back, or until
 * the other one has no part any more and has left the room.
 */
export interface ModelVersionStatusGaveWay {
  /** The version that got the room. */
  readonly to: string;
  /** Pods that it gave up then; 0 when it had lent them before, while it was stable. */
  readonly pods: number;
  /** Pods that it kept; none when absent. */
  readonly kept?: number;
  readonly at: string;
}

export interface ModelVersionStatusArtifact {
  /** Digest of the artifact: of its file, archive or manifest, as sha256:<hex>. */
  readonly digest?: string;
  /** Size of what is loaded, in bytes. */
  readonly bytes?: number;
  /** How long the last fetch took. */
  readonly fetchSeconds?: number;
  /**
   * How far the pods are that fetch the artifact now: the one that is furthest behind of those that say so,
   * of which sixteen are asked at most. Absent while none fetches, or says so.
   */
  readonly fetching?: ModelVersionStatusArtifactFetching;
}

/**
 * How far the pods are that fetch the artifact now: the one that is furthest behind of those that say so, of
 * which sixteen are asked at most. Absent while none fetches, or says so.
 */
export interface ModelVersionStatusArtifactFetching {
  /** Pods that fetch it, those included that do not say how far they are. */
  readonly pods: number;
  /** Bytes that have come. */
  readonly fetchedBytes: number;
  /** Bytes that there are. Absent while that is not known. */
  readonly sizeBytes?: number;
}

/**
 * What the servers of ready pods say of their start. Absent for those that say nothing, such as servers of
 * another make.
 */
export interface ModelVersionStatusServer {
  /** What computes: cpu, cuda, tensorrt or webgpu. */
  readonly provider?: string;
  /** What was to compute and cannot be used. Absent when there was no need to fall back. */
  readonly fallbackFrom?: string;
  /**
   * GPUs of each pod on which nothing is computed, since the CPU computes. Absent when they are used, or when
   * spec.server.provider is cpu.
   */
  readonly unusedGPUs?: number;
  /** How long the slowest pod took to load the model and run it once, after the fetch. */
  readonly loadSeconds?: number;
}

/** The last thing that went wrong with this version. */
export interface ModelVersionStatusLastFailure {
  readonly reason: string;
  readonly message: string;
  readonly pod?: string;
  readonly exitCode?: number;
  readonly at: string;
}
