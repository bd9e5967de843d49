/** One good rollout and its way back, looked at from all sides. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelSpec } from '../../../operator/api/generated/model.ts';
import { type Condition, condition, holds } from '../harness/kinds.ts';
import { kstatus } from '../harness/kstatus.ts';
import type { Partly } from '../harness/manifests.ts';
import { model } from '../harness/manifests.ts';
import type { Session } from '../harness/session.ts';
import { Stage } from '../harness/stage.ts';
import { watchTraffic } from '../harness/traffic.ts';
import { good, kubectlOf, podsOf, uidsOf } from './drills.ts';
import { assertReadyBeforeTraffic, Recorded, shareOf, writeOf } from './recorded.ts';

interface Managed {
  readonly metadata: {
    readonly generation: number;
    readonly managedFields: readonly {
      readonly manager: string;
      readonly subresource?: string;
      readonly fieldsV1: Readonly<Record<string, unknown>>;
    }[];
  };
  readonly spec: unknown;
}

const types = [
  'Ready',
  'Servable',
  'ArtifactReady',
  'WorkloadReady',
  'RouteReady',
  'Promoted',
  'Reconciling',
  'Stalled',
];
const ofModels = types.filter((type) => type !== 'ArtifactReady' && type !== 'WorkloadReady');

const serving = (name: string, spec: Partly<ModelSpec> = {}) => model({ serve: { version: name }, ...spec });

export function rollout(session: () => Session): void {
  test('a rollout and the way back', async (t) => {
    const stage = await Stage.set(session(), 'pains-rollout');
    t.after(() => stage.clear());
    const { world } = stage;
    const { shell } = session();
    const kubectl = kubectlOf(stage);
    const recorded = new Recorded(world);
    const get = (name: string) => shell.get<Managed>([name, '-n', stage.namespace, '--show-managed-fields']);

    await stage.apply(serving('5.0.0'), good({ version: '5.0.0' }));
    await stage.serves('vad', '5.0.0');
    const load = await stage.steadyLoad(20);
    const oldPods = uidsOf(podsOf(stage, '5.0.0'));
    const begun = writeOf(world.model('vad')!);
    let newPods: readonly (string | undefined)[] = [];

    await t.test('pain 22: one apply promotes, and kubectl wait sees the end of it', async () => {
      // The Model comes first and names a version that is not there yet: no order is needed.
      await stage.apply(serving('6.0.0'), good({ version: '6.0.0', weights: 'v6', spec: { replicas: 2 } }));
      const waited = kubectl('wait', '--for=condition=Ready', 'model/vad', 'mv/vad-6.0.0', '--timeout=90s');
      await world.until('a first share', () => shareOf(world.model('vad')!, '6.0.0') > 0);
      newPods = uidsOf(podsOf(stage, '6.0.0'));
      await waited;
      const { spec, status } = (await get('model/vad')) as Managed & {
        status: { stable: string; candidate?: unknown };
      };
      assert.equal(status.stable, (spec as ModelSpec).serve?.version);
      assert.equal(status.candidate, undefined);
      await stage.serves('vad', '6.0.0');
    });
    const promoted = () =>
      recorded
        .model('vad')
        .find((state) => state.status?.stable === '6.0.0' && state.status.candidate === undefined)!;
    const underWay = () => {
      const end = writeOf(promoted());
      return recorded.model('vad').filter((state) => writeOf(state) > begun && writeOf(state) < end);
    };

    await t.test('pain 3: promotion re-creates nothing', () => {
      assert.equal(newPods.length, 2);
      assert.deepEqual(uidsOf(podsOf(stage, '6.0.0')), newPods);
      assert.deepEqual(uidsOf(podsOf(stage, '5.0.0')), oldPods, 'and the way back is still there');
    });

    await t.test('pain 6: no share before every pod is ready, and none of stable’s pods is given up', () => {
      assertReadyBeforeTraffic(recorded, 'vad', '6.0.0', 2);
      const states = recorded.podsOf('vad', '5.0.0').filter((state) => writeOf(state) > begun);
      assert.ok(states.every((pod) => holds(pod, 'Ready') && pod.metadata.deletionTimestamp === undefined));
      assert.ok(underWay().every((state) => shareOf(state, '5.0.0') + shareOf(state, '6.0.0') === 100));
    });

    await t.test('pain 13: Servable stays True through it', () => {
      const states = underWay();
      assert.ok(states.length >= 4, `${states.length} states were seen`);
      assert.deepEqual(
        states.map((state) => condition(state, 'Servable')?.status),
        states.map(() => 'True'),
      );
    });

    await t.test('pain 14: every condition is positive but the two that kstatus defines', () => {
      for (const [object, expected] of [
        [world.model('vad'), ofModels],
        [world.version('vad-6.0.0'), types],
      ] as const) {
        const conditions: readonly Condition[] = object?.status?.conditions ?? [];
        assert.deepEqual(
          conditions.map(({ type, status }) => [type, status]),
          expected.map((type) => [type, type === 'Reconciling' || type === 'Stalled' ? 'False' : 'True']),
        );
      }
    });

    await t.test('pain 15: kstatus is right in every phase', () => {
      const states = [
        ...recorded.model('vad'),
        ...recorded.version('vad-5.0.0'),
        ...recorded.version('vad-6.0.0'),
      ];
      for (const { kind, metadata, status } of states) {
        if (status === undefined) continue;
        const { observedGeneration, conditions = [] } = status;
        assert.ok(Number.isSafeInteger(observedGeneration) && observedGeneration! <= metadata.generation!);
        assert.deepEqual(
          conditions.map(({ type }) => type),
          kind === 'Model' ? ofModels : types,
          'all are there from the first visit on',
        );
        for (const each of conditions) assert.equal(each.observedGeneration, observedGeneration, each.type);
      }
      const current = recorded.model('vad').filter((state) => kstatus(state) === 'Current' && state.status);
      for (const { spec, status } of current) {
        assert.equal(status?.stable, spec.serve?.version, 'Current only when what is asked for serves');
      }
      const asked = underWay().filter(({ spec }) => spec.serve?.version === '6.0.0');
      assert.deepEqual(
        asked.map(kstatus),
        asked.map(() => 'InProgress'),
      );
      assert.equal(kstatus(world.model('vad')!), 'Current');
      const before = recorded
        .version('vad-6.0.0')
        .filter((state) => state.status && writeOf(state) < writeOf(promoted()));
      assert.ok(before.length > 0 && before.every((state) => kstatus(state) === 'InProgress'));
      assert.equal(kstatus(world.version('vad-6.0.0')!), 'Current');
    });

    await t.test('pain 23: the way back to a warm version is instant', async () => {
      const traffic = watchTraffic(world, 'vad');
      t.after(() => traffic.stop());
      const start = performance.now();
      await stage.apply(serving('5.0.0'));
      await stage.serves('vad', '5.0.0', 15_000);
      const seconds = (performance.now() - start) / 1000;
      t.diagnostic(`rolled back in ${seconds.toFixed(2)} s, kubectl and all`);
      assert.deepEqual(uidsOf(podsOf(stage, '5.0.0')), oldPods, 'by the pods that were there');
      assert.deepEqual(traffic.weights('5.0.0'), [100], 'in one step');
    });

    const parking = { rollout: { bake: '0s' }, retention: { warm: 0, parkAfter: '2s' } };

    await t.test('pain 9: a version without requests is parked, though probes go on', async () => {
      await stage.apply(serving('5.0.0', parking));
      await world.until('6.0.0 to be parked', () => podsOf(stage, '6.0.0').length === 0);
      assert.equal(condition(world.version('vad-6.0.0'), 'Ready')?.reason, 'Parked');
      assert.equal(kstatus(world.version('vad-6.0.0')!), 'Current');
    });

    await t.test('pain 23: the way back to a parked version begins with its pods', async () => {
      const parked = writeOf(world.model('vad')!);
      await stage.apply(serving('6.0.0', parking));
      await stage.serves('vad', '6.0.0');
      const first = recorded
        .model('vad')
        .find((state) => writeOf(state) > parked && shareOf(state, '6.0.0') > 0)!;
      const ready = podsOf(stage, '6.0.0');
      assert.equal(ready.length, 2);
      for (const pod of ready) {
        assert.ok(!newPods.includes(pod.metadata.uid));
        const became = recorded
          .podsOf('vad', '6.0.0')
          .find(({ metadata, ...state }) => metadata.uid === pod.metadata.uid && holds(state, 'Ready'))!;
        assert.ok(writeOf(became) < writeOf(first), 'ready before it got traffic');
      }
      assert.equal(shareOf(first, '6.0.0'), 100, 'a version that was stable goes through no steps');
    });

    await t.test('pain 16: nobody but the user has written a spec', async () => {
      for (const [name, generation] of [
        ['model/vad', 5],
        ['mv/vad-5.0.0', 1],
        ['mv/vad-6.0.0', 1],
      ] as const) {
        const { metadata } = await get(name);
        assert.equal(metadata.generation, generation, `${name} changed with each apply, and only then`);
        const others = metadata.managedFields.filter(({ manager }) => !manager.startsWith('kubectl'));
        assert.ok(others.length > 0, `${name} has a status`);
        for (const { manager, subresource, fieldsV1 } of others) {
          assert.equal(subresource, 'status', `${manager} writes ${name}`);
          assert.deepEqual(Object.keys(fieldsV1), ['f:status'], `${manager} writes ${name}`);
        }
        const users = metadata.managedFields.find(({ manager }) => manager.startsWith('kubectl'));
        assert.ok(users?.fieldsV1['f:spec'], `${name}: the spec is the user's`);
      }
    });

    await t.test('no request was lost', async () => {
      await load.stopWithoutLoss();
    });
  });
}
