/**
 * Every reason that Sluice gives in conditions, events and metric labels: one closed set, documented here and
 * nowhere else. Reasons never change their meaning; a new meaning is a new word.
 */

import type { FailureReason } from '#contract';

/** What a version's pods can suffer, beside what a process of the image says of itself. */
export const podFailureReasons = {
  /** `fetch` ended with an error that it could not explain. */
  ArtifactFetchFailed: 'the artifact could not be fetched',
  /** The container restarts again and again. */
  CrashLoop: 'a container keeps crashing',
  /** The kernel killed the container at its memory limit. */
  OutOfMemory: 'a container was killed at its memory limit',
  /** The image cannot be pulled. */
  ImagePullFailed: 'an image cannot be pulled',
  /** The kubelet cannot create the container: its image wants to run as root, say. */
  PodConfigurationInvalid: 'a container cannot be created',
  /** No node fits. */
  Unschedulable: 'no node can take a pod',
  /** The API server refuses the pods: quota, Pod Security. */
  PodsForbidden: 'pods may not be created',
  /** The node or an eviction ended the pod. */
  PodFailed: 'a pod was ended from outside',
} as const;

/** Why a version fails though its pods say nothing themselves. */
export const versionFailureReasons = {
  /** Pods were ready and are not any more. */
  ReadinessLost: 'too few pods are ready',
  /** Pods were not ready in time. */
  StartupDeadlineExceeded: 'pods were not ready in time',
  /** Some pods of a candidate that once had all of them are not ready for too long. It is no failure: the rollout waits. */
  ProgressDeadlineExceeded: 'some pods are not ready for too long',
  /** Its proportion of failed requests is larger than stable's by more than it may be. */
  ErrorRate: 'live requests fail more often',
  /** Its slow requests are more than they may be. */
  Latency: 'live requests take longer',
  /** Too few requests for a verdict, and `onInconclusive` is `rollback`. */
  TooFewRequests: 'too few requests for a verdict',
  /** Somebody asked for it with `sluice.dev/abort`. */
  Aborted: 'the rollout was aborted',
  /** `placement.pool` names no GPUPool. */
  PoolNotFound: 'the pool does not exist',
  /** The pool does not admit the namespace. */
  PoolForbidden: 'the pool does not admit this namespace',
  /** `probes.golden` is larger than an environment variable can be. */
  GoldenTooLarge: 'the golden requests are too large',
  /** `placement.gpus` of a pool without GPUs. */
  PoolWithoutGPUs: 'the pool has no GPUs',
  /** An older ModelVersion has the same model and version. */
  VersionConflict: 'another ModelVersion has this version',
  /** The API server refuses a child, since the spec makes it invalid. */
  WorkloadRejected: 'the API server refuses the workload',
  /** An object with a child's name exists and is not ours. */
  ChildConflict: 'an object of this name belongs to somebody else',
} as const;

/** Where a version or a model stands when nothing is wrong. */
export const progressReasons = {
  Fetched: 'the artifact is there and verified',
  Fetching: 'the artifact is on its way',
  PodsReady: 'all pods are ready',
  PodsStarting: 'pods are starting',
  Parked: 'scaled to zero; no traffic',
  Warm: 'kept running for an instant rollback',
  /** Versions with a part in serving found no room; this one has none and is not needed for a way back. */
  GaveWay: 'scaled to zero to make room for another version of the model',
  Idle: 'not selected; scaled to zero soon',
  NotSelected: 'no Model selects this version',
  RolloutInProgress: 'the version is being rolled out',
  AwaitingApproval: 'the rollout waits for sluice.dev/approve',
  AwaitingCapacity: 'the rollout waits for pods that can carry more',
  /** The pool is full, and either waits by its `whenFull` or lends as much as it can. */
  AwaitingPlaces: 'the rollout waits for room in the pool',
  /** Stable lends places while its successor is rolled out. */
  PlacesLent: 'some of its places are lent to the candidate',
  Paused: 'the rollout is paused by sluice.dev/paused',
  Queued: 'the version waits for the rollout before it',
  Serving: 'the version has its share of the traffic',
  NoTraffic: 'the version has no traffic',
  Routed: 'only requests with a matching route go to the version',
  RoutersPending: 'routers do not all follow yet',
  NoRouters: 'no router is ready',
  /** A route was written, and a parent has not looked at it yet. */
  RoutePending: 'Gateways do not all follow yet',
  NoReadyPods: 'no pod is ready',
  NoVersions: 'the model has no version',
  Promoted: 'the version is stable',
  Nodes: 'the pool has nodes',
  NoNodes: 'no node belongs to the pool',
  Settled: 'nothing is left to do',
} as const;

/** Why a Model cannot do what its spec says. */
export const modelFailureReasons = {
  /** `serve` names a version that does not exist. */
  VersionNotFound: 'a version does not exist',
  /** `serve.version` names a version that has failed. */
  VersionLatched: 'the version has failed and is not tried again',
  /** More models than ports in one namespace. */
  PortsExhausted: 'no port is left in this namespace',
  /** The cluster has no HTTPRoute, or the chart's `gatewayApi.enabled` is off. */
  GatewayAPIMissing: 'the Gateway API is not installed',
  /** The cluster has HTTPRoute only. */
  GRPCRouteMissing: 'the Gateway API is installed without GRPCRoute',
  /** The API server refuses the route. */
  RouteRejected: 'the API server refuses a route',
  /** A parent says `Accepted=False`; its reason is in the message. */
  RouteNotAccepted: 'a Gateway does not accept a route',
  /** A parent says `ResolvedRefs=False`; its reason is in the message. */
  RouteRefsNotResolved: 'a Gateway cannot resolve what a route refers to',
  /** A parent has not looked at the route for a minute: it may not exist, or its controller is away. */
  RouteNotObserved: 'a Gateway does not look at a route',
} as const;

/** What happens: the reasons of events and of a Model's history. */
export const eventReasons = {
  RolloutStarted: 'a candidate was chosen',
  StepReached: 'the candidate got another share',
  TrafficSuspended: 'the candidate lost its traffic until its pods are ready again',
  TrafficResumed: 'the candidate is ready again',
  ApprovalRequired: 'the candidate waits for an approval',
  CapacityRequired: 'the candidate waits for more pods',
  PlacesRequired: 'the candidate waits for room in the pool',
  SwapStarted: 'stable lends its places to the candidate, one pod after the other',
  /** The pool is full, and stable has not enough places to lend any. */
  SwapImpossible: 'stable cannot lend its places',
  Approved: 'the candidate was approved',
  RetryRequested: 'a failed version is tried again',
  RequestIgnored: 'what an annotation asks for cannot be done',
  VersionPromoted: 'the candidate became stable',
  RolledBack: 'a version failed and lost its traffic for good',
  Superseded: 'a candidate was given up for another version',
  StableLost: 'the stable version is gone',
  /** A server cannot use the execution provider that it was to. */
  ProviderFallback: 'a server computes on something else than it was to',
  /** A server that may choose computes on the CPU: the image has no provider for the GPU that its pod has. */
  GPUUnused: "a version's pods have GPUs that nothing uses",
} as const;

export type PodFailureReason = keyof typeof podFailureReasons | FailureReason;
export type VersionFailureReason = PodFailureReason | keyof typeof versionFailureReasons;
export type ModelFailureReason = keyof typeof modelFailureReasons;
export type ProgressReason = keyof typeof progressReasons;
export type EventReason = keyof typeof eventReasons;
export type Reason = VersionFailureReason | ModelFailureReason | ProgressReason | EventReason;
