import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { model, modelVersion } from '../api/fixtures.ts';
import type { Route, RouteKind } from '../api/gateway.ts';
import type { ModelEndpoint } from '../api/generated/model.ts';
import type { Deployment } from '../api/kubernetes.ts';
import { versionChildName } from '../resources/names.ts';
import { MemoryCluster } from './memory-cluster.ts';
import { modelReconciler } from './model.ts';
import { Rejected } from './ports.ts';
import { routerReconciler } from './router.ts';

const runtime = {
  image: 'runtime:1',
  pullPolicy: 'IfNotPresent',
  pullSecrets: [],
  logLevel: 'info',
} as const;
const config = {
  runtime,
  artifacts: { schemes: [], privateHosts: [], endpoints: {}, maxBytes: 2 ** 30 },
  defaultResources: {},
};
const routerConfig = { runtime, replicas: 2, resources: {}, graceSeconds: 60, clusterRole: 'sluice-router' };
const key = 'speech/vad';
const parentRefs = [{ name: 'public', namespace: 'infra' }];
const gateway: ModelEndpoint = {
  provider: 'gateway',
  keepFormer: '10m',
  gateway: { responseHeader: true, httpRoute: { parentRefs }, grpcRoute: { parentRefs: [{ name: 'grpc' }] } },
};
const router: ModelEndpoint = { provider: 'router', keepFormer: '10m' };

/** A cluster with the Gateway API, in which controllers follow at once. */
class GatewayCluster extends MemoryCluster {
  readonly #visit = modelReconciler(this, config);
  readonly #visitRouter = routerReconciler(this, routerConfig);

  constructor(endpoint: ModelEndpoint, kinds: readonly RouteKind[] = ['HTTPRoute', 'GRPCRoute']) {
    super();
    for (const kind of kinds) this.views.routes[kind].state = 'read';
    this.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'speech' } });
    this.put(model({ endpoint }));
    this.put(modelVersion('5.0.0'));
  }

  async visit(): Promise<void> {
    await this.#visitRouter('speech');
    await this.#visit(key);
    this.runPods();
  }

  /** Visits until nothing is written any more, with Gateways that follow. */
  async settle(): Promise<void> {
    for (let visit = 0; visit < 30; visit += 1) {
      const before = this.writes.length;
      await this.visit();
      if (this.#follow() === 0 && this.writes.length === before) return;
    }
    throw new Error('does not settle');
  }

  #follow(): number {
    let changed = 0;
    for (const { objects } of Object.values(this.views.routes)) {
      for (const route of objects.values()) {
        const conditions = ['Accepted', 'ResolvedRefs'].map((type) => ({
          type,
          status: 'True',
          observedGeneration: route.metadata.generation ?? 0,
        }));
        const parents = (route.spec?.parentRefs ?? []).map((parentRef) => ({ parentRef, conditions }));
        if (JSON.stringify(route.status) === JSON.stringify({ parents })) continue;
        this.put({ ...route, status: { parents } } as Route);
        changed += 1;
      }
    }
    return changed;
  }

  configure(endpoint: ModelEndpoint): void {
    const before = this.views.models.get(key)!;
    this.put({ ...before, spec: { ...before.spec, endpoint } } as typeof before);
  }

  ready(): string | undefined {
    const found = this.views.models.get(key)?.status?.conditions?.find(({ type }) => type === 'Ready');
    return `${found?.status} ${found?.reason}`;
  }

  names(kind: string): string[] {
    return Object.keys(this.snapshot()).filter((name) => name.startsWith(`${kind} `));
  }
}

describe('a reconcile of a model behind Gateways', () => {
  it('makes routes instead of a Service, and a router without pods', async () => {
    const world = new GatewayCluster(gateway);
    await world.settle();
    assert.equal(world.ready(), 'True Serving');
    assert.deepEqual(world.names('HTTPRoute'), ['HTTPRoute speech/vad']);
    assert.deepEqual(world.names('GRPCRoute'), ['GRPCRoute speech/vad']);
    assert.deepEqual(world.names('Service'), [`Service speech/${versionChildName('vad-5.0.0')}`]);
    const deployment = world.views.deployments.get('speech/sluice-router') as Deployment;
    assert.equal(deployment.spec?.replicas, 0);
  });

  it("writes a version's Service before the routes that name it", async () => {
    const world = new GatewayCluster(gateway);
    await world.settle();
    const service = world.writes.indexOf(`apply Service ${versionChildName('vad-5.0.0')}`);
    assert.ok(service >= 0 && service < world.writes.indexOf('apply HTTPRoute vad'));
  });

  it('says what the API server refuses of a route, and goes on with everything else', async () => {
    const world = new GatewayCluster(gateway);
    world.fault = (write) => {
      if (write === 'apply HTTPRoute vad') throw new Rejected('spec.rules[0].filters: Unsupported value');
    };
    await world.visit();
    await world.visit();
    const route = world.views.models.get(key)?.status?.conditions?.find(({ type }) => type === 'RouteReady');
    assert.deepEqual(
      [route?.reason, route?.message],
      ['RouteRejected', 'HTTPRoute: spec.rules[0].filters: Unsupported value'],
    );
    assert.deepEqual(world.names('GRPCRoute'), ['GRPCRoute speech/vad']);
    world.fault = () => undefined;
    await world.settle();
    assert.equal(world.ready(), 'True Serving');
  });

  it('writes nothing where it has not read yet, or something foreign stands', async () => {
    const world = new GatewayCluster(gateway, []);
    world.views.routes.HTTPRoute.state = 'unread';
    world.views.routes.GRPCRoute.state = 'read';
    world.put({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'GRPCRoute',
      metadata: { name: 'vad', namespace: 'speech' },
    });
    await world.visit();
    await world.visit();
    assert.deepEqual(
      world.writes.filter((write) => write.includes('Route ')),
      [],
    );
    assert.equal(world.ready(), 'False ChildConflict');
  });

  it('leaves a route and a Service of somebody else alone when it needs none of that name', async () => {
    const world = new GatewayCluster(router);
    const foreign = { name: 'vad', namespace: 'speech' };
    world.put({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: foreign });
    await world.settle();
    assert.equal(world.names('HTTPRoute').length, 1);
    const other = new GatewayCluster(gateway);
    other.put({ apiVersion: 'v1', kind: 'Service', metadata: foreign });
    await other.settle();
    assert.equal(other.ready(), 'True Serving');
    assert.ok(other.names('Service').includes('Service speech/vad'));
  });

  it('there and back: the endpoint that is to go goes last, and its port can be had again', async () => {
    const world = new GatewayCluster(router);
    await world.settle();
    world.configure(gateway);
    await world.settle();
    assert.equal(world.ready(), 'True Serving');
    assert.ok(world.names('Service').includes('Service speech/vad'), 'clients have time to move');
    world.clock += 600_000;
    await world.settle();
    assert.ok(!world.names('Service').includes('Service speech/vad'));
    assert.ok(
      world.writes.indexOf('apply HTTPRoute vad') < world.writes.indexOf('delete Service vad'),
      'routes come before the Service goes',
    );
    assert.equal((world.views.deployments.get('speech/sluice-router') as Deployment).spec?.replicas, 0);

    world.configure(router);
    await world.settle();
    assert.ok(world.names('Service').includes('Service speech/vad'));
    assert.deepEqual(world.names('HTTPRoute'), ['HTTPRoute speech/vad']);
    world.clock += 600_000;
    await world.settle();
    assert.deepEqual([...world.names('HTTPRoute'), ...world.names('GRPCRoute')], []);
    assert.equal(world.ready(), 'True Serving');
  });
});
