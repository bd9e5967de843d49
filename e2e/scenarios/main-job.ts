/** The main job: a version serves, its successor is rolled out step by step, a bad one is rolled back, and no request is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { condition, holds } from './harness/kinds.ts';
import { repository, type Session } from './harness/session.ts';
import { answeredBy, Stage } from './harness/stage.ts';
import { watchTraffic } from './harness/traffic.ts';

const example = (file: string) => `${repository}examples/vad/${file}`;

export function mainJob(session: () => Session): void {
  test('the example is served, rolled out and rolled back without losing a request', async (t) => {
    const { shell } = session();
    const stage = await Stage.set(session(), 'main-job');
    t.after(() => stage.clear());
    const { world, namespace } = stage;
    const applied = (file: string) => shell.kubectl(['apply', '-n', namespace, '-f', example(file)]);

    await t.test(
      '5.0.0 serves the recording over gRPC and REST, and hears speech where there is speech',
      async () => {
        await shell.kubectl(['apply', '-f', example('pool.yaml')]);
        await applied('model.yaml');
        await applied('vad-5.0.0.yaml');
        await shell.kubectl([
          'wait',
          '-n',
          namespace,
          '--for=condition=Ready',
          'modelversion/vad-5.0.0',
          '--timeout=90s',
        ]);
        await stage.serves('vad', '5.0.0');
        for (const protocol of ['grpc', 'rest'] as const) {
          const load = await stage.load(`speech-${protocol}`, {
            protocol,
            file: 'speech.json',
            args: ['--count=1'],
          });
          const { requests, errors, failures, versions } = await load.finished();
          assert.deepEqual({ errors, failures }, { errors: 0, failures: [] });
          assert.equal(requests, 169, 'one request for every 32 ms of the recording');
          assert.deepEqual(Object.keys(versions), ['5.0.0']);
        }
        const { provider, unusedGPUs } = await world.until(
          'what its servers say of their start',
          () => world.version('vad-5.0.0')?.status?.server,
        );
        assert.deepEqual({ provider, unusedGPUs }, { provider: 'cpu', unusedGPUs: undefined });
      },
    );

    const load = await stage.steadyLoad();
    const traffic = watchTraffic(world, 'vad');
    t.after(() => traffic.stop());

    await t.test('6.0.0 goes through its steps to all of the traffic', async () => {
      await applied('vad-6.0.0.yaml');
      await stage.serves('vad', '6.0.0');
      assert.deepEqual(traffic.weights('6.0.0'), [10, 25, 50, 100]);
      assert.ok(
        traffic.sums().every((sum) => sum === 100),
        `weights sum to 100 at all times: ${traffic.sums()}`,
      );
      assert.ok(holds(world.version('vad-6.0.0'), 'Promoted'));
      assert.equal(world.version('vad-6.0.0')?.status?.weight, 100);
      // From now on nobody else answers. What is counted may be behind by one interval, so one is waited for.
      await load.more(30);
      const since = load.loads.map((each) => each.total()?.versions['5.0.0']?.requests ?? 0);
      await load.more(100);
      assert.deepEqual(
        load.loads.map((each) => each.total()?.versions['5.0.0']?.requests ?? 0),
        since,
      );
    });

    await t.test('7.0.0 fails its readiness probe under way, and is rolled back and latched', async () => {
      await applied('vad-7.0.0.yaml');
      const latched = await world.until(
        '7.0.0 to be latched',
        () => world.model('vad')?.status?.latched?.find(({ version }) => version === '7.0.0'),
        90_000,
      );
      assert.equal(latched.reason, 'ReadinessLost');
      assert.match(latched.contentHash, /^[0-9a-f]{8,}$/);
      await stage.serves('vad', '6.0.0');
      assert.ok(Math.max(...traffic.weights('7.0.0')) > 0, 'it had traffic before it failed');
      assert.equal(traffic.weights('7.0.0').at(-1), 0);

      const ready = condition(world.version('vad-7.0.0'), 'Ready');
      assert.deepEqual([ready?.status, ready?.reason], ['False', 'ReadinessLost']);
      assert.equal(world.version('vad-7.0.0')?.status?.lastFailure?.reason, 'ReadinessLost');
      await world.until(
        'the event',
        () => world.events({ kind: 'Model', name: 'vad', reason: 'RolledBack' }).length > 0,
      );
    });

    await t.test('every request of the whole time was answered, and answered right', async () => {
      const summaries = await load.stopWithoutLoss();
      for (const version of ['5.0.0', '6.0.0', '7.0.0']) {
        assert.ok(answeredBy(summaries, version) > 0, `${version} answered some`);
      }
    });
  });
}
