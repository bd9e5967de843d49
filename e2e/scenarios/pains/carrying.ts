/** What pods can carry, and a namespace that goes in the middle of a rollout. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { condition, holds } from '../harness/kinds.ts';
import { kstatus } from '../harness/kstatus.ts';
import { drilledServer, model } from '../harness/manifests.ts';
import type { Session } from '../harness/session.ts';
import { Stage } from '../harness/stage.ts';
import { watchTraffic } from '../harness/traffic.ts';
import { awaitsApproval, good, kubectlOf } from './drills.ts';
import { Recorded } from './recorded.ts';

export function carrying(session: () => Session): void {
  test('capacity comes before weight', async (t) => {
    const stage = await Stage.set(session(), 'pains-carrying');
    t.after(() => stage.clear());
    const { world } = stage;
    const kubectl = kubectlOf(stage);
    const recorded = new Recorded(world);
    const traffic = watchTraffic(world, 'vad');
    await stage.apply(
      model({ rollout: { steps: [{ weight: 80, hold: '1s' }], bake: '0s' } }),
      good({
        version: '5.0.0',
        spec: { server: drilledServer('slow-after=1s'), scaling: { targetConcurrency: 8 } },
      }),
    );
    await stage.serves('vad', '5.0.0');
    // Three senders that wait for nothing but the answers, which are slow, so three requests are under way however fast the machine is.
    const load = await stage.load('load', {
      protocol: 'rest',
      args: ['--concurrency=3', '--interval=500ms'],
    });
    await load.more(20);

    await t.test('pain 4: a version is not promoted onto pods that would be trampled', async () => {
      await stage.apply(
        good({ version: '6.0.0', weights: 'v6', spec: { scaling: { targetConcurrency: 1 } } }),
      );
      const waits = await world.until('6.0.0 to wait for capacity', () => {
        const state = world.model('vad');
        return state?.status?.candidate?.waitingFor === 'Capacity' && state;
      });
      assert.equal(condition(waits, 'Ready')?.reason, 'AwaitingCapacity');
      assert.equal(kstatus(waits), 'InProgress');
      assert.ok(holds(waits, 'Servable'));
      assert.match(
        waits.status?.history?.find(({ reason }) => reason === 'CapacityRequired')?.message ?? '',
        /^6\.0\.0 needs \d ready pods for 80 % of [\d.]+ requests at a time \(1 a pod\), and has 1$/,
      );
      assert.deepEqual(traffic.weights('6.0.0'), []);
      await kubectl('scale', 'mv/vad-6.0.0', '--replicas=4');
      await stage.serves('vad', '6.0.0');
      assert.deepEqual(traffic.weights('6.0.0'), [80, 100]);
      const [first] = recorded.version('vad-6.0.0').filter(({ status }) => status?.weight === 80);
      assert.equal(first?.status?.readyReplicas, 4, 'all of its pods were ready before it had any traffic');
      const { errors, requests } = await load.stop();
      assert.equal(errors, 0, `of ${requests} requests`);
    });

    await t.test('a namespace goes in the middle of a rollout, and nothing holds it', async () => {
      const gated = { steps: [{ weight: 50, hold: '1s', approval: true }], bake: '0s' };
      await stage.apply(model({ rollout: gated }), good({ version: '7.0.0' }));
      await awaitsApproval(stage, '7.0.0');
      await session().shell.kubectl(['delete', 'namespace', stage.namespace, '--timeout=60s']);
    });
  });
}
