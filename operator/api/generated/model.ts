// Generated from crds/models.sluice.dev.yaml by scripts/generate.ts. Change that file and run `npm run generate`.

import type { ObjectMeta } from '../kubernetes.ts';

export const modelResource = {
  group: 'sluice.dev',
  version: 'v1alpha1',
  plural: 'models',
  kind: 'Model',
  namespaced: true,
} as const;

/** The policy of a model that clients call by name, and its live state. */
export interface Model {
  readonly apiVersion: 'sluice.dev/v1alpha1';
  readonly kind: 'Model';
  readonly metadata: ObjectMeta;
  readonly spec: ModelSpec;
  readonly status?: ModelStatus;
}

export interface ModelSpec {
  /** What is served; exactly one of version and split. When absent, version: latest. */
  readonly serve?: ModelServe;
  /** How traffic moves to another version. */
  readonly rollout: ModelRollout;
  /** When a candidate loses its traffic. */
  readonly rollback: ModelRollback;
  /**
   * Requests that go to one version whatever the shares are. The first route that matches decides. While its
   * version has no ready pod, or has failed, the request follows the shares.
   */
  readonly routes?: readonly ModelRoute[];
  /**
   * What the requests of one user have in common, so that the user stays with a version while its share does
   * not shrink; exactly one of header and cookie.
   */
  readonly sticky?: ModelSticky;
  /**
   * Whether clients may choose a version, by the path /v2/models/M/versions/V or the header sluice-version.
   * disabled: the header is ignored, the path refused.
   */
  readonly pinning: 'enabled' | 'disabled';
  /** How long routers wait. */
  readonly timeouts?: ModelTimeouts;
  /** What happens to versions without traffic. */
  readonly retention: ModelRetention;
  /** Where clients reach the model. */
  readonly endpoint: ModelEndpoint;
}

/** What is served; exactly one of version and split. When absent, version: latest. */
export interface ModelServe {
  /** latest: the newest version that has not failed. Otherwise the version to roll to. */
  readonly version?: string;
  /** Versions that serve side by side; each gets weight / sum of weights of the traffic. */
  readonly split?: readonly ModelServeSplit[];
}

export interface ModelServeSplit {
  readonly version: string;
  readonly weight: number;
}

/** How traffic moves to another version. */
export interface ModelRollout {
  /**
   * canary: by steps. blueGreen: all at once when every pod is ready and, with approval, somebody has
   * approved. immediate: all at once when every pod is ready.
   */
  readonly strategy: 'canary' | 'blueGreen' | 'immediate';
  /** Steps of a canary. After the last one's hold the candidate takes all traffic. */
  readonly steps: readonly ModelRolloutStep[];
  /**
   * Whether a blueGreen switch waits for the annotation sluice.dev/approve. Steps of a canary have their own.
   */
  readonly approval: boolean;
  /**
   * How live traffic of the candidate is held against stable's over the same time. All tests together raise a
   * false alarm in at most 1 % of rollouts, however often they look.
   */
  readonly analysis: ModelRolloutAnalysis;
  /**
   * What a version that arrives while another is being rolled out does. supersede: takes its place. queue:
   * waits until it is through.
   */
  readonly onNewVersion: 'supersede' | 'queue';
  /** How long the former stable version is kept to return to after a promotion. */
  readonly bake: string;
}

export interface ModelRolloutStep {
  /** Share of the candidate in whole percent. */
  readonly weight: number;
  /** How long the candidate is watched at this weight. */
  readonly hold: string;
  /** Whether to wait, after the hold, for the annotation sluice.dev/approve. */
  readonly approval?: boolean;
}

/**
 * How live traffic of the candidate is held against stable's over the same time. All tests together raise a
 * false alarm in at most 1 % of rollouts, however often they look.
 */
export interface ModelRolloutAnalysis {
  /** Requests of the candidate below which a step is inconclusive. */
  readonly minRequests: number;
  /** How much larger the candidate's proportion of failed requests may be than stable's. */
  readonly maxErrorIncrease: number;
  /** Absent means that latency is not compared. */
  readonly latency?: ModelRolloutAnalysisLatency;
  /**
   * What happens at the end of a hold with fewer than minRequests. proceed: go on, since no traffic is no
   * failure. hold: wait for traffic. rollback: give up.
   */
  readonly onInconclusive: 'proceed' | 'hold' | 'rollback';
}

/** Absent means that latency is not compared. */
export interface ModelRolloutAnalysisLatency {
  /** Which quantile, such as 0.99. */
  readonly quantile: number;
  /** How many times stable's quantile is still good. */
  readonly maxRatio: number;
}

/** When a candidate loses its traffic. */
export interface ModelRollback {
  /**
   * How long a version may have too few ready pods before it has failed. Its traffic leaves it at once,
   * without waiting for this.
   */
  readonly unreadyFor: string;
  /** Percentage of the pods below which a version has too few ready ones. */
  readonly minReady: string;
  /**
   * Longest time from the start of a rollout until every pod is ready, and again from the moment that one is
   * not ready any more, or another one is asked for.
   */
  readonly startupDeadline: string;
}

export interface ModelRoute {
  /** All of it has to hold. */
  readonly match: ModelRouteMatch;
  /** A version of this model. It is kept running. */
  readonly version: string;
}

/** All of it has to hold. */
export interface ModelRouteMatch {
  /** Headers, or gRPC metadata, that the request has with exactly these values. */
  readonly headers?: readonly ModelRouteMatchHeader[];
  readonly path?: ModelRouteMatchPath;
}

export interface ModelRouteMatchHeader {
  /** In any case. */
  readonly name: string;
  /** Printable ASCII, in this case. */
  readonly value: string;
}

export interface ModelRouteMatchPath {
  /** Whole elements of the path: /a matches /a and /a/b, not /ab. */
  readonly prefix: string;
}

/**
 * What the requests of one user have in common, so that the user stays with a version while its share does
 * not shrink; exactly one of header and cookie.
 */
export interface ModelSticky {
  /** Header, or gRPC metadata, that names the user. A request without it is given to a version by chance. */
  readonly header?: string;
  /** Cookie that names the user. Who has none gets one, for the browser's session. */
  readonly cookie?: string;
}

/** How long routers wait. */
export interface ModelTimeouts {
  /** Longest silence of a server that owes an answer or the rest of one; 15m if absent. */
  readonly response?: string;
  /** Longest silence of an upgraded connection, such as a WebSocket; 1h if absent. */
  readonly idle?: string;
}

/** What happens to versions without traffic. */
export interface ModelRetention {
  /** Former stable versions that keep their pods, for an instant rollback. */
  readonly warm: number;
  /**
   * Parked versions that keep their Deployment and Service, those parked last first. Those of the others are
   * deleted; the ModelVersions stay, and can be returned to.
   */
  readonly keep: number;
  /** How long any other version keeps its pods after it lost its traffic. */
  readonly parkAfter: string;
}

/** Where clients reach the model. */
export interface ModelEndpoint {
  /**
   * router: a Service of the Model's name, behind which Sluice's routers split the traffic. gateway: routes
   * of the Gateway API, so that your Gateways split it.
   */
  readonly provider: 'router' | 'gateway';
  /**
   * How long the endpoint of the former provider stays after that of the new one is ready, for clients to
   * move.
   */
  readonly keepFormer: string;
  /** Routes named as the Model, in its namespace. At least one of httpRoute and grpcRoute. */
  readonly gateway?: ModelEndpointGateway;
}

/** Routes named as the Model, in its namespace. At least one of httpRoute and grpcRoute. */
export interface ModelEndpointGateway {
  /**
   * Whether answers carry the header sluice-version. It takes filters on backends, for which the Gateway API
   * asks no implementation; set it to false where they are not supported.
   */
  readonly responseHeader: boolean;
  /** The HTTPRoute: REST, with whatever else the server offers over HTTP. */
  readonly httpRoute?: ModelEndpointGatewayHttpRoute;
  /**
   * The GRPCRoute. A Gateway gives a host name of a listener to one kind of route only, so it needs host
   * names or listeners of its own.
   */
  readonly grpcRoute?: ModelEndpointGatewayGrpcRoute;
}

/** The HTTPRoute: REST, with whatever else the server offers over HTTP. */
export interface ModelEndpointGatewayHttpRoute {
  /**
   * Gateways (or ListenerSets) that the route attaches to. One of another namespace must allow routes of this
   * namespace in its listeners.
   */
  readonly parentRefs: readonly ModelEndpointGatewayHttpRouteParentRef[];
  /**
   * Host names of the model; the listeners' when absent. The route takes every path of them, so two models
   * need different ones.
   */
  readonly hostnames?: readonly string[];
}

export interface ModelEndpointGatewayHttpRouteParentRef {
  /** Gateway when absent. */
  readonly kind?: 'Gateway' | 'ListenerSet';
  /** The Model's when absent. */
  readonly namespace?: string;
  readonly name: string;
  /** One listener of the parent; all of them when absent. */
  readonly sectionName?: string;
}

/**
 * The GRPCRoute. A Gateway gives a host name of a listener to one kind of route only, so it needs host names
 * or listeners of its own.
 */
export interface ModelEndpointGatewayGrpcRoute {
  /**
   * Gateways (or ListenerSets) that the route attaches to. One of another namespace must allow routes of this
   * namespace in its listeners.
   */
  readonly parentRefs: readonly ModelEndpointGatewayGrpcRouteParentRef[];
  /**
   * Host names of the model; the listeners' when absent. The route takes every path of them, so two models
   * need different ones.
   */
  readonly hostnames?: readonly string[];
}

export interface ModelEndpointGatewayGrpcRouteParentRef {
  /** Gateway when absent. */
  readonly kind?: 'Gateway' | 'ListenerSet';
  /** The Model's when absent. */
  readonly namespace?: string;
  readonly name: string;
  /** One listener of the parent; all of them when absent. */
  readonly sectionName?: string;
}

export interface ModelStatus {
  /** metadata.generation that this status speaks of. */
  readonly observedGeneration?: number;
  /** The latest observations, one a type. */
  readonly conditions?: readonly ModelStatusCondition[];
  /** A word for people; programs use conditions. */
  readonly phase?: string;
  /** Version that holds the traffic. */
  readonly stable?: string;
  /** When it was promoted. */
  readonly stableSince?: string;
  /** Since when too few of its pods are ready. */
  readonly stableUnreadySince?: string;
  /** Former stable versions, latest first. */
  readonly previous?: readonly string[];
  /** Version that is being rolled out. */
  readonly candidate?: ModelStatusCandidate;
  /** The last values of the annotations that ask for something once, so that each is done once. */
  readonly handled?: ModelStatusHandled;
  /** Live shares in percent, in the order of the routers' ranges. */
  readonly traffic?: readonly ModelStatusTraffic[];
  /** Versions that requests with a matching route go to now. */
  readonly routed?: readonly string[];
  /** Versions that failed and are not tried again until their spec changes. */
  readonly latched?: readonly ModelStatusLatched[];
  /** What happened, latest first, bounded. */
  readonly history?: readonly ModelStatusHistory[];
  /** The routers of the namespace, as far as this model goes. */
  readonly routers?: ModelStatusRouters;
  /** Where providers of the endpoint stand; absent while there has only been the router. */
  readonly endpoint?: ModelStatusEndpoint;
  /** Where clients reach the model inside the cluster; absent without a router. */
  readonly url?: string;
}

export interface ModelStatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

/** Version that is being rolled out. */
export interface ModelStatusCandidate {
  readonly version: string;
  readonly contentHash: string;
  /** 0 while its pods start, then the number of the step, from 1. */
  readonly step: number;
  /** Its share in percent now. */
  readonly weight: number;
  readonly startedAt: string;
  /** When this step began. */
  readonly since: string;
  /** Since when all routers, or Gateways, have followed this step's share; its hold counts from then. */
  readonly followedSince?: string;
  /** Since when too few of its pods are ready. */
  readonly unreadySince?: string;
  /** Since when not all of its pods are ready, though enough for traffic. */
  readonly incompleteSince?: string;
  /** The last step that was approved. */
  readonly approvedStep?: number;
  /** What it waits for before its hold begins, or though it is over. */
  readonly waitingFor?: 'Approval' | 'Routers' | 'Gateways' | 'Traffic' | 'Pods' | 'Capacity' | 'Places';
  /** How places change hands, while the pool is full. */
  readonly swap?: ModelStatusCandidateSwap;
  /** What live traffic says of it. */
  readonly verdict?: 'Pass' | 'Fail' | 'Inconclusive';
  /** What the verdict is founded on. */
  readonly evidence?: string;
}

/** How places change hands, while the pool is full. */
export interface ModelStatusCandidateSwap {
  /** The version that lends its places. */
  readonly lender: string;
  /** Pods that it keeps. */
  readonly kept: number;
  /** Pods that the candidate has places for, the one included that was given up for it last. */
  readonly given: number;
  /** Since when that place has been free without the candidate having taken it. */
  readonly freeSince?: string;
  /** Whether the candidate has taken that place. If it has fewer now, it has lost one. */
  readonly taken?: boolean;
  /** Whether the candidate could not use one. No other is given before it finds room. */
  readonly futile?: boolean;
}

/** The last values of the annotations that ask for something once, so that each is done once. */
export interface ModelStatusHandled {
  readonly approve?: string;
  readonly promote?: string;
  readonly abort?: string;
}

export interface ModelStatusTraffic {
  readonly version: string;
  readonly weight: number;
}

export interface ModelStatusLatched {
  readonly version: string;
  readonly contentHash: string;
  readonly reason: string;
  readonly message: string;
  readonly at: string;
}

export interface ModelStatusHistory {
  readonly at: string;
  readonly reason: string;
  readonly version?: string;
  readonly message: string;
}

/** The routers of the namespace, as far as this model goes. */
export interface ModelStatusRouters {
  /** Port of this model on every router. */
  readonly port?: number;
  /** Counts the changes of traffic and of the rules for it. */
  readonly generation?: number;
  /** Hash of routes, sticky, pinning and timeouts as of the generation. */
  readonly rules?: string;
  /** Ready routers. */
  readonly total?: number;
  /** Ready routers that follow the generation and know a pod of every version that it sends requests to. */
  readonly acked?: number;
}

/** Where providers of the endpoint stand; absent while there has only been the router. */
export interface ModelStatusEndpoint {
  /** Provider whose endpoint has been ready. */
  readonly provider: 'router' | 'gateway';
  /** Provider whose endpoint stays until formerUntil. */
  readonly former?: 'router' | 'gateway';
  readonly formerUntil?: string;
  /** Since when the endpoint is not ready for the reason in RouteReady. */
  readonly waitingSince?: string;
}
