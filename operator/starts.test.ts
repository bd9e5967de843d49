/** A long fetch from beginning to end, world in, world out: what people see of it, and what it costs the cluster. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { artifactMetrics, serverPorts, startMetrics } from '#contract';
import { silent } from '../kube-client/logger.ts';
import { conditionOf } from './api/conditions.ts';
import { modelVersion, pool } from './api/fixtures.ts';
import type { ModelVersion } from './api/generated/model-version.ts';
import type { ContainerStatus, Pod } from './api/kubernetes.ts';
import { Controller } from './engine/controller.ts';
import { ManualClock } from './engine/manual-clock.ts';
import { StartReaders } from './kube/start-readers.ts';
import { MemoryCluster } from './reconcile/memory-cluster.ts';
import { modelReconciler } from './reconcile/model.ts';
import type { VersionConfig } from './resources/version-deployment.ts';

const key = 'speech/vad';
const config: VersionConfig = {
  runtime: { image: 'sluice/runtime:1', pullPolicy: 'IfNotPresent', pullSecrets: [], logLevel: 'info' },
  artifacts: { schemes: [], privateHosts: [], endpoints: {}, maxBytes: 2 ** 40 },
  defaultResources: {},
};
const minute = 60_000;
const size = 4 * 2 ** 30;

let ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends) await end();
  ends = [];
});

/** An operator with one version of one pod on a GPU, whose metrics are what `say` says. */
function operator(say: (port: number) => string | undefined) {
  const clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'));
  const world = new MemoryCluster();
  let visits = 0;
  const starts = new StartReaders({
    clock,
    logger: silent,
    read: async ({ port }) => {
      const text = say(port);
      if (text === undefined) throw new Error('connection refused');
      return text;
    },
    onChange: (model) => controller.enqueue(model),
  });
  const reconcile = modelReconciler({ ...world, starts, now: () => clock.now() }, config);
  const controller: Controller = new Controller({
    name: 'model',
    clock,
    reconcile: async (name) => {
      visits += 1;
      return reconcile(name);
    },
  });
  // What is written is seen, and makes another visit.
  world.fault = (_, when) => {
    if (when === 'after') controller.enqueue(key);
  };
  ends.push(async () => {
    await controller.stop(1_000);
    await starts.stop();
  });
  world.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'speech' } });
  world.put(pool('a100', { resourceName: 'nvidia.com/gpu' }));
  const placement = { ...modelVersion('5.0.0').spec.placement, pool: 'a100', gpus: 1 };
  world.put(modelVersion('5.0.0', { replicas: 1, placement }));
  controller.start();
  controller.enqueue(key);
  /** What its kubelet says of the pod. */
  const podIs = (status: Pod['status']) => {
    world.runPods();
    const [pod] = world.views.pods.list();
    world.put({ ...pod!, status: { podIP: '10.0.0.1', ...status } } as Pod);
    controller.enqueue(key);
  };
  const version = (): ModelVersion => world.views.versions.list()[0]!;
  const costs = () => ({ visits, writes: world.writes.length });
  return { clock, world, podIs, version, costs, visit: () => controller.enqueue(key) };
}

const fetchIs = (state: ContainerStatus['state'] & {}): Pod['status'] => ({
  phase: 'Pending',
  initContainerStatuses: [{ name: 'fetch', ready: false, restartCount: 0, state }],
});
const ready: Pod['status'] = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
const messageOf = ({ status }: ModelVersion, type: 'Ready' | 'ArtifactReady' | 'WorkloadReady') =>
  conditionOf(status?.conditions, type)?.message;

describe('a fetch of ten minutes', () => {
  it('is seen in the status as it goes, at the cost of a write every few seconds, and none when it is over', async () => {
    const bytes = () => Math.min(size, Math.floor((size * (clock.now() - began)) / (10 * minute)));
    const { clock, world, podIs, version, costs } = operator((port) => {
      assert.equal(port, serverPorts.metrics);
      return bytes() < size
        ? `${artifactMetrics.fetched} ${bytes()}\n${artifactMetrics.size} ${size}\n`
        : `${startMetrics.loadSeconds} 12.5\n${startMetrics.provider}{provider="cpu",wanted="cuda"} 1\n`;
    });
    await clock.advance(minute);
    const began = clock.now();
    podIs(fetchIs({ running: {} }));
    await clock.advance(3 * minute);
    const { pods, fetchedBytes = 0, sizeBytes } = version().status?.artifact?.fetching ?? {};
    assert.deepEqual({ pods, sizeBytes }, { pods: 1, sizeBytes: size });
    assert.ok(fetchedBytes > 0.29 * size && fetchedBytes <= 0.3 * size, `${fetchedBytes}`);
    assert.equal(messageOf(version(), 'ArtifactReady'), 'fetching: 1.2 of 4.0 GiB');
    assert.equal(messageOf(version(), 'Ready'), '0 of 1 pods are ready; fetching: 1.2 of 4.0 GiB');

    const before = costs();
    await clock.advance(5 * minute);
    const { visits, writes } = costs();
    assert.ok(writes - before.writes <= 30, `${writes - before.writes} writes in five minutes`);
    assert.ok(visits - before.visits <= 2 * 30 + 30, `${visits - before.visits} visits in five minutes`);

    await clock.advance(3 * minute);
    const digest = `sha256:${'a'.repeat(64)}`;
    const message = JSON.stringify({ ok: true, digest, bytes: size, seconds: 600 });
    const fetched = fetchIs({ terminated: { exitCode: 0, message } });
    podIs(fetched);
    await clock.advance(1_000);
    podIs({ ...fetched, ...ready });
    await clock.advance(minute);
    assert.deepEqual(version().status?.artifact, { digest, bytes: size, fetchSeconds: 600 });
    assert.deepEqual(version().status?.server, {
      provider: 'cpu',
      fallbackFrom: 'cuda',
      unusedGPUs: 1,
      loadSeconds: 12.5,
    });
    assert.equal(
      messageOf(version(), 'WorkloadReady'),
      '1 of 1 pods are ready; cuda cannot be used, cpu computes',
    );
    const warnings = world.told.filter(({ reason }) => reason === 'ProviderFallback');
    assert.deepEqual(
      warnings.map(({ type, message: text }) => [type, text]),
      [['Warning', 'cuda cannot be used, cpu computes']],
    );

    await clock.advance(30 * minute);
    const settled = costs();
    await clock.advance(60 * minute);
    assert.deepEqual(costs(), settled, 'an hour in which nothing happens');
  });

  it('is no flood of warnings where the CRDs are older than the operator', async () => {
    const { clock, world, podIs, version, visit } = operator(
      () => `${startMetrics.provider}{provider="cpu",wanted="cuda"} 1\n`,
    );
    world.kept = (status) => ({ ...status, server: undefined });
    await clock.advance(minute);
    podIs(ready);
    for (let count = 0; count < 20; count += 1) {
      await clock.advance(minute);
      visit();
    }
    assert.equal(version().status?.server, undefined);
    assert.match(messageOf(version(), 'WorkloadReady') ?? '', /cuda cannot be used, cpu computes$/);
    assert.equal(world.told.filter(({ reason }) => reason === 'ProviderFallback').length, 1);
  });

  it('by an image that says nothing, or behind a network that refuses, is just not seen', async () => {
    const { clock, podIs, version, costs } = operator(() => undefined);
    await clock.advance(minute);
    podIs(fetchIs({ running: {} }));
    await clock.advance(1_000);
    const before = costs();
    await clock.advance(10 * minute);
    assert.equal(messageOf(version(), 'ArtifactReady'), 'the artifact is on its way');
    assert.equal(version().status?.artifact, undefined);
    const { visits, writes } = costs();
    assert.ok(writes - before.writes <= 5, `${writes - before.writes} writes`);
    assert.ok(visits - before.visits <= 30, `${visits - before.visits} visits`);
    podIs(ready);
    await clock.advance(30 * minute);
    assert.equal(version().status?.server, undefined);
    const settled = costs();
    await clock.advance(60 * minute);
    assert.deepEqual(costs(), settled);
  });
});
