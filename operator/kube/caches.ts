/**
 * operator/kube: the operator's only door to the Kubernetes API. Holds caches, the writer, the event recorder, the
 * lease and the streams from routers; it implements the ports that the reconciles declare. It decides nothing.
 *
 * This file: one informer per kind that the operator reads.
 */
import type { KubeClient } from '../../kube-client/client.ts';
import { type Change, Informer, type InformerOptions } from '../../kube-client/informer.ts';
import type { Logger } from '../../kube-client/logger.ts';
import { type Resource, resources } from '../../kube-client/resources.ts';
import type { Indexes } from '../../kube-client/store.ts';
import { gatewayGroup, type Route, type RouteKind, routeResources } from '../api/gateway.ts';
import { type GPUPool, gpuPoolResource } from '../api/generated/gpu-pool.ts';
import { type Model, modelResource } from '../api/generated/model.ts';
import { type ModelVersion, modelVersionResource } from '../api/generated/model-version.ts';
import type { Deployment, KubernetesObject, Namespace, Node, Pod, Service } from '../api/kubernetes.ts';
import type { View, Views } from '../reconcile/ports.ts';
import { Discovery, OptionalCache } from './optional-cache.ts';

/** A cache of one kind with a stream of its changes. */
export class CachedView<T extends KubernetesObject> implements View<T> {
  readonly informer: Informer<T>;

  constructor(informer: Informer<T>) {
    this.informer = informer;
  }

  get(key: string): T | undefined {
    return this.informer.get(key);
  }

  list(): readonly T[] {
    return this.informer.list();
  }

  by(index: string, value: string): readonly T[] {
    return this.informer.byIndex(index, value);
  }

  subscribe(handler: (change: Change<T>) => void): () => void {
    return this.informer.subscribe(handler);
  }
}

export interface CachesOptions {
  readonly client: KubeClient;
  readonly logger: Logger;
  readonly indexes: {
    readonly models: Indexes<Model>;
    readonly versions: Indexes<ModelVersion>;
    readonly pods: Indexes<Pod>;
    readonly services: Indexes<Service>;
  };
  /** Selects children of kinds that are only looked at to see whether they are still as they were applied. */
  readonly ownedSelector: string;
  readonly observe?: InformerOptions<never>['observe'];
  /** Whether routes of the Gateway API are looked at. */
  readonly gatewayApi: boolean;
}

export class Caches implements Views {
  readonly models: CachedView<Model>;
  readonly versions: CachedView<ModelVersion>;
  readonly pools: CachedView<GPUPool>;
  readonly nodes: CachedView<Node>;
  readonly namespaces: CachedView<Namespace>;
  readonly pods: CachedView<Pod>;
  readonly deployments: CachedView<Deployment>;
  readonly services: CachedView<Service>;
  /** Children that reconciles do not read. */
  readonly owned: readonly CachedView<KubernetesObject>[];
  readonly routes: Readonly<Record<RouteKind, OptionalCache<Route>>>;
  readonly #discovery: Discovery;
  readonly #options: CachesOptions;
  readonly #all: CachedView<never>[] = [];

  constructor(options: CachesOptions) {
    this.#options = options;
    const { indexes, ownedSelector: labelSelector } = options;
    this.models = this.#view(modelResource, { indexes: indexes.models });
    this.versions = this.#view(modelVersionResource, { indexes: indexes.versions });
    this.pools = this.#view(gpuPoolResource);
    this.nodes = this.#view<Node>(resources.nodes, { slim: slimNode });
    this.namespaces = this.#view(resources.namespaces);
    this.pods = this.#view<Pod>(resources.pods, { indexes: indexes.pods, slim: slimPod });
    this.deployments = this.#view(resources.deployments);
    this.services = this.#view(resources.services, { indexes: indexes.services });
    this.owned = [resources.serviceaccounts, resources.rolebindings, resources.poddisruptionbudgets].map(
      (resource) => this.#view<KubernetesObject>(resource, { labelSelector }),
    );
    const { client, logger, observe } = options;
    const routes = (kind: RouteKind) =>
      new OptionalCache<Route>(client, routeResources[kind], {
        logger,
        slim: slimRoute,
        ...(observe ? { observe } : {}),
      });
    this.routes = { HTTPRoute: routes('HTTPRoute'), GRPCRoute: routes('GRPCRoute') };
    this.#discovery = new Discovery({
      client,
      logger,
      group: gatewayGroup,
      version: routeResources.HTTPRoute.version,
      caches: Object.values(this.routes),
    });
  }

  /** Whether every cache has been filled once. */
  get synced(): boolean {
    return this.#all.every(({ informer }) => informer.hasSynced);
  }

  /** Starts all; resolves when they are filled. */
  async start(): Promise<void> {
    for (const { informer } of this.#all) informer.start();
    const routes = this.#options.gatewayApi
      ? this.#discovery.start()
      : Promise.all(Object.values(this.routes).map((view) => view.serve(false, () => {})));
    await Promise.all([...this.#all.map(({ informer }) => informer.synced), routes]);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#all.map(({ informer }) => informer.stop()), this.#discovery.stop()]);
  }

  /** What a cache holds of an object, of whichever kind; undefined also for kinds that are not cached. */
  find(kind: string, key: string): KubernetesObject | undefined {
    const views: readonly CachedView<KubernetesObject>[] = [...this.owned, this.deployments, this.services];
    return views.find(({ informer }) => informer.resource.kind === kind)?.get(key);
  }

  #view<T extends KubernetesObject>(resource: Resource, options: InformerOptions<T> = {}): CachedView<T> {
    const { client, logger, observe } = this.#options;
    const view = new CachedView<T>(
      new Informer(client, resource, { logger, ...(observe ? { observe } : {}), ...options }),
    );
    this.#all.push(view as unknown as CachedView<never>);
    return view;
  }
}

/** Pods of the whole cluster are kept, so only what is read of them. */
function slimPod(pod: Pod): Pod {
  const { annotations: _, ...metadata } = pod.metadata;
  const { spec, status } = pod;
  const containers = (spec?.containers ?? []).map(({ name, resources: { requests } = {} }) => ({
    name,
    ...(requests === undefined ? {} : { resources: { requests } }),
  }));
  const nodeName = spec?.nodeName;
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata,
    spec: { containers, ...(nodeName === undefined ? {} : { nodeName }) },
    ...(status === undefined ? {} : { status }),
  };
}

/** A node's list of images is the longest part of it, and changes with every pull. */
function slimNode(node: Node): Node {
  if (node.status === undefined) return node;
  const { images: _, ...status } = node.status as Node['status'] & { images?: unknown };
  return { ...node, status };
}

/** Routes of the whole cluster are kept, to see which names are taken; those of others are only names here. */
function slimRoute(route: Route): Route {
  if (route.metadata.labels?.['app.kubernetes.io/managed-by'] === 'sluice') return route;
  const { apiVersion, kind, metadata } = route;
  return { apiVersion, kind, metadata };
}
