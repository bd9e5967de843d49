/** A cluster in memory for tests of decisions and for the simulator: what is decided becomes true at once, pods do as they are told. */

import assert from 'node:assert/strict';
import { trafficAnnotation } from '../../api/annotations.ts';
import { model, modelVersion } from '../../api/fixtures.ts';
import { type Route, type RouteKind, routeKinds } from '../../api/gateway.ts';
import type { GPUPool } from '../../api/generated/gpu-pool.ts';
import type { Model, ModelSpec } from '../../api/generated/model.ts';
import type {
  ModelVersion,
  ModelVersionSpec,
  ModelVersionStatus,
} from '../../api/generated/model-version.ts';
import type { Deployment, Pod, StatusCondition } from '../../api/kubernetes.ts';
import { optional } from '../../api/optional.ts';
import { type Evidence, freshEvidence } from '../analysis/evidence.ts';
import { contentHash } from '../content-hash.ts';
import type { DecidedEvent } from '../events.ts';
import type { RouteObserved } from '../gateway-routes.ts';
import { decideModel, type ModelDecision } from '../model.ts';
import type { ModelObserved } from '../observed.ts';
import { isSameGiving } from '../roles.ts';
import { weightOf } from '../shares.ts';
import { container, leavingPod, podOf, readyPod } from './fixtures.ts';

export type PodState = 'starting' | 'ready' | 'crashing' | 'unschedulable';

interface Running {
  object: ModelVersion;
  /** Undefined while it has never had a Deployment. */
  replicas: number | undefined;
  pods: PodState[];
  /** Pods that are being ended and still have a place. */
  leaving: number;
}

export class World {
  /** Milliseconds since the epoch. */
  now = Date.parse('2026-01-01T00:00:00Z');
  model: Model | undefined;
  readonly versions = new Map<string, Running>();
  /** Generation that each ready router follows. */
  routers: number[] = [0, 0];
  /** Pods that there is room for; one that finds none is unschedulable until one goes. */
  places = Number.POSITIVE_INFINITY;
  /** Quotas: the most pods that there can be of a version. */
  readonly quota = new Map<string, number>();
  /** Versions whose pods no place suits. */
  readonly unusable = new Set<string>();
  /** When pods that are being ended for ever, on nodes that are lost, should have gone, by version. */
  readonly #lost = new Map<string, readonly number[]>();
  /** Whether the scheduler looks at pods of later versions first. */
  latestFirst = false;
  readonly pools = new Map<string, GPUPool>();
  /** Versions whose pods routers do not know, since their EndpointSlices are late. */
  readonly unreached = new Set<string>();
  evidence: Evidence = freshEvidence;
  gatewayRoutes: Record<RouteKind, RouteObserved> = {
    HTTPRoute: { state: 'missing' },
    GRPCRoute: { state: 'missing' },
  };
  /** Requests in flight of late; undefined while routers have not said. */
  concurrency: number | undefined = 0;
  readonly events: DecidedEvent[] = [];
  /** What people would read: one line an event of the model, with seconds since the beginning. */
  readonly transcript: string[] = [];
  readonly #start = this.now;

  constructor(spec?: Partial<ModelSpec>) {
    if (spec !== undefined) this.model = model(spec);
  }

  add(version: string, spec: Partial<ModelVersionSpec> = {}): void {
    const object = modelVersion(version, spec, new Date(this.now).toISOString());
    this.versions.set(version, { object, replicas: undefined, pods: [], leaving: 0 });
  }

  change(version: string, spec: Partial<ModelVersionSpec>): void {
    const running = this.versions.get(version)!;
    running.object = { ...running.object, spec: { ...running.object.spec, ...spec } };
    restart(running);
  }

  /** Another spec altogether; pods start anew when its content differs. */
  respecify(version: string, spec: ModelVersionSpec): void {
    const running = this.versions.get(version)!;
    if (contentHash(running.object.spec) !== contentHash(spec)) restart(running);
    running.object = { ...running.object, spec };
  }

  /** A change of what does not restart pods. */
  rescale(version: string, spec: Pick<Partial<ModelVersionSpec>, 'replicas' | 'scaling'>): void {
    const running = this.versions.get(version)!;
    running.object = { ...running.object, spec: { ...running.object.spec, ...spec } };
  }

  remove(version: string): void {
    this.versions.delete(version);
  }

  configure(spec: Partial<ModelSpec>): void {
    assert.ok(this.model);
    this.specify({ ...this.model.spec, ...spec });
  }

  /** Replaces the Model's spec. */
  specify(spec: ModelSpec): void {
    assert.ok(this.model);
    this.model = { ...this.model, spec };
  }

  /** Annotates the Model, or a version of it. */
  annotate(name: string, value: string, version?: string): void {
    const annotated = <T extends Model | ModelVersion>(object: T): T => ({
      ...object,
      metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [name]: value } },
    });
    if (version === undefined) this.model = annotated(this.model!);
    else this.versions.get(version)!.object = annotated(this.versions.get(version)!.object);
  }

  pods(version: string, ...states: PodState[]): void {
    this.versions.get(version)!.pods = states;
  }

  /** What becomes of the pods that have a place. */
  trouble(version: string, ...states: PodState[]): void {
    const running = this.versions.get(version)!;
    let next = 0;
    running.pods = running.pods.map((state) =>
      state === 'unschedulable' ? state : (states[next++] ?? state),
    );
  }

  /** A node is lost with so many pods of a version: they are being ended, and never gone. */
  lose(version: string, count: number): void {
    this.#lost.set(version, [...(this.#lost.get(version) ?? []), ...Array<number>(count).fill(this.now)]);
  }

  /** A pod loses its place, and finds another one only as a new pod does. */
  evict(version: string): void {
    const running = this.versions.get(version)!;
    const last = running.pods.findLastIndex((state) => state !== 'unschedulable');
    running.pods = running.pods.map((state, index) => (index === last ? 'unschedulable' : state));
  }

  /** Time passes without a visit. */
  pass(ms: number): void {
    this.now += ms;
  }

  /** Room for so many pods from now on, or for those that there are if they are more. */
  resize(places: number): void {
    this.places = Math.max(places, this.placed);
  }

  /** So many requests are in flight; undefined: routers do not say. */
  carry(concurrency: number | undefined): void {
    this.concurrency = concurrency;
  }

  /** Pods that are being ended are gone, and others get their places. */
  leave(): void {
    for (const running of this.versions.values()) running.leaving = 0;
    this.#schedule();
  }

  /** Pods that have a place, those included that are being ended. */
  get placed(): number {
    return [...this.versions.values()].reduce(
      (sum, { pods, leaving }) => sum + leaving + pods.filter((state) => state !== 'unschedulable').length,
      0,
    );
  }

  get #limited(): boolean {
    return this.places < Number.POSITIVE_INFINITY;
  }

  #schedule(): void {
    if (!this.#limited) return;
    const inOrder = [...this.versions].filter(([version]) => !this.unusable.has(version));
    for (const [, { pods }] of this.latestFirst ? inOrder.reverse() : inOrder) {
      for (const [index, state] of pods.entries()) {
        if (state === 'unschedulable' && this.placed < this.places) pods[index] = 'starting';
      }
    }
  }

  /** The Gateway API is there; no route is. */
  installRoutes(...kinds: RouteKind[]): void {
    for (const kind of kinds) this.gatewayRoutes[kind] = { state: 'read' };
  }

  /** Every parent of every route says the same of it as it is now; by default that it follows. */
  gatewaysSay(...said: readonly Partial<StatusCondition>[]): void {
    for (const kind of routeKinds) {
      const { route } = this.gatewayRoutes[kind];
      if (route === undefined) continue;
      const conditions = [{ type: 'Accepted' }, { type: 'ResolvedRefs' }, ...said].map((condition) => ({
        status: 'True',
        observedGeneration: route.metadata.generation ?? 0,
        ...condition,
      })) as StatusCondition[];
      const parents = (route.spec?.parentRefs ?? []).map((parentRef) => ({
        parentRef,
        conditions: conditions.filter(
          ({ type }, index) => conditions.findLastIndex((other) => other.type === type) === index,
        ),
      }));
      this.gatewayRoutes[kind] = { ...this.gatewayRoutes[kind], route: { ...route, status: { parents } } };
    }
  }

  /** All routers follow what was published last. */
  ack(): void {
    const generation = this.model?.status?.routers?.generation ?? 0;
    this.routers = this.routers.map(() => generation);
  }

  observe(): ModelObserved {
    return {
      namespace: 'speech',
      name: 'vad',
      ...optional('model', this.model),
      versions: [...this.versions.values()].map(({ object, replicas, pods, leaving }) => ({
        object,
        ...optional('deployment', this.#deployment(object.spec.version, replicas)),
        pods: [
          ...pods.map((state, index) => this.#pod(object, state, index)),
          ...[...Array<number>(leaving).fill(this.now), ...(this.#lost.get(object.spec.version) ?? [])].map(
            (due, index) => leavingPod(object, index, due),
          ),
        ],
        foreign: [],
      })),
      pools: this.pools,
      namespaceLabels: {},
      routers: this.routers.map((generation, index) => ({
        name: `router-${index}`,
        following: {
          generation,
          reaches: new Set([...this.versions.keys()].filter((version) => !this.unreached.has(version))),
        },
      })),
      ...optional('concurrency', this.concurrency),
      evidence: this.evidence,
      port: 10_000,
      gatewayRoutes: this.gatewayRoutes,
      foreign: [],
    };
  }

  #deployment(version: string, replicas: number | undefined): Deployment | undefined {
    if (replicas === undefined) return undefined;
    const conditions =
      (this.quota.get(version) ?? replicas) < replicas
        ? [
            {
              type: 'ReplicaFailure',
              status: 'True',
              reason: 'FailedCreate',
              message: 'exceeded quota: gpus',
            },
          ]
        : [];
    return {
      ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { replicas } },
      status: { conditions },
    };
  }

  #pod(object: ModelVersion, state: PodState, index: number): Pod {
    const name = `${object.metadata.name}-${index}`;
    if (state === 'ready') return readyPod(object, name);
    if (state === 'unschedulable') {
      const reason = 'Unschedulable';
      const message = '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.';
      const conditions = [{ type: 'PodScheduled', status: 'False', reason, message }];
      const { spec: _unbound, ...pod } = podOf(object, name, { phase: 'Pending', conditions });
      return pod;
    }
    if (state === 'starting') return podOf(object, name, { phase: 'Pending' });
    return podOf(object, name, {
      containerStatuses: [container({ restartCount: 4, lastState: { terminated: { exitCode: 3 } } })],
    });
  }

  /**
   * One reconcile: decides, checks the invariants, makes it true.
   *
   * @param until how far the operator gets before it dies
   */
  reconcile(until: 'published' | 'applied' | 'told' = 'told'): ModelDecision {
    const observed = this.observe();
    const decision = decideModel(observed, this.now);
    this.#assertSafe(decision);
    this.#publish(decision);
    if (until === 'published') return decision;
    this.#apply(decision);
    if (until === 'applied') return decision;
    this.#tell(decision);
    return decision;
  }

  /** Reconciles until a visit changes nothing; pods and routers stay as they are. */
  settle(): ModelDecision {
    let before = this.#remembered();
    for (let visit = 0; visit < 50; visit += 1) {
      const decision = this.reconcile();
      const after = this.#remembered();
      if (after === before) return decision;
      before = after;
    }
    throw new Error('decisions do not settle');
  }

  /** All that the next decision depends on and a decision may change. */
  #remembered(): string {
    const versions = [...this.versions.values()].map(({ object: { status }, replicas, pods, leaving }) => [
      status?.idleSince,
      status?.gaveWay,
      status?.establishedReplicas,
      status?.handledRetry,
      replicas,
      pods,
      leaving,
    ]);
    return JSON.stringify([this.model?.status, versions]);
  }

  /** Lets time pass, visiting whenever something is due, with routers that follow and pods that become ready. */
  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const { requeueAfterMs = Number.POSITIVE_INFINITY } = this.#calm();
      if (this.now + requeueAfterMs > end) break;
      this.now += requeueAfterMs;
    }
    this.now = end;
    this.#calm();
  }

  /** Visits until nothing starts any more and every router follows. */
  #calm(): ModelDecision {
    for (;;) {
      const before = this.model?.status?.routers?.generation;
      this.ack();
      this.leave();
      for (const running of this.versions.values()) {
        running.pods = running.pods.map((state) => (state === 'starting' ? 'ready' : state));
      }
      const decision = this.settle();
      const starting = [...this.versions.values()].some(
        ({ pods, leaving }) => pods.includes('starting') || leaving > 0,
      );
      if (!starting && this.model?.status?.routers?.generation === before) return decision;
    }
  }

  weight(version: string): number {
    return weightOf(this.model?.status?.traffic ?? [], version);
  }

  condition(type: string, version?: string): string {
    const status = version === undefined ? this.model?.status : this.versions.get(version)?.object.status;
    const found = status?.conditions?.find((condition) => condition.type === type);
    return `${found?.status} ${found?.reason}`;
  }

  #publish(decision: ModelDecision): void {
    if (decision.implicit === 'create') this.model ??= model();
    if (decision.implicit === 'delete') this.model = undefined;
    if (decision.modelStatus !== undefined && this.model !== undefined) {
      this.model = { ...this.model, status: decision.modelStatus };
    }
    for (const [object, status] of decision.versionStatuses) {
      if (status.gaveWay === undefined || isSameGiving(status.gaveWay, object.status?.gaveWay)) continue;
      this.#writeStatus(object, status);
    }
  }

  #writeStatus(object: ModelVersion, status: ModelVersionStatus): void {
    const running = this.versions.get(object.spec.version)!;
    running.object = { ...running.object, status };
  }

  #apply(decision: ModelDecision): void {
    for (const { version, replicas } of decision.workloads) {
      const running = this.versions.get(version.spec.version)!;
      running.replicas = replicas;
      const kept = worthKeeping(running.pods, replicas);
      const created = Math.min(replicas, this.quota.get(version.spec.version) ?? replicas);
      if (this.#limited) running.leaving += placedOf(running.pods) - placedOf(kept);
      running.pods = [
        ...kept,
        ...Array<PodState>(Math.max(0, created - kept.length)).fill(
          this.#limited ? 'unschedulable' : 'starting',
        ),
      ];
    }
    this.#schedule();
    this.#writeRoutes(decision);
    for (const { spec } of decision.released) this.versions.get(spec.version)!.replicas = undefined;
  }

  #tell(decision: ModelDecision): void {
    for (const [object, status] of decision.versionStatuses) this.#writeStatus(object, status);
    for (const event of decision.events) {
      this.events.push(event);
      if (event.about.kind !== 'Model') continue;
      const seconds = ((this.now - this.#start) / 1_000).toFixed(1).padStart(7);
      this.transcript.push(`${seconds} ${event.reason.padEnd(16)} ${event.message}`);
    }
  }

  #writeRoutes({ endpoint }: ModelDecision): void {
    for (const [kind, { parentRefs, hostnames, responseHeader }] of endpoint?.routes ?? []) {
      const before = this.gatewayRoutes[kind].route;
      const backendRefs = (endpoint?.shares ?? []).map(({ version, weight }) => ({
        name: version,
        weight,
        ...(responseHeader ? { filters: [{}] } : {}),
      }));
      const spec = { parentRefs, ...optional('hostnames', hostnames), rules: [{ backendRefs }] };
      const changed = JSON.stringify(spec) !== JSON.stringify(before?.spec);
      const route: Route = {
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind,
        metadata: {
          name: 'vad',
          namespace: 'speech',
          annotations: { [trafficAnnotation]: String(endpoint?.generation) },
          generation: (before?.metadata.generation ?? 0) + (changed ? 1 : 0),
        },
        spec,
        ...optional('status', before?.status),
      };
      this.gatewayRoutes[kind] = { state: 'read', route };
    }
    for (const { kind } of endpoint?.obsolete ?? [])
      this.gatewayRoutes[kind as RouteKind] = { state: 'read' };
  }

  /** A stable version that gives up pods keeps as many ready ones as its share needs, but for a quarter, and one in any case. */
  #assertLends({ modelStatus, workloads }: ModelDecision, share: number): void {
    const stable = workloads.find(({ version }) => version.spec.version === modelStatus?.stable);
    if (stable === undefined) return;
    const { replicas: before = 0, pods } = this.versions.get(stable.version.spec.version)!;
    const { replicas: wanted, scaling } = stable.version.spec;
    const ready = pods.filter((state) => state === 'ready').length;
    if (stable.replicas >= Math.min(before, wanted) || ready === 0 || share === 0) return;
    const left = Math.min(ready, stable.replicas);
    assert.ok(left > 0, 'stable keeps a pod that answers');
    if (left === ready) return;
    if (scaling?.targetConcurrency !== undefined) {
      const carried = ((this.concurrency ?? Number.POSITIVE_INFINITY) * share) / 100;
      assert.ok(left * scaling.targetConcurrency >= carried, 'what stable keeps carries its share');
    }
    const part = (wanted * (share - 0.01)) / 100 - Math.max(1, Math.floor(wanted / 4));
    assert.ok(left >= part, 'stable lends no more than a quarter of what its share needs');
  }

  #assertSafe(decision: ModelDecision): void {
    const shares = decision.modelStatus?.traffic;
    if (shares === undefined) return;
    const { latched = [] } = decision.modelStatus!;
    const isLatched = (version: string) =>
      latched.some(
        (entry) =>
          entry.version === version &&
          [...decision.versionStatuses].some(
            ([object, status]) => object.spec.version === version && status.contentHash === entry.contentHash,
          ),
      );
    const ready = [...this.versions]
      .filter(([, { pods }]) => pods.includes('ready'))
      .map(([version]) => version);
    const able = ready.filter((version) => !isLatched(version));
    const total = shares.reduce((sum, share) => sum + Math.round(share.weight * 100), 0);
    if (able.length > 0) assert.equal(total, 10_000, 'weights sum to 100 while a version can answer');
    for (const { version, weight } of shares) {
      if (weight === 0) continue;
      if (able.length > 0) assert.ok(ready.includes(version), `${version} has traffic and no ready pod`);
      assert.ok(!isLatched(version) || able.length === 0, `${version} is latched and has traffic`);
    }
    assert.ok(!this.#limited || this.placed <= this.places, 'no pod runs that there is no room for');
    const { candidate, stable, routed = [] } = decision.modelStatus!;
    for (const version of routed)
      assert.ok(able.includes(version), `routes lead to ${version}, which cannot answer or has failed`);
    const led = new Set([...routed, ...(this.model?.status?.routed ?? [])]);
    if (candidate !== undefined && stable !== undefined && able.includes(stable)) {
      const { pods, object } = this.versions.get(candidate.version)!;
      const { scaling } = object.spec;
      const established = object.status?.establishedReplicas ?? object.spec.replicas;
      const weight = weightOf(shares, candidate.version);
      const count = pods.filter((state) => state === 'ready').length;
      assert.ok(
        weight <=
          (100 * count) /
            (candidate.swap === undefined
              ? Math.min(established, object.spec.replicas)
              : object.spec.replicas),
        'a candidate has no more than its part of the pods',
      );
      const carried = ((this.concurrency ?? 0) * weight) / 100;
      const most = count * (scaling?.targetConcurrency ?? Number.MAX_SAFE_INTEGER);
      assert.ok(carried <= most, 'a candidate has no more than its pods can carry');
    }
    const published = this.model?.status?.traffic ?? [];
    this.#assertLends(decision, weightOf(published, stable ?? ''));
    for (const { spec } of decision.released) {
      const { pods } = this.versions.get(spec.version)!;
      assert.deepEqual(pods, [], `${spec.version} loses its Deployment and has pods`);
      assert.equal(weightOf(shares, spec.version), 0, `${spec.version} loses its Deployment and has traffic`);
      assert.ok(!led.has(spec.version), `${spec.version} loses its Deployment and routes lead to it`);
    }
    for (const { version, replicas } of decision.workloads) {
      if (replicas > 0) continue;
      const name = version.spec.version;
      // One that answers nothing may give its last place to its successor.
      if (name === stable && !ready.includes(name)) continue;
      if (this.versions.get(name)!.pods.length === 0) continue;
      assert.equal(weightOf(shares, name) + weightOf(published, name), 0, `${name} is parked with traffic`);
      assert.ok(!led.has(name), `${name} is parked and routes lead to it`);
    }
  }
}

const placedOf = (pods: readonly PodState[]): number =>
  pods.filter((state) => state !== 'unschedulable').length;

/** The pods that a ReplicaSet of so many keeps: it ends those first that do least good. */
function worthKeeping(pods: readonly PodState[], replicas: number): PodState[] {
  const worth: readonly PodState[] = ['ready', 'starting', 'crashing', 'unschedulable'];
  const best = pods.toSorted((a, b) => worth.indexOf(a) - worth.indexOf(b)).slice(0, replicas);
  const left = (state: PodState): boolean => {
    const index = best.indexOf(state);
    if (index >= 0) best.splice(index, 1);
    return index >= 0;
  };
  return pods.filter(left);
}

/** Pods start again where they are. */
function restart(running: Running): void {
  running.pods = running.pods.map((state) => (state === 'unschedulable' ? state : 'starting'));
}
