/** A pool with room for one version only: places change hands, pod by pod. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { condition, holds } from '../harness/kinds.ts';
import { kstatus } from '../harness/kstatus.ts';
import { drilledServer, model } from '../harness/manifests.ts';
import { NodePlaces } from '../harness/node-places.ts';
import type { Session } from '../harness/session.ts';
import { Stage } from '../harness/stage.ts';
import { ask, awaitsApproval, good, latched, podsOf } from './drills.ts';
import { Recorded, shareOf, writeOf } from './recorded.ts';

export function swapping(session: () => Session): void {
  test('a pool with room for one version only', async (t) => {
    const stage = await Stage.set(session(), 'pains-swapping');
    t.after(() => stage.clear());
    const { world, namespace } = stage;
    const recorded = new Recorded(world);
    const places = await NodePlaces.on(session(), namespace, 2);
    t.after(() => places.clear());
    const two = (drill?: string) => ({
      server: { ...(drill === undefined ? {} : drilledServer(drill)), provider: 'cpu' as const },
      placement: { pool: namespace, gpus: 1, resources: { requests: { cpu: '50m', memory: '64Mi' } } },
      replicas: 2,
    });
    const ready = (version: string) => podsOf(stage, version).filter((pod) => holds(pod, 'Ready')).length;
    /** The Model while it waits for places, and says so. */
    const waits = (reason: string) =>
      world.until(`the Model to be ${reason}`, () => {
        const state = world.model('vad');
        return condition(state, 'Ready')?.reason === reason && state;
      });
    const gated = { steps: [{ weight: 50, hold: '1s', approval: true }], bake: '1h' };

    await stage.apply(
      places.manifest(),
      model({
        rollout: gated,
        rollback: { unreadyFor: '2s', startupDeadline: '10m' },
        retention: { parkAfter: '1h' },
      }),
      good({ version: '5.0.0', spec: two() }),
    );
    await stage.serves('vad', '5.0.0');
    const load = await stage.steadyLoad(20);

    await t.test('pain 7: a rollout needs no place more than one version has', async () => {
      const before = writeOf(world.model('vad')!);
      await stage.apply(good({ version: '6.0.0', weights: 'v6', spec: two() }));
      await awaitsApproval(stage, '6.0.0');
      const swap = { lender: '5.0.0', kept: 1, given: 1, taken: true };
      assert.deepEqual(world.model('vad')?.status?.candidate?.swap, swap);
      assert.equal(condition(world.version('vad-5.0.0'), 'WorkloadReady')?.reason, 'PlacesLent');
      assert.deepEqual([ready('5.0.0'), ready('6.0.0')], [1, 1]);
      assert.ok(holds(world.model('vad'), 'Servable'));
      await load.more(20);
      await ask(stage, 'approve');
      await stage.serves('vad', '6.0.0');
      assert.equal(ready('6.0.0'), 2);
      assert.equal(condition(world.version('vad-5.0.0'), 'Ready')?.reason, 'GaveWay');
      const states = recorded.model('vad').filter((state) => writeOf(state) > before);
      assert.ok(states.every((state) => holds(state, 'Servable')));
      assert.ok(states.every((state) => shareOf(state, '5.0.0') + shareOf(state, '6.0.0') === 100));
    });

    await t.test('pain 7: a candidate that fails in the middle of it gives the places back', async () => {
      await stage.apply(good({ version: '7.0.0', weights: 'v6', spec: two('unready-after=12s') }));
      await awaitsApproval(stage, '7.0.0');
      assert.deepEqual([ready('6.0.0'), ready('7.0.0')], [1, 1]);
      assert.equal((await latched(stage, '7.0.0')).reason, 'ReadinessLost');
      await stage.serves('vad', '6.0.0');
      await world.until('all of its pods', () => ready('6.0.0') === 2);
      assert.equal(world.version('vad-7.0.0')?.status?.gaveWay?.to, '6.0.0');
    });

    await t.test(
      'pain 8: where a pool is to wait, it says who holds the places, and goes on with room',
      async () => {
        await stage.apply(
          places.manifest({ whenFull: 'wait' }),
          good({ version: '7.1.0', weights: 'v6', spec: two() }),
        );
        const told = await waits('AwaitingPlaces');
        assert.match(
          condition(told, 'Ready')?.message ?? '',
          /is full \(whenFull: wait\): [12] of 2 places are lacking, and 6\.0\.0 has 2 pods in it$/,
        );
        assert.equal(kstatus(told), 'InProgress');
        assert.equal(ready('6.0.0'), 2);
        await places.set(4);
        await awaitsApproval(stage, '7.1.0');
        assert.equal(ready('6.0.0'), 2, 'nothing is lent that is not needed');
        await ask(stage, 'approve');
        await stage.serves('vad', '7.1.0');
      },
    );

    await t.test('no request was lost', async () => {
      await load.stopWithoutLoss();
    });

    await t.test('pain 8: where no place can be lent, it says so at once, and what would help', async () => {
      const only = { ...two(), replicas: 1 };
      await stage.apply(
        places.manifest({ whenFull: 'swap' }),
        good({ version: '7.1.0', weights: 'v6', spec: only }),
      );
      await world.until('6.0.0 and 7.1.0 to have three pods', () => ready('6.0.0') + ready('7.1.0') === 3);
      await places.set(3);
      await stage.apply(good({ version: '8.0.0', weights: 'v6', spec: { ...two(), replicas: 2 } }));
      const told = await waits('SwapImpossible');
      assert.match(condition(told, 'Ready')?.message ?? '', /room for 1 more would do/);
      await stage.apply(good({ version: '8.0.0', weights: 'v6', spec: only }));
    });
  });
}
