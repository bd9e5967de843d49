/** Rollouts without traffic, and versions that arrive in the middle of one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelSpec } from '../../../operator/api/generated/model.ts';
import { condition, holds } from '../harness/kinds.ts';
import { kstatus } from '../harness/kstatus.ts';
import { model, type Partly } from '../harness/manifests.ts';
import type { Session } from '../harness/session.ts';
import { Stage } from '../harness/stage.ts';
import { watchTraffic } from '../harness/traffic.ts';
import { ask, awaitsApproval, good } from './drills.ts';
import { Recorded } from './recorded.ts';

const quick = (rollout: Partly<ModelSpec['rollout']>) =>
  model({
    rollout: { steps: [{ weight: 50, hold: '1s' }], bake: '0s', ...rollout },
    retention: { warm: 0, parkAfter: '0s' },
  });
const gated = { steps: [{ weight: 50, hold: '1s', approval: true }] };

export function waiting(session: () => Session): void {
  test('rollouts without traffic, and versions that arrive in the middle of one', async (t) => {
    const stage = await Stage.set(session(), 'pains-waiting');
    t.after(() => stage.clear());
    const { world } = stage;
    const recorded = new Recorded(world);
    const traffic = watchTraffic(world, 'vad');
    await stage.apply(quick({}), good({ version: '5.0.0' }));
    await stage.serves('vad', '5.0.0');

    await t.test('pain 18: without traffic a rollout proceeds', async () => {
      await stage.apply(good({ version: '6.0.0', weights: 'v6' }));
      await stage.serves('vad', '6.0.0');
      assert.deepEqual(traffic.weights('6.0.0'), [50, 100]);
      const verdicts = recorded.model('vad').map(({ status }) => status?.candidate?.verdict);
      assert.ok(verdicts.includes('Inconclusive'), 'too little evidence has a word of its own');
      assert.ok(!verdicts.includes('Fail'));
    });

    await t.test('pain 18: where it is to hold, it waits for traffic and says so', async () => {
      await stage.apply(
        quick({ analysis: { minRequests: 20, onInconclusive: 'hold' } }),
        good({ version: '6.1.0' }),
      );
      const waits = await world.until('6.1.0 to wait', () => {
        const state = world.model('vad');
        return state?.status?.candidate?.waitingFor === 'Traffic' && state;
      });
      assert.equal(waits.status?.candidate?.verdict, 'Inconclusive');
      assert.match(waits.status?.candidate?.evidence ?? '', /^0 of 20 requests/);
      assert.match(condition(waits, 'Ready')?.message ?? '', /^6\.1\.0: step 1, waits for traffic$/);
      assert.equal(kstatus(waits), 'InProgress');
    });
    const load = await stage.steadyLoad(20);

    await t.test('pain 18: and goes on when there is enough', async () => {
      await stage.serves('vad', '6.1.0');
      assert.deepEqual(traffic.weights('6.1.0'), [50, 100]);
    });

    await t.test('pain 21: a third version takes the place of the candidate', async () => {
      await stage.apply(quick(gated), good({ version: '7.0.0', weights: 'v6' }));
      await awaitsApproval(stage, '7.0.0');
      await stage.apply(good({ version: '7.1.0', weights: 'v6' }));
      await awaitsApproval(stage, '7.1.0');
      assert.deepEqual(traffic.weights('7.0.0'), [50, 0]);
      assert.ok(
        world
          .model('vad')
          ?.status?.history?.some(({ reason, version: who }) => reason === 'Superseded' && who === '7.0.0'),
      );
      assert.ok(recorded.model('vad').every(({ status }) => status?.stable !== '7.0.0'));
      await ask(stage, 'approve');
      await stage.serves('vad', '7.1.0');
    });

    await t.test('pain 21: or waits until the candidate is through', async () => {
      await stage.apply(quick({ ...gated, onNewVersion: 'queue' }), good({ version: '8.0.0' }));
      await awaitsApproval(stage, '8.0.0');
      await stage.apply(good({ version: '8.1.0', weights: 'v6' }));
      await world.until(
        '8.1.0 to be queued',
        () => condition(world.version('vad-8.1.0'), 'Ready')?.reason === 'Queued',
      );
      assert.equal(kstatus(world.version('vad-8.1.0')!), 'InProgress');
      assert.equal(world.model('vad')?.status?.candidate?.version, '8.0.0');
      await ask(stage, 'approve');
      await awaitsApproval(stage, '8.1.0');
      assert.equal(world.model('vad')?.status?.stable, '8.0.0');
      await ask(stage, 'approve');
      await stage.serves('vad', '8.1.0');
      assert.deepEqual(traffic.weights('8.0.0'), [50, 100, 50, 0]);
      assert.ok(
        recorded
          .version('vad-8.1.0')
          .every(
            (state) => kstatus(state) !== 'Current' || holds(state, 'Promoted') || state.status === undefined,
          ),
        'it was not Current before it was through',
      );
    });

    await t.test('no request was lost', async () => {
      await load.stopWithoutLoss();
    });
  });
}
