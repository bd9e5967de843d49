/**
 * Models behind Gateways: what the operator writes, whom it waits for, and how clients get from routers to Gateways and back.
 * No Gateway implementation is needed: somebody stands in for its controller and speaks through the routes' status alone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasGatewayApi, installGatewayApi, type Route, StandInController } from './harness/gateway-api.ts';
import { condition, holds } from './harness/kinds.ts';
import { model, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';
import { watchTraffic } from './harness/traffic.ts';

const parentRefs = [{ name: 'stand-in' }];
const gateway = {
  provider: 'gateway',
  keepFormer: '5s',
  gateway: {
    httpRoute: { parentRefs, hostnames: ['vad.example'] },
    grpcRoute: { parentRefs, hostnames: ['grpc.vad.example'] },
  },
} as const;
const router = { provider: 'router', keepFormer: '5s' } as const;

/** Weights of the rule that every request without a wish follows, of either route. */
const weightsOf = (routes: readonly Route[]) =>
  routes.map(({ spec }) => (spec.rules?.at(-1)?.backendRefs ?? []).map(({ weight }) => weight));

export function gateways(session: () => Session): void {
  test('a model is served through Gateways, and goes from routers to them and back', async (t) => {
    const { client, shell } = session();
    const stage = await Stage.set(session(), 'gateways');
    t.after(() => stage.clear());
    const { world } = stage;
    const ready = () => condition(world.model('vad'), 'Ready');
    const routeReady = () => condition(world.model('vad'), 'RouteReady');

    if (!(await hasGatewayApi(client))) {
      await t.test('without the Gateway API the Model says so, and everything else goes on', async () => {
        await stage.apply(model({ endpoint: gateway }), version({ version: '5.0.0', spec: { replicas: 1 } }));
        await world.until('the reason', () => routeReady()?.reason === 'GatewayAPIMissing');
        await world.until('the pods', () => holds(world.version('vad-5.0.0'), 'WorkloadReady'));
      });
    }
    const uninstall = await installGatewayApi(client, shell);
    t.after(uninstall);
    const controller = await StandInController.start(client, stage.namespace);
    t.after(() => controller.stop());

    await t.test('with it, routes are written, and the model is ready when they are accepted', async () => {
      controller.think('look away');
      await stage.apply(model({ endpoint: gateway }), version({ version: '5.0.0', spec: { replicas: 1 } }));
      await controller.until('both routes', (routes) => routes.length === 2);
      await world.until('the reason', () => routeReady()?.reason === 'RoutePending');
      controller.think('refuse');
      await world.until('the refusal', () => routeReady()?.reason === 'RouteNotAccepted');
      assert.match(routeReady()?.message ?? '', /stand-in: NotAllowedByListeners/);
      controller.think('accept');
      await world.until('the model to be ready', () => ready()?.status === 'True');
      assert.deepEqual(weightsOf(controller.routes()), [[10_000], [10_000]]);
      assert.equal(world.service('vad'), undefined, 'nobody goes through routers');
      assert.equal(world.pods({ 'app.kubernetes.io/name': 'sluice-router' }).length, 0);
    });

    await t.test('a rollout waits until the routes have been seen, step by step', async () => {
      const traffic = watchTraffic(world, 'vad');
      t.after(() => traffic.stop());
      controller.think('look away');
      await stage.apply(version({ version: '6.0.0', weights: 'v6', spec: { replicas: 1 } }));
      await world.until(
        'it to wait for Gateways',
        () => world.model('vad')?.status?.candidate?.waitingFor === 'Gateways',
      );
      await controller.until('the weights of the first step', (routes) =>
        weightsOf(routes).every((weights) => String(weights) === '8000,2000'),
      );
      controller.think('accept');
      await world.until('6.0.0 to be all', () => world.model('vad')?.status?.stable === '6.0.0');
      await world.until('the model to be ready', () => ready()?.status === 'True');
      assert.deepEqual(traffic.weights('6.0.0'), [20, 50, 100]);
    });

    await t.test('to routers: the routes stay until the routers follow, and a while longer', async () => {
      await stage.apply(model({ endpoint: router }));
      await world.until('the routers', () => world.model('vad')?.status?.endpoint?.former === 'gateway');
      await stage.serves('vad', '6.0.0');
      assert.equal(controller.routes().length, 2, 'clients have time to move');
      await controller.until('the routes to go', (routes) => routes.length === 0);
    });

    await t.test('to Gateways: no request is lost while the router stays', async () => {
      const load = await stage.steadyLoad(5);
      controller.think('look away');
      await stage.apply(model({ endpoint: { ...gateway, keepFormer: '1m' } }));
      await controller.until('both routes', (routes) => routes.length === 2);
      await load.more(5);
      assert.notEqual(ready()?.status, 'True');
      controller.think('accept');
      await world.until('the model to be ready', () => ready()?.status === 'True');
      assert.equal(world.model('vad')?.status?.endpoint?.former, 'router');
      await load.more(5);
      await load.stopWithoutLoss();
      await stage.apply(model({ endpoint: gateway }));
    });

    await t.test('the routes go with the Model', async () => {
      await shell.kubectl(['delete', 'model', 'vad', '-n', stage.namespace, '--wait=false']);
      await shell.kubectl(['delete', 'mv', '--all', '-n', stage.namespace, '--wait=false']);
      await controller.until('the routes to go', (routes) => routes.length === 0);
    });
  });
}
