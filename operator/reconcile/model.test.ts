import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { labels } from '#contract';
import { defaultModelSpec } from '../api/defaults.ts';
import { model, modelVersion } from '../api/fixtures.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type { Pod } from '../api/kubernetes.ts';
import { versionChildName } from '../resources/names.ts';
import type { VersionConfig } from '../resources/version-deployment.ts';
import { MemoryCluster } from './memory-cluster.ts';
import { modelReconciler } from './model.ts';
import { Rejected } from './ports.ts';
import { routerReconciler } from './router.ts';

const runtime = {
  image: 'sluice/runtime:1',
  pullPolicy: 'IfNotPresent',
  pullSecrets: [],
  logLevel: 'info',
} as const;
const config: VersionConfig = {
  runtime,
  artifacts: { schemes: [], privateHosts: [], endpoints: {}, maxBytes: 2 ** 30 },
  defaultResources: { requests: { cpu: '100m' } },
};
const routerConfig = { runtime, replicas: 2, resources: {}, graceSeconds: 60, clusterRole: 'sluice-router' };
const key = 'speech/vad';

function cluster(): MemoryCluster {
  const world = new MemoryCluster();
  world.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'speech' } });
  return world;
}

/** Reconciles as a controller would, with a new operator after each failure, until nothing is written any more. */
async function converge(world: MemoryCluster): Promise<void> {
  let model = modelReconciler(world, config);
  let router = routerReconciler(world, routerConfig);
  for (let round = 0; round < 1_000; round += 1) {
    const before = world.writes.length;
    let failed = false;
    try {
      await router('speech');
      const { requeueAfterMs } = await model(key);
      world.runPods();
      if (world.writes.length === before) {
        if (requeueAfterMs === undefined) return;
        world.clock += requeueAfterMs;
      }
    } catch {
      failed = true;
    }
    if (failed) {
      model = modelReconciler(world, config);
      router = routerReconciler(world, routerConfig);
    }
  }
  throw new Error('does not converge');
}

/** The story of a whole rollout: 5.0.0 serves, 6.0.0 takes over. */
async function rollout(world: MemoryCluster): Promise<void> {
  world.put(modelVersion('5.0.0'));
  await converge(world);
  world.put(modelVersion('6.0.0'));
  await converge(world);
}

/** A pod of a version for which the scheduler has found no node. */
function unschedulable({ metadata: { name }, spec }: ModelVersion): Pod {
  const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable' };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${name}-0`,
      namespace: 'speech',
      labels: { [labels.model]: spec.model, [labels.version]: spec.version },
    },
    status: { phase: 'Pending', conditions: [condition] },
  };
}

describe('a reconcile', () => {
  it('makes a ModelVersion into a Model, a Deployment, Services and a router', async () => {
    const world = cluster();
    world.put(modelVersion('5.0.0'));
    await converge(world);
    const child = versionChildName('vad-5.0.0');
    assert.deepEqual(
      Object.keys(world.snapshot()).filter((name) => !name.startsWith('Pod ')),
      [
        'Deployment speech/sluice-router',
        `Deployment speech/${child}`,
        'Model speech/vad',
        'ModelVersion speech/vad-5.0.0',
        'Namespace speech',
        'PodDisruptionBudget speech/sluice-router',
        'RoleBinding speech/sluice-router',
        'Service speech/vad',
        `Service speech/${child}`,
        'ServiceAccount speech/sluice-router',
      ],
    );
  });

  it('tells what happened though a status cannot be written', async () => {
    const world = cluster();
    await rollout(world);
    const before = world.told.map(({ reason, message }) => `${reason} ${message}`);
    const disturbed = cluster();
    let refused = 0;
    disturbed.fault = (write, when) => {
      if (when === 'before' && write === 'status ModelVersion vad-5.0.0' && refused++ % 2 === 0) {
        throw new Error('conflict');
      }
    };
    await rollout(disturbed);
    assert.ok(refused > 2);
    const told = new Set(disturbed.told.map(({ reason, message }) => `${reason} ${message}`));
    for (const event of before) assert.ok(told.has(event), event);
  });

  it('writes down to whom a version gave way before its pods go', async () => {
    const world = cluster();
    const { rollout } = defaultModelSpec;
    const retention = { warm: 0, keep: 5, parkAfter: '720h' };
    world.put(model({ rollout: { ...rollout, strategy: 'immediate', bake: '0s' }, retention }));
    const visit = async () => {
      await routerReconciler(world, routerConfig)('speech');
      await modelReconciler(world, config)(key);
      world.runPods();
    };
    for (const version of ['5.0.0', '6.0.0']) {
      world.put(modelVersion(version));
      for (let visits = 0; world.views.models.get(key)?.status?.stable !== version; visits += 1) {
        assert.ok(visits < 20);
        await visit();
      }
    }
    await visit();
    world.put(modelVersion('7.0.0'));
    world.put(unschedulable(modelVersion('7.0.0')));
    const parks = `apply Deployment ${versionChildName('vad-5.0.0')}`;
    let deaths = 0;
    world.fault = (write, when) => {
      if (when === 'after' && write === parks && deaths++ === 0) throw new Error('the operator died');
    };
    for (let visits = 0; visits < 5; visits += 1)
      await modelReconciler(world, config)(key).catch(() => undefined);
    assert.equal(deaths, 1);
    const { status } = world.views.versions.get('speech/vad-5.0.0')!;
    assert.equal(status?.gaveWay?.to, '7.0.0');
    assert.equal(status.conditions?.[0]?.reason, 'GaveWay');
  });

  it('publishes shares before it touches pods', async () => {
    const world = cluster();
    await rollout(world);
    const start = world.writes.indexOf('status Model vad');
    assert.ok(
      start >= 0 && start < world.writes.indexOf(`apply Deployment ${versionChildName('vad-6.0.0')}`),
    );
  });

  it('comes to the same end when the operator dies before or after any write', async () => {
    const clean = cluster();
    await rollout(clean);
    const ends = masked(clean);
    for (let nth = 0; nth < clean.writes.length; nth += 1) {
      for (const moment of ['before', 'after'] as const) {
        const world = cluster();
        let count = 0;
        world.fault = (_write, when) => {
          if (when !== moment) return;
          count += 1;
          if (count === nth + 1) throw new Error('the operator died');
        };
        await rollout(world);
        assert.deepEqual(masked(world), ends, `${moment} write ${nth}: ${clean.writes[nth]}`);
      }
    }
  });

  it('does not take over what belongs to somebody else', async () => {
    const world = cluster();
    const child = versionChildName('vad-5.0.0');
    world.put({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: child, namespace: 'speech' } });
    world.put(modelVersion('5.0.0'));
    await modelReconciler(world, config)(key);
    assert.deepEqual(
      world.writes.filter((write) => write.startsWith('apply')),
      [],
    );
    const stalled = world.views.versions.get('speech/vad-5.0.0')?.status?.conditions?.at(-1);
    assert.deepEqual([stalled?.type, stalled?.status, stalled?.reason], ['Stalled', 'True', 'ChildConflict']);
  });

  it('says why the API server refuses a workload, and tries again', async () => {
    const world = cluster();
    world.put(modelVersion('5.0.0'));
    const reconcile = modelReconciler(world, config);
    world.fault = (write) => {
      if (write.startsWith('apply Deployment'))
        throw new Rejected('spec.template.spec.containers[0].image: Invalid');
    };
    await reconcile(key);
    await reconcile(key);
    const ready = world.views.versions.get('speech/vad-5.0.0')?.status?.conditions?.[0];
    assert.deepEqual(
      [ready?.reason, ready?.message],
      ['WorkloadRejected', 'spec.template.spec.containers[0].image: Invalid'],
    );
    world.fault = () => undefined;
    await converge(world);
    assert.equal(world.views.versions.get('speech/vad-5.0.0')?.status?.conditions?.[0]?.status, 'True');
  });

  it('writes nothing when it sees the past', async () => {
    const world = cluster();
    await rollout(world);
    const model = world.views.models.get(key)!;
    world.put(modelVersion('7.0.0'));
    const past = { ...model, metadata: { ...model.metadata, resourceVersion: '1' } };
    const stale = { ...world.views.models, get: () => past, by: () => [past], list: () => [past] };
    const before = world.writes.length;
    const reconcile = modelReconciler(
      { ...world, views: { ...world.views, models: stale }, writer: world.writer },
      config,
    );
    await assert.rejects(reconcile(key), /conflict/);
    assert.equal(world.writes.length, before);
  });

  it('gives two models of a namespace different ports of its routers', async () => {
    const world = cluster();
    world.put(modelVersion('5.0.0'));
    world.put({
      ...modelVersion('1.0.0', { model: 'asr' }),
      metadata: { ...modelVersion('1.0.0').metadata, name: 'asr-1' },
    });
    const reconcile = modelReconciler(world, config);
    for (let visit = 0; visit < 3; visit += 1)
      for (const name of ['vad', 'asr']) await reconcile(`speech/${name}`);
    const port = (name: string) => world.views.services.get(`speech/${name}`)?.spec?.ports?.[0]?.targetPort;
    assert.deepEqual([port('vad'), port('asr')], [10_000, 10_001]);
  });

  function masked(world: MemoryCluster): unknown {
    const text = JSON.stringify(world.snapshot());
    const timeless = text
      .replaceAll(/"\d{4}-\d\d-\d\dT[^"]*"/g, '"time"')
      .replaceAll(/after [\d.]+ (s|ms|min)( \d+ s)?/g, 'after a while');
    return JSON.parse(timeless);
  }
});
