/** Versions that fail before or while they are rolled out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { condition, holds } from '../harness/kinds.ts';
import { kstatus } from '../harness/kstatus.ts';
import { drilledServer, model, version } from '../harness/manifests.ts';
import type { Session } from '../harness/session.ts';
import { Stage } from '../harness/stage.ts';
import { watchTraffic } from '../harness/traffic.ts';
import { ask, awaitsApproval, good, latched, podsOf } from './drills.ts';
import { Recorded } from './recorded.ts';

const drill = (name: string, action: string) =>
  version({ version: name, weights: 'v6', spec: { server: drilledServer(action) } });

const gated = (startupDeadline = '60s', serve: 'latest' | (string & {}) = 'latest') =>
  model({
    serve: { version: serve },
    rollout: { steps: [{ weight: 50, hold: '1s', approval: true }], bake: '0s' },
    rollback: { unreadyFor: '2s', startupDeadline },
    retention: { parkAfter: '0s' },
  });

export function failing(session: () => Session): void {
  test('versions that fail while they are rolled out', async (t) => {
    const stage = await Stage.set(session(), 'pains-failing');
    t.after(() => stage.clear());
    const { world } = stage;
    const recorded = new Recorded(world);
    const traffic = watchTraffic(world, 'vad');
    await stage.apply(gated(), good({ version: '5.0.0' }));
    await stage.serves('vad', '5.0.0');
    const load = await stage.steadyLoad(20);

    await t.test('pain 2: a gate does not suspend failure detection', async () => {
      await stage.apply(drill('6.0.0', 'unready-after=12s'));
      await awaitsApproval(stage, '6.0.0');
      const { reason } = await latched(stage, '6.0.0');
      assert.equal(reason, 'ReadinessLost');
      assert.deepEqual(traffic.weights('6.0.0'), [50, 0]);
      const last = recorded.model('vad').findLast(({ status }) => status?.candidate?.version === '6.0.0');
      assert.equal(last?.status?.candidate?.waitingFor, 'Approval', 'it waited to the end');
      assert.equal(last?.status?.candidate?.approvedStep, undefined, 'nobody approved it');
      await stage.serves('vad', '5.0.0');
    });

    await t.test('pain 1: a crash loop ends the rollout, long before its deadline', async () => {
      await stage.apply(drill('6.1.0', 'exit-after=0s'));
      const { reason, at } = await latched(stage, '6.1.0', 45_000);
      assert.equal(reason, 'CrashLoop');
      const began = recorded
        .model('vad')
        .map(({ status }) => status?.candidate)
        .find((candidate) => candidate?.version === '6.1.0')?.startedAt;
      const seconds = (Date.parse(at) - Date.parse(began ?? '')) / 1000;
      assert.ok(seconds < 45, `it took ${seconds} s of 60`);
      t.diagnostic(`CrashLoop after ${seconds.toFixed(1)} s`);
    });

    await t.test('pain 12: Ready is not True while the pods crash-loop', async () => {
      await world.until(
        'the version to say why',
        () => condition(world.version('vad-6.1.0'), 'Ready')?.reason === 'CrashLoop',
      );
      const states = recorded.version('vad-6.1.0');
      assert.deepEqual(
        states.filter((state) => holds(state, 'Ready') || holds(state, 'Servable')),
        [],
      );
      assert.equal(kstatus(world.version('vad-6.1.0')!), 'Failed');
      assert.match(world.version('vad-6.1.0')?.status?.lastFailure?.message ?? '', /exit code 70/);
    });

    await t.test('pain 24: pods that crash-loop do not keep a version from being parked', async () => {
      await world.until('no pod of 6.1.0', () => podsOf(stage, '6.1.0').length === 0, 90_000);
    });

    await t.test('pain 11: an artifact that is not the one that was named is never loaded', async () => {
      const { artifact } = version({ version: '5.0.0' })['spec'] as { artifact: { sha256: string } };
      assert.equal(
        world.version('vad-5.0.0')?.status?.artifact?.digest,
        `sha256:${artifact.sha256}`,
        'what serves is what was named',
      );
      await stage.apply(
        version({
          version: '6.2.0',
          spec: { artifact: { uri: 'file:///silero_vad_v6.onnx', sha256: artifact.sha256 } },
        }),
      );
      const { reason, message } = await latched(stage, '6.2.0');
      assert.equal(reason, 'ArtifactCorrupt');
      assert.match(message, new RegExp(artifact.sha256));
      assert.ok(!recorded.podsOf('vad', '6.2.0').some((pod) => holds(pod, 'Ready')));
      assert.deepEqual(traffic.weights('6.2.0'), []);
      await world.until('it to be Failed', () => kstatus(world.version('vad-6.2.0')!) === 'Failed');
    });

    await t.test('pain 1: an abort ends the rollout', async () => {
      await stage.apply(drill('6.3.0', 'unready-after=0s'));
      await world.until(
        '6.3.0 to be the candidate',
        () => world.model('vad')?.status?.candidate?.version === '6.3.0',
      );
      await ask(stage, 'abort');
      assert.equal((await latched(stage, '6.3.0')).reason, 'Aborted');
    });

    await t.test('pain 1: the start-up deadline ends the rollout', async () => {
      await stage.apply(gated('4s'), drill('6.4.0', 'unready-after=0s'));
      const { reason, at } = await latched(stage, '6.4.0', 30_000);
      assert.equal(reason, 'StartupDeadlineExceeded');
      const began = recorded
        .model('vad')
        .map(({ status }) => status?.candidate)
        .find((candidate) => candidate?.version === '6.4.0')?.startedAt;
      const seconds = (Date.parse(at) - Date.parse(began ?? '')) / 1000;
      assert.ok(seconds >= 4 && seconds < 10, `after ${seconds} s`);
    });

    await t.test('pain 15: a Model that names a failed version is Failed, and serves', async () => {
      await stage.serves('vad', '5.0.0');
      assert.equal(kstatus(world.model('vad')!), 'Current');
      await stage.apply(gated('4s', '6.4.0'));
      await world.until('the Model to be Failed', () => kstatus(world.model('vad')!) === 'Failed');
      const ready = condition(world.model('vad'), 'Ready');
      assert.deepEqual([ready?.status, ready?.reason], ['False', 'VersionLatched']);
      assert.match(ready?.message ?? '', /^spec\.serve\.version: 6\.4\.0 failed/);
      assert.ok(holds(world.model('vad'), 'Servable'));
    });

    await t.test('no request was lost, and none came to a version that was not ready', async () => {
      for (const { versions } of await load.stopWithoutLoss()) {
        assert.deepEqual(
          Object.keys(versions).filter((name) => name !== '6.0.0'),
          ['5.0.0'],
        );
      }
    });
  });
}
