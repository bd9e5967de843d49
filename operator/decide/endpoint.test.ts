import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ModelEndpoint, ModelSpec } from '../api/generated/model.ts';
import { World } from './testing/world.ts';

const seconds = (count: number): number => count * 1_000;
const parentRefs = [
  { name: 'public', namespace: 'infra' },
  { name: 'internal', namespace: 'infra' },
];
const gateway: ModelEndpoint = {
  provider: 'gateway',
  keepFormer: '10m',
  gateway: { responseHeader: true, httpRoute: { parentRefs, hostnames: ['vad.example'] } },
};
const router: ModelEndpoint = { provider: 'router', keepFormer: '10m' };

/** 5.0.0 serves, through Gateways that follow. */
function behindGateways(spec: Partial<ModelSpec> = {}): World {
  const world = new World({ endpoint: gateway, ...spec });
  world.routers = [];
  world.installRoutes('HTTPRoute', 'GRPCRoute');
  world.add('5.0.0');
  ready(world, '5.0.0');
  follow(world);
  assert.equal(world.condition('RouteReady'), 'True Serving');
  return world;
}

function ready(world: World, version: string): void {
  world.settle();
  world.pods(version, 'ready', 'ready');
  world.settle();
}

function follow(world: World): void {
  world.settle();
  world.gatewaysSay();
  world.settle();
}

const messageOf = (world: World, type: string): string | undefined =>
  world.model?.status?.conditions?.find((condition) => condition.type === type)?.message;

describe('a model behind routers', () => {
  it('is ready when every router knows a pod of what it sends requests to', () => {
    const world = new World({});
    world.add('5.0.0');
    world.unreached.add('5.0.0');
    ready(world, '5.0.0');
    world.ack();
    world.settle();
    assert.equal(world.condition('RouteReady'), 'False RoutersPending');
    assert.match(messageOf(world, 'RouteReady')!, /^0 of 2 routers follow; 2 know no pod of 5\.0\.0 yet$/);
    assert.equal(world.condition('Ready')?.split(' ')[0], 'False');
    assert.equal(world.condition('Servable'), 'False RoutersPending', 'nobody would be answered');
    assert.deepEqual(world.model?.status?.routers?.acked, 0);
    world.unreached.clear();
    world.settle();
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.deepEqual(world.model?.status?.routers?.acked, 2);
  });

  it('goes to the next step only when routers know a pod of the candidate', () => {
    const world = new World({});
    world.add('5.0.0');
    ready(world, '5.0.0');
    world.run(seconds(1));
    world.add('6.0.0');
    world.unreached.add('6.0.0');
    ready(world, '6.0.0');
    assert.equal(world.weight('6.0.0'), 5);
    world.run(seconds(300));
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Routers');
    world.unreached.clear();
    world.run(seconds(300));
    assert.equal(world.weight('6.0.0'), 100);
  });

  it('does not wait for pods of a version that has none: a candidate replaces a stable one that died', () => {
    const world = new World({});
    world.add('5.0.0');
    ready(world, '5.0.0');
    world.run(seconds(1));
    world.pods('5.0.0', 'crashing', 'crashing');
    world.unreached.add('5.0.0');
    world.add('6.0.0');
    ready(world, '6.0.0');
    world.run(seconds(600));
    assert.equal(world.weight('6.0.0'), 100);
  });
});

describe('a model behind Gateways', () => {
  it('is ready without any router', () => {
    const world = behindGateways();
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.equal(world.condition('Servable'), 'True Serving');
    assert.equal(world.condition('Ready', '5.0.0'), 'True Serving');
    const { routers, url, endpoint } = world.model!.status!;
    assert.deepEqual(routers, { generation: 1, total: 0, acked: 0 });
    assert.deepEqual([url, endpoint], [undefined, { provider: 'gateway' }]);
    const children = world.reconcile().endpoint!;
    assert.equal(children.service, 'none');
    assert.deepEqual([...children.routes.keys()], ['HTTPRoute']);
  });

  it('goes to the next step only when every parent has seen the route as it is now', () => {
    const world = behindGateways();
    world.add('6.0.0');
    ready(world, '6.0.0');
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.condition('RouteReady'), 'False RoutePending');
    world.now += seconds(45);
    world.settle();
    assert.equal(world.weight('6.0.0'), 5, 'the time of a hold is over, but nobody has followed');
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Gateways');
    follow(world);
    assert.equal(world.weight('6.0.0'), 5, 'the hold begins now');
    assert.equal(world.model?.status?.candidate?.waitingFor, undefined);
    world.now += seconds(31);
    world.settle();
    assert.equal(world.weight('6.0.0'), 25);
  });

  it('takes the traffic of a failed candidate away without waiting for anybody', () => {
    const world = behindGateways();
    world.add('6.0.0');
    ready(world, '6.0.0');
    world.pods('6.0.0', 'crashing', 'crashing');
    world.settle();
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.gatewayRoutes.HTTPRoute.route?.spec?.rules?.[0]?.backendRefs?.length, 1);
  });

  it('keeps the pods of a version until no Gateway can send requests to it', () => {
    const world = behindGateways({ retention: { warm: 0, keep: 5, parkAfter: '10s' } });
    world.add('6.0.0');
    ready(world, '6.0.0');
    for (let step = 0; step < 4; step += 1) {
      follow(world);
      world.now += seconds(31);
      world.settle();
    }
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.now += seconds(3_600);
    world.settle();
    assert.equal(world.versions.get('5.0.0')!.replicas, 2, 'the route without it has not been seen');
    follow(world);
    world.now += seconds(11);
    world.settle();
    assert.equal(world.versions.get('5.0.0')!.replicas, 0);
  });

  const said: readonly [string, () => World, string, RegExp][] = [
    [
      'the cluster has no Gateway API',
      () => fresh(),
      'GatewayAPIMissing',
      /no HTTPRoute of gateway.networking.k8s.io\/v1/,
    ],
    [
      'the cluster has no GRPCRoute',
      () => fresh({ grpc: true, kinds: ['HTTPRoute'] }),
      'GRPCRouteMissing',
      /no GRPCRoute/,
    ],
    [
      'a parent does not accept the route',
      () => {
        const world = fresh({ kinds: ['HTTPRoute'] });
        world.gatewaysSay({
          type: 'Accepted',
          status: 'False',
          reason: 'NotAllowedByListeners',
          message: 'not from speech',
        });
        return world;
      },
      'RouteNotAccepted',
      /^HTTPRoute: Gateway infra\/public: NotAllowedByListeners: not from speech$/,
    ],
    [
      'a parent cannot resolve a backend',
      () => {
        const world = fresh({ kinds: ['HTTPRoute'] });
        world.gatewaysSay({ type: 'ResolvedRefs', status: 'False', reason: 'BackendNotFound' });
        return world;
      },
      'RouteRefsNotResolved',
      /^HTTPRoute: Gateway infra\/public: BackendNotFound$/,
    ],
  ];
  for (const [title, world, reason, message] of said) {
    it(`says so when ${title}, and calls it stalled when it lasts`, () => {
      const there = world();
      there.settle();
      assert.equal(there.condition('RouteReady'), `False ${reason}`);
      assert.match(messageOf(there, 'RouteReady') ?? '', message);
      assert.equal(there.condition('Stalled'), 'False Settled');
      assert.equal(there.condition('Reconciling'), `True ${reason}`);
      there.now += there.settle().requeueAfterMs ?? 0;
      there.settle();
      assert.equal(there.condition('Stalled'), `True ${reason}`);
      assert.equal(there.condition('Ready'), `False ${reason}`);
    });
  }

  it('gives a Gateway a minute to look at the route, and then says that it does not', () => {
    const world = fresh({ kinds: ['HTTPRoute'] });
    assert.equal(world.condition('RouteReady'), 'False RoutePending');
    assert.equal(world.condition('Servable'), 'False RoutePending');
    world.now += seconds(59);
    world.settle();
    assert.equal(world.condition('Stalled'), 'False Settled');
    world.now += seconds(1);
    world.settle();
    assert.equal(world.condition('Stalled'), 'True RouteNotObserved');
    assert.match(messageOf(world, 'Stalled') ?? '', /Gateway infra\/public has not looked at the route/);
    world.gatewaysSay();
    world.settle();
    assert.equal(world.condition('Ready'), 'True Serving');
  });

  it('does not touch a route of somebody else', () => {
    const world = fresh();
    world.gatewayRoutes.HTTPRoute = { state: 'foreign' };
    const { endpoint } = world.settle();
    assert.equal(world.condition('Stalled'), 'True ChildConflict');
    assert.deepEqual([...endpoint!.routes], []);
    assert.match(messageOf(world, 'Ready') ?? '', /^HTTPRoute vad exists and does not belong to this Model/);
  });
});

/** 5.0.0 is ready, and its routes are written where there are such kinds. */
function fresh(options: { grpc?: boolean; kinds?: ('HTTPRoute' | 'GRPCRoute')[] } = {}): World {
  const grpc = options.grpc ? { grpcRoute: { parentRefs: [{ name: 'grpc' }] } } : {};
  const world = new World({ endpoint: { ...gateway, gateway: { ...gateway.gateway!, ...grpc } } });
  world.routers = [];
  world.installRoutes(...(options.kinds ?? []));
  world.add('5.0.0');
  ready(world, '5.0.0');
  return world;
}

describe('a switch of the provider', () => {
  it('to Gateways keeps the router until they follow, and for a while after that', () => {
    const world = new World({});
    world.installRoutes('HTTPRoute');
    world.add('5.0.0');
    world.run(seconds(1));
    world.configure({ endpoint: gateway });
    const before = world.settle().endpoint!;
    assert.deepEqual([before.service, [...before.routes.keys()]], [{ port: 10_000 }, ['HTTPRoute']]);
    assert.equal(world.condition('Ready'), 'False RoutePending');
    assert.equal(world.condition('Servable'), 'True Serving', 'by the router');
    world.now += seconds(30);
    follow(world);
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.deepEqual(world.model?.status?.endpoint, {
      provider: 'gateway',
      former: 'router',
      formerUntil: new Date(world.now + seconds(600)).toISOString(),
    });
    assert.deepEqual(world.reconcile().endpoint!.service, { port: 10_000 });
    world.now += seconds(599);
    assert.deepEqual(world.settle().endpoint!.service, { port: 10_000 });
    world.now += seconds(1);
    assert.equal(world.settle().endpoint!.service, 'none');
    assert.deepEqual(world.model?.status?.endpoint, { provider: 'gateway' });
  });

  it('to routers keeps the routes, with live shares, until they follow and for a while after that', () => {
    const world = behindGateways();
    world.configure({ endpoint: router });
    const before = world.settle().endpoint!;
    assert.deepEqual(before.routes.get('HTTPRoute'), {
      parentRefs,
      hostnames: ['vad.example'],
      responseHeader: true,
    });
    assert.equal(world.condition('RouteReady'), 'False NoRouters');
    assert.equal(world.condition('Servable'), 'True Serving', 'by the Gateways');
    world.routers = [0, 0];
    world.ack();
    world.settle();
    assert.deepEqual(
      [world.model?.status?.endpoint?.provider, world.model?.status?.endpoint?.former],
      ['router', 'gateway'],
    );
    world.add('6.0.0');
    ready(world, '6.0.0');
    assert.equal(world.gatewayRoutes.HTTPRoute.route?.spec?.rules?.[0]?.backendRefs?.length, 2);
    world.ack();
    world.now += seconds(45);
    world.settle();
    assert.equal(world.weight('6.0.0'), 5, 'the Gateways have clients too, and have not followed');
    world.gatewaysSay();
    world.settle();
    world.now += seconds(31);
    world.settle();
    assert.equal(world.weight('6.0.0'), 25);
    world.now += seconds(600);
    world.ack();
    world.settle();
    assert.equal(world.gatewayRoutes.HTTPRoute.route, undefined);
    assert.equal(world.model?.status?.endpoint, undefined);
  });

  it('waits for a former endpoint as long as requests may come through it, and says for which', () => {
    const world = behindGateways({ retention: { warm: 0, keep: 5, parkAfter: '10s' } });
    world.configure({ endpoint: { ...router, keepFormer: '720h' } });
    world.settle();
    world.routers = [0, 0];
    world.ack();
    world.add('6.0.0');
    ready(world, '6.0.0');
    const next = () => {
      world.ack();
      world.settle();
      world.now += seconds(31);
      world.ack();
      world.settle();
    };
    next();
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Gateways', 'the routers follow');
    world.gatewaysSay({ type: 'Accepted', status: 'False', reason: 'NotAllowedByListeners' });
    world.settle();
    world.now += seconds(31);
    world.settle();
    assert.equal(world.weight('6.0.0'), 25, 'nothing comes through a route that no Gateway takes');
    next();
    next();
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.now += seconds(3_600);
    next();
    assert.equal(world.versions.get('5.0.0')!.replicas, 0);
    assert.equal(world.model?.status?.endpoint?.former, 'gateway', 'its time is not over');
  });

  it('to Gateways does not wait for routers when there are none any more', () => {
    const world = new World({});
    world.installRoutes('HTTPRoute');
    world.add('5.0.0');
    world.run(seconds(1));
    world.configure({ endpoint: gateway });
    world.settle();
    follow(world);
    world.add('6.0.0');
    ready(world, '6.0.0');
    follow(world);
    world.now += seconds(31);
    world.settle();
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Routers');
    world.routers = [];
    world.settle();
    world.now += seconds(31);
    world.settle();
    assert.equal(world.weight('6.0.0'), 25);
  });

  it('waits for a former endpoint that has not been read yet, after a restart of the operator say', () => {
    const world = behindGateways();
    world.configure({ endpoint: router });
    world.settle();
    world.routers = [0, 0];
    world.ack();
    world.add('6.0.0');
    ready(world, '6.0.0');
    world.ack();
    world.gatewayRoutes = { HTTPRoute: { state: 'unread' }, GRPCRoute: { state: 'unread' } };
    world.now += seconds(45);
    world.settle();
    assert.equal(world.weight('6.0.0'), 5);
  });

  it('gives the former endpoint a shorter time when keepFormer becomes shorter, and no longer one', () => {
    const world = behindGateways();
    world.configure({ endpoint: { ...router, keepFormer: '720h' } });
    world.settle();
    world.routers = [0, 0];
    world.ack();
    world.settle();
    const until = () => Date.parse(world.model!.status!.endpoint!.formerUntil!) - world.now;
    assert.equal(until(), seconds(720 * 3_600));
    world.configure({ endpoint: { ...router, keepFormer: '10m' } });
    world.settle();
    assert.equal(until(), seconds(600));
    world.now += seconds(60);
    world.configure({ endpoint: { ...router, keepFormer: '1h' } });
    world.settle();
    assert.equal(until(), seconds(540));
    world.configure({ endpoint: { ...router, keepFormer: '0s' } });
    world.settle();
    assert.equal(world.model?.status?.endpoint, undefined);
    assert.equal(world.gatewayRoutes.HTTPRoute.route, undefined);
  });

  it('that is taken back leaves everything as it was', () => {
    const world = new World({});
    world.installRoutes('HTTPRoute');
    world.add('5.0.0');
    world.run(seconds(1));
    world.configure({ endpoint: gateway });
    world.settle();
    assert.ok(world.gatewayRoutes.HTTPRoute.route);
    world.configure({ endpoint: router });
    world.settle();
    assert.equal(world.gatewayRoutes.HTTPRoute.route, undefined);
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.equal(world.model?.status?.endpoint, undefined);
  });
});
