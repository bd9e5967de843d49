/** Pods that are too few, too many, or gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isNotFound } from '../../../kube-client/errors.ts';
import { condition, holds, kinds } from '../harness/kinds.ts';
import { kstatus } from '../harness/kstatus.ts';
import { model } from '../harness/manifests.ts';
import type { Session } from '../harness/session.ts';
import { Stage } from '../harness/stage.ts';
import { watchTraffic } from '../harness/traffic.ts';
import { ask, awaitsApproval, good, kubectlOf, podsOf, uidsOf } from './drills.ts';
import { Recorded, shareOf } from './recorded.ts';

/** A third of a hundred, as shares are rounded. */
const third = 33.33;

export function capacity(session: () => Session): void {
  test('pods that are too few, too many, or gone', async (t) => {
    const { client, shell } = session();
    const stage = await Stage.set(session(), 'pains-capacity');
    t.after(() => stage.clear());
    const { world, namespace } = stage;
    const kubectl = kubectlOf(stage);
    const recorded = new Recorded(world);
    const traffic = watchTraffic(world, 'vad');

    // All nodes at first, none when a scenario wants that no new pod can run; pods that run are not touched by it.
    const label = `scenarios.sluice.dev/${namespace}`;
    const open = () => shell.kubectl(['label', 'nodes', '--all', `${label}=yes`, '--overwrite']);
    const close = async () => {
      await shell.kubectl(['label', 'nodes', '--all', `${label}-`]);
    };
    t.after(async () => {
      await close();
      await client.delete(kinds.pools, undefined, namespace).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    });
    const kill = (pods: readonly { readonly metadata: { readonly name?: string } }[]) =>
      kubectl('delete', 'pod', '--grace-period=0', '--force', ...pods.map(({ metadata }) => metadata.name!));
    const placement = (replicas?: number) => ({
      placement: { pool: namespace, resources: { requests: { cpu: '50m', memory: '64Mi' } } },
      ...(replicas === undefined ? {} : { replicas }),
    });

    await open();
    await stage.apply(
      {
        apiVersion: 'sluice.dev/v1alpha1',
        kind: 'GPUPool',
        metadata: { name: namespace },
        spec: { nodeSelector: { [label]: 'yes' } },
      },
      model({
        rollout: { steps: [{ weight: 50, hold: '1s', approval: true }], bake: '0s' },
        rollback: { unreadyFor: '5m', minReady: '30%' },
        retention: { warm: 0, parkAfter: '0s' },
      }),
      good({ version: '5.0.0', spec: placement() }),
    );
    await stage.serves('vad', '5.0.0');
    const load = await stage.steadyLoad(20);

    await t.test('pain 17: kubectl scale is honoured, and kills no pod that serves', async () => {
      const [first] = uidsOf(podsOf(stage, '5.0.0'));
      await kubectl('scale', 'mv/vad-5.0.0', '--replicas=3');
      await world.until('3 ready pods', () => world.version('vad-5.0.0')?.status?.readyReplicas === 3);
      const three = uidsOf(podsOf(stage, '5.0.0'));
      assert.ok(three.includes(first));

      // An update of something else by somebody who says nothing of replicas.
      await stage.apply(good({ version: '5.0.0', spec: { ...placement(), description: 'the same' } }));
      const described = await world.until(
        'the update to be seen',
        () => world.version('vad-5.0.0')?.status?.observedGeneration === 3 && world.version('vad-5.0.0'),
      );
      assert.equal(described.spec.replicas, 3);
      assert.deepEqual(uidsOf(podsOf(stage, '5.0.0')), three);

      await kubectl('scale', 'mv/vad-5.0.0', '--replicas=1');
      await world.until('one pod', () => podsOf(stage, '5.0.0').length === 1);
      assert.ok(three.includes(uidsOf(podsOf(stage, '5.0.0'))[0]));
      assert.equal(world.version('vad-5.0.0')?.spec.replicas, 1);
      await stage.serves('vad', '5.0.0');
    });

    await t.test('pain 5: a weight is not above what the ready pods can carry', async () => {
      await stage.apply(good({ version: '6.0.0', weights: 'v6', spec: placement(3) }));
      await awaitsApproval(stage, '6.0.0');
      await close();
      await kill(podsOf(stage, '6.0.0').slice(1));
      await world.until('a third', () => shareOf(world.model('vad')!, '6.0.0') === third);
      await ask(stage, 'approve');
      const waits = await world.until('the candidate to wait for its pods', () => {
        const state = world.model('vad');
        return state?.status?.candidate?.waitingFor === 'Pods' && state;
      });
      assert.equal(shareOf(waits, '6.0.0'), third, 'an approval makes no pods');
      assert.ok(holds(waits, 'Servable'));
      await load.more(20);
      await open();
      await stage.serves('vad', '6.0.0');
      const [step, fewer, ...more] = traffic.weights('6.0.0');
      assert.deepEqual([step, fewer, more.at(-1)], [50, third, 100]);
      assert.ok(more.slice(0, -1).every((weight) => weight <= 50));
    });

    await t.test('no request was lost through scaling and the death of pods', async () => {
      await load.stopWithoutLoss();
    });

    await t.test('pain 20: a Model is not Ready when the pods that served it are gone', async () => {
      await world.until('5.0.0 to be parked', () => podsOf(stage, '5.0.0').length === 0);
      assert.ok(holds(world.model('vad'), 'Ready'));
      await close();
      await kill(podsOf(stage, '6.0.0'));
      const dead = await world.until('the Model to say so', () => {
        const state = world.model('vad');
        return condition(state, 'Servable')?.status === 'False' && state;
      });
      assert.equal(condition(dead, 'Servable')?.reason, 'NoReadyPods');
      assert.equal(condition(dead, 'Ready')?.status, 'False');
      assert.equal(kstatus(dead), 'InProgress');
      for (const object of [() => world.model('vad'), () => world.version('vad-6.0.0')]) {
        await world.until('it to say so and why', () => {
          const ready = condition(object(), 'Ready');
          return (
            ready?.status === 'False' &&
            ready.reason === 'Unschedulable' &&
            condition(object(), 'Servable')?.status === 'False'
          );
        });
      }
    });

    await t.test('pain 19: a bad stable is replaced, whatever gates its successor has', async () => {
      await stage.apply(good({ version: '6.0.1', weights: 'v6' }));
      await stage.serves('vad', '6.0.1');
      assert.ok(
        !recorded
          .model('vad')
          .some(({ status }) => status?.candidate?.version === '6.0.1' && status.candidate.waitingFor),
        'it waited for nothing but its pods',
      );
      const saved = await stage.load('saved', { protocol: 'rest', args: ['--count=100', '--rate=50'] });
      const { errors, failures, versions } = await saved.finished();
      assert.deepEqual({ errors, failures }, { errors: 0, failures: [] });
      assert.deepEqual(Object.keys(versions), ['6.0.1']);
    });
  });
}
