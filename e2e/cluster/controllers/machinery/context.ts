import type { KubeClient } from '../../../../kube-client/client.ts';
import { Informer } from '../../../../kube-client/informer.ts';
import type { KubeObject } from '../../../../kube-client/object.ts';
import { type Resource, resources } from '../../../../kube-client/resources.ts';
import { Cache } from './cache.ts';
import type {
  ConfigMap,
  Deployment,
  EndpointSlice,
  Job,
  Lease,
  Namespace,
  Node,
  Pod,
  PodDisruptionBudget,
  PriorityClass,
  ReplicaSet,
  Service,
} from './kinds.ts';
import type { EventRecorder } from './recorder.ts';

/** Says what went wrong or is worth knowing; structured fields travel beside the message. */
export type Log = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** What every controller is handed. */
export interface Context {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly events: EventRecorder;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Log;
}

/** One controller: which events lead to which keys, and what a visit to a key does. */
export interface Controller {
  readonly name: string;
  /** Keys visited at once; 4 unless told. */
  readonly workers?: number;
  /** Subscribes to caches; every call of `enqueue` leads to a visit. Returns what ends the subscriptions. */
  watch(enqueue: (key: string) => void): (() => void)[];
  /** Brings one key's state to what it should be; resolves to the milliseconds until the next visit, if any. */
  visit(key: string): Promise<number | undefined>;
}

const ownerIndex = {
  owner: ownerUids,
  namespace: (object: KubeObject) => [object.metadata.namespace ?? ''],
  /** Those without a controller, by namespace: candidates for adoption. */
  orphan: (object: KubeObject) => (ownerUids(object).length === 0 ? [object.metadata.namespace ?? ''] : []),
};

function ownerUids(object: KubeObject): string[] {
  const owner = object.metadata.ownerReferences?.find((reference) => reference.controller === true);
  return owner === undefined ? [] : [owner.uid];
}

const podIndexes = {
  ...ownerIndex,
  node: (pod: Pod) => [pod.spec.nodeName ?? ''],
};

const sliceIndexes = {
  service: (slice: EndpointSlice) => {
    const service = slice.metadata.labels?.['kubernetes.io/service-name'];
    return service === undefined ? [] : [`${slice.metadata.namespace ?? ''}/${service}`];
  },
};

/** The caches that controllers and the scheduler share: one watch per kind. */
export class Caches {
  readonly #client: KubeClient;
  readonly #log: Log;
  readonly #started: { informer: { stop(): Promise<void> }; cache: { stop(): void } }[] = [];
  readonly #whole = new Map<string, Cache<KubeObject>>();
  readonly #synced: Promise<void>[] = [];

  readonly pods: Cache<Pod>;
  readonly nodes: Cache<Node>;
  readonly deployments: Cache<Deployment>;
  readonly replicaSets: Cache<ReplicaSet>;
  readonly services: Cache<Service>;
  readonly endpointSlices: Cache<EndpointSlice>;
  readonly jobs: Cache<Job>;
  readonly namespaces: Cache<Namespace>;
  readonly serviceAccounts: Cache<KubeObject>;
  readonly configMaps: Cache<ConfigMap>;
  readonly disruptionBudgets: Cache<PodDisruptionBudget>;
  readonly priorityClasses: Cache<PriorityClass>;
  readonly leases: Cache<Lease>;

  constructor(client: KubeClient, log: Log) {
    this.#client = client;
    this.#log = log;
    this.pods = this.#open<Pod>(resources.pods, { indexes: podIndexes });
    this.nodes = this.#open<Node>(resources.nodes);
    this.deployments = this.#open<Deployment>(resources.deployments, { indexes: ownerIndex });
    this.replicaSets = this.#open<ReplicaSet>(resources.replicasets, { indexes: ownerIndex });
    this.services = this.#open<Service>(resources.services, { indexes: ownerIndex });
    this.endpointSlices = this.#open<EndpointSlice>(resources.endpointslices, { indexes: sliceIndexes });
    this.jobs = this.#open<Job>(resources.jobs, { indexes: ownerIndex });
    this.namespaces = this.#open<Namespace>(resources.namespaces);
    this.serviceAccounts = this.#open<KubeObject>(resources.serviceaccounts);
    this.configMaps = this.#open<ConfigMap>(resources.configmaps, {
      fieldSelector: 'metadata.name=kube-root-ca.crt',
    });
    this.disruptionBudgets = this.#open<PodDisruptionBudget>(resources.poddisruptionbudgets, {
      indexes: ownerIndex,
    });
    this.priorityClasses = this.#open<PriorityClass>(resources.priorityclasses);
    this.leases = this.#open<Lease>(resources.leases, { namespace: 'kube-node-lease' });
  }

  /** Resolves when every cache holds what the API server held at the start. */
  async synced(): Promise<void> {
    await Promise.all(this.#synced);
  }

  /** The cache of a kind, where there is one that holds all of it. */
  whole(resource: Resource): Cache<KubeObject> | undefined {
    return this.#whole.get(`${resource.plural}.${resource.group}`);
  }

  async stop(): Promise<void> {
    for (const { cache } of this.#started) cache.stop();
    await Promise.all(this.#started.map(({ informer }) => informer.stop()));
  }

  #open<T extends KubeObject>(
    resource: Resource,
    options: {
      indexes?: Record<string, (object: T) => string[]>;
      namespace?: string;
      fieldSelector?: string;
    } = {},
  ): Cache<T> {
    const informer = new Informer<T>(this.#client, resource, options);
    const cache = new Cache<T>(informer, options.indexes);
    informer.start();
    this.#started.push({ informer, cache });
    if (options.namespace === undefined && options.fieldSelector === undefined) {
      this.#whole.set(`${resource.plural}.${resource.group}`, cache as unknown as Cache<KubeObject>);
    }
    this.#synced.push(informer.synced);
    this.#log('watching', { resource: resource.plural });
    return cache;
  }
}
