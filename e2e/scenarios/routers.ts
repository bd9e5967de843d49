/** Routers come and go while they carry requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holds, type Pod } from './harness/kinds.ts';
import { model, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';
import { kubectlOf } from './pains/drills.ts';

const router = { 'app.kubernetes.io/name': 'sluice-router', 'app.kubernetes.io/managed-by': 'sluice' };

export function routers(session: () => Session): void {
  test('routers are replaced, deleted and evicted without losing a request', async (t) => {
    const { shell } = session();
    const stage = await Stage.set(session(), 'routers');
    t.after(() => stage.clear());
    const { world, namespace } = stage;
    const kubectl = kubectlOf(stage);
    const staying = () =>
      world.pods(router).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const ready = () => staying().filter((pod) => holds(pod, 'Ready'));
    const names = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.name ?? '');
    const replaced = (gone: readonly string[]) =>
      world.until(
        `two routers, none of them ${gone}`,
        () => {
          const now = names(world.pods(router));
          return ready().length === 2 && gone.every((name) => !now.includes(name));
        },
        120_000,
      );
    const evict = (pod: string) =>
      shell.attempt(['create', '--raw', `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`, '-f', '-'], {
        input: JSON.stringify({
          apiVersion: 'policy/v1',
          kind: 'Eviction',
          metadata: { name: pod, namespace },
        }),
      });

    await stage.apply(model(), version({ version: '5.0.0' }));
    await stage.serves('vad', '5.0.0');
    await world.until('two routers', () => ready().length === 2);
    const load = await stage.steadyLoad(20);
    await load.more(20);

    await t.test('all of them, by a rolling update in the middle of a rollout', async () => {
      const before = names(staying());
      await stage.apply(version({ version: '6.0.0', weights: 'v6' }));
      await kubectl('rollout', 'restart', 'deployment/sluice-router');
      await kubectl('rollout', 'status', 'deployment/sluice-router', '--timeout=120s');
      await replaced(before);
      await stage.serves('vad', '6.0.0');
      await load.more(40);
    });

    await t.test('one, by kubectl delete', async () => {
      const [one] = names(ready());
      await kubectl('delete', 'pod', one!, '--wait=false');
      await replaced([one!]);
      await load.more(40);
    });

    await t.test('one after the other, as a drain does: the budget lets no two go at once', async () => {
      const [one, other] = names(ready());
      const allowed = '--for=jsonpath={.status.disruptionsAllowed}=1';
      await kubectl('wait', allowed, 'poddisruptionbudget/sluice-router', '--timeout=60s');
      const [first, second] = await Promise.all([evict(one!), evict(other!)]);
      const [gone, refused] = first.code === 0 ? [one!, second] : [other!, first];
      assert.equal([first, second].filter(({ code }) => code === 0).length, 1);
      assert.match(refused.stderr, /disruption budget/);
      await replaced([gone]);
      await load.more(40);
    });

    await t.test('every request was answered, and answered right', async () => {
      await load.stopWithoutLoss();
    });
  });
}
