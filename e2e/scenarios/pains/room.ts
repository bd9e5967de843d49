/** Pools that are full. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelVersionSpec } from '../../../operator/api/generated/model-version.ts';
import { condition, holds } from '../harness/kinds.ts';
import { kstatus } from '../harness/kstatus.ts';
import { drilledServer, model, type Partly } from '../harness/manifests.ts';
import { NodePlaces } from '../harness/node-places.ts';
import type { Session } from '../harness/session.ts';
import { Stage } from '../harness/stage.ts';
import { good, kubectlOf, latched, podsOf } from './drills.ts';

export function room(session: () => Session): void {
  test('pools that are full', async (t) => {
    const stage = await Stage.set(session(), 'pains-room');
    t.after(() => stage.clear());
    const { world, namespace } = stage;
    const kubectl = kubectlOf(stage);
    const places = await NodePlaces.on(session(), namespace, 2);
    t.after(() => places.clear());
    const one = (drill?: string): Partly<ModelVersionSpec> => ({
      server: { ...(drill === undefined ? {} : drilledServer(drill)), provider: 'cpu' },
      placement: { pool: namespace, gpus: 1, resources: { requests: { cpu: '50m', memory: '64Mi' } } },
    });
    const gaveWay = async (version: string, to: string) => {
      const parked = await world.until(`${version} to give way`, () => {
        const state = world.version(`vad-${version}`);
        return state?.status?.gaveWay?.to === to && state;
      });
      await world.until(`no pod of ${version}`, () => podsOf(stage, version).length === 0);
      const [event] = await world.until('events of it', () => {
        const told = world.events({ kind: 'ModelVersion', name: `vad-${version}`, reason: 'GaveWay' });
        return told.length > 0 && told;
      });
      assert.equal(event?.message, `${version} is scaled to zero to make room for ${to}`);
      return parked;
    };

    await stage.apply(
      places.manifest(),
      model({
        rollout: { steps: [{ weight: 50, hold: '1s' }], bake: '0s' },
        retention: { warm: 1, parkAfter: '1h' },
      }),
      good({ version: '5.0.0', spec: one() }),
    );
    await stage.serves('vad', '5.0.0');
    const load = await stage.steadyLoad(20);
    await stage.apply(good({ version: '6.0.0', weights: 'v6', spec: one() }));
    await stage.serves('vad', '6.0.0');

    await t.test('pain 8: a pod that is kept warm gives way to a candidate that finds no GPU', async () => {
      await world.until(
        '5.0.0 to be warm',
        () => condition(world.version('vad-5.0.0'), 'Ready')?.reason === 'Warm',
      );
      await stage.apply(good({ version: '7.0.0', weights: 'v6', spec: one() }));
      const parked = await gaveWay('5.0.0', '7.0.0');
      assert.ok(holds(parked, 'Ready'));
      assert.equal(kstatus(parked), 'Current');
      await stage.serves('vad', '7.0.0');
    });

    await t.test('pain 8: pods of a version that failed give way to those that stable lacks', async () => {
      await stage.apply(
        good({
          version: '8.0.0',
          spec: one('exit-after=0s'),
        }),
      );
      await gaveWay('6.0.0', '8.0.0');
      assert.equal((await latched(stage, '8.0.0')).reason, 'CrashLoop');
      await stage.serves('vad', '7.0.0');
      assert.equal(podsOf(stage, '8.0.0').length, 1, 'it is there to be looked at');
      await kubectl('scale', 'mv/vad-7.0.0', '--replicas=2');
      const failed = await gaveWay('8.0.0', '7.0.0');
      assert.equal(condition(failed, 'Ready')?.reason, 'CrashLoop', 'what it failed of is not forgotten');
      await world.until('both pods', () => world.version('vad-7.0.0')?.status?.readyReplicas === 2);
      await stage.serves('vad', '7.0.0');
    });

    await t.test('no request was lost', async () => {
      await load.stopWithoutLoss();
    });
  });
}
