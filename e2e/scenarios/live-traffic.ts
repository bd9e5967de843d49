/** Versions whose pods are content, and whose live traffic says that they are bad. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelSpec } from '../../operator/api/generated/model.ts';
import { drilledServer, model, type Partly } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';
import { watchTraffic } from './harness/traffic.ts';
import { good, latched, podsOf } from './pains/drills.ts';

/** Nothing but a verdict ends the step. */
const watched = (analysis: Partly<ModelSpec['rollout']['analysis']>) =>
  model({
    rollout: { steps: [{ weight: 50, hold: '30m' }], analysis, bake: '0s' },
    retention: { parkAfter: '0s' },
  });

const drill = (name: string, action: string) =>
  good({ version: name, weights: 'v6', spec: { server: drilledServer(action) } });

export function liveTraffic(session: () => Session): void {
  test('versions that live traffic convicts', async (t) => {
    const stage = await Stage.set(session(), 'live-traffic');
    t.after(() => stage.clear());
    const { world } = stage;
    const traffic = watchTraffic(world, 'vad');
    await stage.apply(watched({ minRequests: 20 }), good({ version: '5.0.0' }));
    await stage.serves('vad', '5.0.0');

    await t.test('its requests fail: it is rolled back by the numbers, and latched', async () => {
      const load = await stage.steadyLoad(20);
      await stage.apply(drill('6.0.0', 'fail-after=0s'));
      const { reason, message } = await latched(stage, '6.0.0', 90_000);
      assert.equal(reason, 'ErrorRate');
      assert.match(message, /^\d+(\.\d+)? ?% of \d+ requests failed/);
      assert.deepEqual(traffic.weights('6.0.0'), [50, 0]);
      await stage.serves('vad', '5.0.0');
      await load.more(20);
      for (const each of load.loads) {
        const { versions, errorKinds } = await each.stop();
        assert.equal(versions['5.0.0']?.errors, 0, 'stable answered all that it got');
        assert.ok((versions['6.0.0']?.errors ?? 0) > 0);
        assert.deepEqual(Object.keys(versions).sort(), ['5.0.0', '6.0.0'], JSON.stringify(errorKinds));
      }
      await world.until('it to be parked', () => podsOf(stage, '6.0.0').length === 0);
    });

    await t.test(
      'only its servers know that its requests fail: it is rolled back by their count',
      async () => {
        const load = await stage.steadyLoad(20, '-3');
        const [rest, grpc] = load.loads;
        // A status in trailers: to routers it is an answer like any other.
        await stage.apply(drill('6.2.0', 'fail-late-after=0s'));
        const { reason, message } = await latched(stage, '6.2.0', 90_000);
        assert.equal(reason, 'ErrorRate');
        assert.match(
          message,
          /^\d+(\.\d+)? ?% of \d+ requests failed by its servers' own count, 0(\.0+)? ?% of stable's \d+/,
        );
        assert.deepEqual(traffic.weights('6.2.0'), [50, 0]);
        await stage.serves('vad', '5.0.0');
        await load.more(20);
        assert.equal((await rest!.stop()).errors, 0, 'what is answered over REST does not fail');
        const { versions } = await grpc!.stop();
        assert.equal(versions['5.0.0']?.errors, 0, 'stable answered all that it got');
        assert.ok((versions['6.2.0']?.errors ?? 0) > 0);
        await world.until('it to be parked', () => podsOf(stage, '6.2.0').length === 0);
      },
    );

    await t.test('its answers are late: it is rolled back, and no request is lost', async () => {
      await stage.apply(watched({ minRequests: 20, latency: { quantile: 0.5, maxRatio: 2 } }));
      const load = await stage.steadyLoad(20, '-2');
      await stage.apply(drill('6.1.0', 'slow-after=0s'));
      const { reason, message } = await latched(stage, '6.1.0', 90_000);
      assert.equal(reason, 'Latency');
      assert.match(message, /took more than 2 times stable's 0\.5 quantile/);
      assert.deepEqual(traffic.weights('6.1.0'), [50, 0]);
      await stage.serves('vad', '5.0.0');
      await load.stopWithoutLoss();
    });
  });
}
