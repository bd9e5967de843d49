/** A cluster in memory behind the ports, for tests of reconciles: caches that are never stale, writes that can fail. */

import { defaultModelSpec } from '../api/defaults.ts';
import type { Route } from '../api/gateway.ts';
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
import type { StartsSaid } from '../api/starts.ts';
import { type Following, noTraffic, type ServerCounts, type Traffic } from '../api/traffic.ts';
import type { DecidedEvent } from '../decide/events.ts';
import { modelIndexes, podIndexes, serviceIndexes, versionIndexes } from './indexes.ts';
import type { OptionalView, Ports, View } from './ports.ts';

type Indexes<T> = Readonly<Record<string, (object: T) => string[]>>;

class MemoryView<T extends KubernetesObject> implements View<T> {
  readonly objects = new Map<string, T>();
  readonly #indexes: Indexes<T>;

  constructor(indexes: Indexes<T> = {}) {
    this.#indexes = indexes;
  }

  get(key: string): T | undefined {
    return this.objects.get(key);
  }

  list(): readonly T[] {
    return [...this.objects.values()];
  }

  by(index: string, value: string): readonly T[] {
    const of = this.#indexes[index];
    if (of === undefined) throw new Error(`there is no index ${index}`);
    return this.list().filter((object) => of(object).includes(value));
  }
}

/** Routes of one kind, which the cluster has when a test says so. */
class OptionalMemoryView extends MemoryView<Route> implements OptionalView<Route> {
  state: OptionalView<Route>['state'] = 'missing';
}

export const keyOf = ({ metadata }: KubernetesObject): string =>
  metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;

/** What a test may do to a write: throw before it takes effect, or afterwards. */
export type Fault = (write: string, when: 'before' | 'after') => void;

export class MemoryCluster implements Ports {
  readonly views = {
    models: new MemoryView<Model>(modelIndexes),
    versions: new MemoryView<ModelVersion>(versionIndexes),
    pools: new MemoryView<GPUPool>(),
    nodes: new MemoryView<Node>(),
    namespaces: new MemoryView<Namespace>(),
    pods: new MemoryView<Pod>(podIndexes),
    deployments: new MemoryView<Deployment>(),
    services: new MemoryView<Service>(serviceIndexes),
    routes: { HTTPRoute: new OptionalMemoryView(), GRPCRoute: new OptionalMemoryView() },
  };
  /** Objects of kinds that have no view, by kind. */
  readonly others = new Map<string, Map<string, KubernetesObject>>();
  readonly told: DecidedEvent[] = [];
  /** Every effective write, as `verb Kind name`. */
  readonly writes: string[] = [];
  fault: Fault = () => undefined;
  /** What the API server keeps of a status: one with older CRDs drops what they do not know. */
  kept: (status: object) => object = (status) => status;
  /** What routers have counted. */
  counted: Traffic = noTraffic;
  clock = Date.parse('2026-01-01T00:00:00Z');
  now = (): number => this.clock;
  readonly events = { emit: (event: DecidedEvent): void => void this.told.push(event) };
  readonly routers = {
    following: (): Following => ({
      generation: this.views.models.list()[0]?.status?.routers?.generation ?? 0,
      reaches: new Set(this.views.versions.list().map(({ spec }) => spec.version)),
    }),
    lost: (): boolean => false,
    traffic: (): Traffic => this.counted,
    concurrency: (): number => 0,
  };
  /** What servers have counted. */
  served: ServerCounts = new Map();
  readonly servers = { counts: (): ServerCounts => this.served };
  /** What pods say of their start. */
  starts: Ports['starts'] = { of: (): StartsSaid => new Map() };
  #serial = 0;

  readonly writer: Ports['writer'] = {
    apply: async (object) => {
      const objects = this.#store(object);
      const before = objects.get(keyOf(object)) as (KubernetesObject & { status?: object }) | undefined;
      const applied = before?.status === undefined ? object : { ...object, status: before.status };
      if (before !== undefined && JSON.stringify(strip(before)) === JSON.stringify(strip(applied))) return;
      this.#write(`apply ${object.kind} ${object.metadata.name}`, () => {
        objects.set(keyOf(object), this.#stamp(applied, before));
      });
    },
    create: async (object) => {
      const objects = this.#store(object);
      if (objects.has(keyOf(object))) return;
      this.#write(`create ${object.kind} ${object.metadata.name}`, () => {
        const defaulted = object.kind === 'Model' ? { ...object, spec: defaultModelSpec } : object;
        objects.set(keyOf(object), this.#stamp(defaulted, undefined));
      });
    },
    delete: async (object) => {
      this.#write(`delete ${object.kind} ${object.metadata.name}`, () => {
        this.#store(object).delete(keyOf(object));
      });
    },
    writeStatus: async (object, wanted) => {
      const status = this.kept(wanted);
      const objects = this.#store(object);
      const current = objects.get(keyOf(object));
      if (current?.metadata.resourceVersion !== object.metadata.resourceVersion) throw new Error('conflict');
      const before = (current as { status?: object } | undefined)?.status;
      if (current === undefined || JSON.stringify(before) === JSON.stringify(status)) return;
      this.#write(`status ${object.kind} ${object.metadata.name}`, () => {
        objects.set(keyOf(object), this.#stamp({ ...current, status } as DesiredObject, current));
      });
    },
  };

  /** Puts an object there, as a user or another controller would. */
  put(object: KubernetesObject): void {
    this.#store(object).set(keyOf(object), this.#stamp(object, this.#store(object).get(keyOf(object))));
  }

  /** What the Deployment controller and the kubelets do: pods that are ready, as many as there should be. */
  runPods(): void {
    const wanted = new Set<string>();
    for (const deployment of this.views.deployments.list()) {
      const template = (deployment.spec as unknown as { template: { metadata: Pod['metadata'] } }).template;
      for (let index = 0; index < (deployment.spec?.replicas ?? 0); index += 1) {
        const name = `${deployment.metadata.name}-${index}`;
        wanted.add(`${deployment.metadata.namespace}/${name}`);
        this.put({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: {
            name,
            namespace: deployment.metadata.namespace!,
            labels: template.metadata.labels ?? {},
          },
          spec: { nodeName: 'node' },
          status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
        } as Pod);
      }
    }
    for (const key of this.views.pods.objects.keys())
      if (!wanted.has(key)) this.views.pods.objects.delete(key);
  }

  /** Objects by `Kind key`, without what differs between runs that come to the same end. */
  snapshot(): Record<string, unknown> {
    const { routes, ...kinds } = this.views;
    const views = [...Object.values(kinds), ...Object.values(routes)].flatMap(
      (view) => view.list() as readonly KubernetesObject[],
    );
    const rest = [...this.others.values()].flatMap((objects) => [...objects.values()]);
    const all = [...views, ...rest].map((object) => [`${object.kind} ${keyOf(object)}`, strip(object)]);
    return Object.fromEntries(all.sort(([a], [b]) => (a! < b! ? -1 : 1)));
  }

  #write(name: string, effect: () => void): void {
    this.fault(name, 'before');
    effect();
    this.writes.push(name);
    this.fault(name, 'after');
  }

  #store(object: KubernetesObject): Map<string, KubernetesObject> {
    const stores: Record<string, Map<string, KubernetesObject>> = {
      Model: this.views.models.objects as Map<string, KubernetesObject>,
      ModelVersion: this.views.versions.objects as Map<string, KubernetesObject>,
      GPUPool: this.views.pools.objects as Map<string, KubernetesObject>,
      Node: this.views.nodes.objects,
      Namespace: this.views.namespaces.objects,
      Pod: this.views.pods.objects,
      Deployment: this.views.deployments.objects,
      Service: this.views.services.objects,
      HTTPRoute: this.views.routes.HTTPRoute.objects,
      GRPCRoute: this.views.routes.GRPCRoute.objects,
    };
    return stores[object.kind] ?? this.#othersOf(object.kind);
  }

  #othersOf(kind: string): Map<string, KubernetesObject> {
    const objects = this.others.get(kind) ?? new Map<string, KubernetesObject>();
    this.others.set(kind, objects);
    return objects;
  }

  #stamp<T extends KubernetesObject>(object: T, before: KubernetesObject | undefined): T {
    this.#serial += 1;
    const uid =
      before?.metadata.uid ?? object.metadata.uid ?? `uid-of-${object.kind}-${object.metadata.name}`;
    return { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(this.#serial) } };
  }
}

/** An object without what the server adds. */
function strip(object: KubernetesObject): object {
  const { uid: _uid, resourceVersion: _version, ...metadata } = object.metadata;
  return { ...object, metadata };
}
