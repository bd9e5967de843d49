/** Sluice itself comes, changes, breaks and goes, while models serve. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../kube-client/resources.ts';
import { chart, type Installation, operatorName, release, systemNamespace } from './harness/installation.ts';
import { holds } from './harness/kinds.ts';
import { model, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';
import { watchTraffic } from './harness/traffic.ts';

interface Lease {
  readonly spec: { readonly holderIdentity?: string };
}

export function installation(session: () => Session, installed: () => Installation): void {
  test('models serve through restarts, upgrades and the absence of the operator', async (t) => {
    const { shell, client } = session();
    const stage = await Stage.set(session(), 'installation');
    t.after(() => stage.clear());
    const { world } = stage;
    const leader = async () => {
      const { spec } = await client.get<Lease>(resources.leases, systemNamespace, operatorName);
      return spec.holderIdentity;
    };

    await stage.apply(model(), version({ version: '5.0.0' }));
    await stage.serves('vad', '5.0.0');
    const load = await stage.steadyLoad(20);

    await t.test('the leader is killed in the middle of a rollout, and another one finishes it', async () => {
      const traffic = watchTraffic(world, 'vad');
      await stage.apply(version({ version: '6.0.0', weights: 'v6' }));
      await world.until('the first step', () => world.model('vad')?.status?.candidate?.step === 1);
      const before = await leader();
      const [pod] = before?.match(/^sluice-operator-[a-z0-9-]+/) ?? [];
      assert.ok(pod, `the lease names its holder's pod: ${before}`);
      await shell.kubectl(['delete', 'pod', pod, '-n', systemNamespace, '--grace-period=0', '--force']);
      await stage.serves('vad', '6.0.0');
      assert.notEqual(await leader(), before);
      assert.deepEqual(traffic.weights('6.0.0'), [20, 50, 100], 'no step was repeated or left out');
      traffic.stop();
    });

    await t.test('helm upgrade changes the operator, and traffic stays as it is', async () => {
      await installed().helm('upgrade', '--set=operator.logLevel=debug', '--set=operator.replicas=1');
      assert.match(await shell.helm(['status', release, '-n', systemNamespace]), /STATUS: deployed/);
      await shell.kubectl([
        'rollout',
        'status',
        `deployment/${operatorName}`,
        '-n',
        systemNamespace,
        '--timeout=60s',
      ]);
      assert.equal(world.model('vad')?.status?.stable, '6.0.0');
    });

    await t.test('values that are not known are refused by name', async () => {
      const { code, stderr } = await shell.attemptHelm([
        'upgrade',
        release,
        chart,
        '-n',
        systemNamespace,
        '--set=operator.replica=3',
      ]);
      assert.notEqual(code, 0);
      assert.match(stderr, /operator.*'replica' not allowed/s);
    });

    await t.test('helm uninstall takes the operator, and models go on serving', async () => {
      await installed().uninstall();
      assert.equal(
        (await shell.kubectl(['get', 'deployments', '-n', systemNamespace, '-o', 'name'])).trim(),
        '',
      );
      await load.more(60);
      assert.ok(holds(world.model('vad'), 'Servable'));
    });

    await t.test('a new installation takes up where the old one stopped', async () => {
      await installed().helm('install');
      await stage.apply(version({ version: '6.1.0', weights: 'v6' }));
      await stage.serves('vad', '6.1.0');
    });

    await t.test('no request was lost through all of it', async () => {
      await load.stopWithoutLoss();
    });
  });
}
