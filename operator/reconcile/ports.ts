/**
 * What reconciles need from the world. `operator/kube` implements these; tests use a world in memory. Reads are
 * answered from caches and cost nothing; writes go to the API server.
 */

import type { Route, RouteKind } from '../api/gateway.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { Model } from '../api/generated/model.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type {
  Deployment,
  DesiredObject,
  KubernetesObject,
  Namespace,
  Node,
  Pod,
  Service,
} from '../api/kubernetes.ts';
import type { StartStage, StartsSaid } from '../api/starts.ts';
import type { Following, ServerCounts, Traffic } from '../api/traffic.ts';
import type { DecidedEvent } from '../decide/events.ts';

/** A cache of one kind. Objects in it must not be changed. */
export interface View<T extends KubernetesObject> {
  /** By `namespace/name`, or `name` for what has no namespace. */
  get(key: string): T | undefined;
  list(): readonly T[];
  /** By an index of `indexes`. */
  by(index: string, value: string): readonly T[];
}

/** A cache of a kind that a cluster need not have. */
export interface OptionalView<T extends KubernetesObject> extends View<T> {
  /** Whether the cluster has the kind; `unread` while that, or what there is of it, is not known. */
  readonly state: 'missing' | 'unread' | 'read';
}

export interface Views {
  readonly models: View<Model>;
  readonly versions: View<ModelVersion>;
  readonly pools: View<GPUPool>;
  readonly nodes: View<Node>;
  readonly namespaces: View<Namespace>;
  /** Pods of the whole cluster: a pool counts everybody's. */
  readonly pods: View<Pod>;
  /** Not only ours, so that a foreign object with a child's name is seen. */
  readonly deployments: View<Deployment>;
  readonly services: View<Service>;
  readonly routes: Readonly<Record<RouteKind, OptionalView<Route>>>;
}

export interface Writer {
  /**
   * Server-side apply. `observed` is what the cache holds of it; an object that was applied just so before, and has
   * not been changed by anybody since, is not written again.
   *
   * @throws Rejected when the API server refuses the object itself, any other error when trying again may help
   */
  apply(object: DesiredObject, observed: KubernetesObject | undefined): Promise<void>;
  /** Creates the object; one that exists is left alone. */
  create(object: DesiredObject): Promise<void>;
  /** Deletes this very object (by UID); one that is gone is not an error. */
  delete(object: KubernetesObject): Promise<void>;
  /**
   * Replaces the status, if it differs and the object is still as it was read; an object that has changed since is
   * an error to try again after.
   */
  writeStatus(object: Model | ModelVersion | GPUPool, status: object): Promise<void>;
}

/** The API server refuses an object for what it is; the same object would be refused again. */
export class Rejected extends Error {
  override readonly name = 'Rejected';
}

export interface EventSink {
  /** Never fails and never waits; an event that cannot be written is logged. */
  emit(event: DecidedEvent): void;
}

export interface RouterReports {
  /** What a router pod says of the model, or undefined when it has not spoken of it. */
  following(namespace: string, pod: string, modelUid: string): Following | undefined;
  /** True of a ready router pod from which nothing has come for so long that nobody waits for it any more. */
  lost(namespace: string, pod: string): boolean;
  /** What all routers of a namespace have counted for a model since this operator began to listen. */
  traffic(namespace: string, modelUid: string): Traffic;
  /** Most requests of a model that were in flight at once of late; undefined while no router has said. */
  concurrency(namespace: string, modelUid: string): number | undefined;
}

/** A ready pod of a version, whose server may count its requests. */
export interface ServerPod {
  readonly version: string;
  readonly uid: string;
  readonly address: string;
  /** Port of its metrics. */
  readonly port: number;
}

export interface ServerReports {
  /**
   * What the servers of a model's versions have counted since this was asked first. Asking makes them be read, and go
   * on being read for a while; the answer comes at once, and is empty at first.
   *
   * @param model `namespace/name`
   */
  counts(model: string, pods: readonly ServerPod[]): ServerCounts;
}

/** A pod that may say how its start goes, or went. */
export interface StartingPod extends ServerPod {
  readonly stage: StartStage;
  /** Tells one run of the container that is asked from the next. */
  readonly run: number;
}

export interface StartReports {
  /**
   * What pods of a model say of their start, by uid. Asking makes them be read until they have said all; the answer comes at
   * once, and the model is visited again when there is more.
   *
   * @param model `namespace/name`
   * @param pods all that may be asked now; others are forgotten
   */
  of(model: string, pods: readonly StartingPod[]): StartsSaid;
}

export interface Ports {
  readonly views: Views;
  readonly writer: Writer;
  readonly events: EventSink;
  readonly routers: RouterReports;
  readonly servers: ServerReports;
  readonly starts: StartReports;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}
