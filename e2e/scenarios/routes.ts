/** Requests that are told apart: by route, by user, by the version that they ask for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelSpec } from '../../operator/api/generated/model.ts';
import { holds } from './harness/kinds.ts';
import { model, type Partly, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';

export function routes(session: () => Session): void {
  test('requests are told apart by route, by user and by the version that they ask for', async (t) => {
    const stage = await Stage.set(session(), 'routes');
    t.after(() => stage.clear());
    const { world } = stage;
    let runs = 0;

    /** Applies a spec and waits until every router follows it. */
    const configure = async (what: string, spec: Partly<ModelSpec>) => {
      const before = world.model('vad')?.status?.observedGeneration ?? 0;
      await stage.apply(model(spec));
      await world.until(`routers to follow ${what}`, () => {
        const found = world.model('vad');
        return (found?.status?.observedGeneration ?? 0) > before && holds(found, 'Ready');
      });
    };
    /** Versions that answered 40 requests over each protocol, with a header or without. */
    const answeredTo = async (header?: string) => {
      const args = ['--count=40', ...(header === undefined ? [] : [`--header=${header}`])];
      const loads = await Promise.all(
        (['rest', 'grpc'] as const).map((protocol) => stage.load(`told-${++runs}`, { protocol, args })),
      );
      const summaries = await Promise.all(loads.map((load) => load.finished()));
      for (const { errors, failures } of summaries)
        assert.deepEqual({ errors, failures }, { errors: 0, failures: [] });
      return [...new Set(summaries.flatMap(({ versions }) => Object.keys(versions)))].sort();
    };

    await stage.apply(
      model({ serve: { version: '5.0.0' } }),
      version({ version: '5.0.0', weights: 'v5' }),
      version({ version: '6.0.0', weights: 'v6' }),
    );
    await stage.serves('vad', '5.0.0');

    await t.test('a route leads to a version that has no share, without losing a request', async () => {
      const load = await stage.steadyLoad();
      await configure('a route', {
        serve: { version: '5.0.0' },
        routes: [{ match: { headers: [{ name: 'x-tenant', value: 'beta' }] }, version: '6.0.0' }],
      });
      assert.deepEqual(world.model('vad')?.status?.routed, ['6.0.0']);
      assert.deepEqual(await answeredTo('x-tenant: beta'), ['6.0.0']);
      assert.deepEqual(await answeredTo('x-tenant: alpha'), ['5.0.0']);
      await load.stopWithoutLoss();
    });

    await t.test('a user stays with a version, and others are spread', async () => {
      const split = [
        { version: '5.0.0', weight: 50 },
        { version: '6.0.0', weight: 50 },
      ];
      await configure('a key', { serve: { split }, sticky: { header: 'x-user-id' } });
      const first = await answeredTo('x-user-id: ada');
      assert.equal(first.length, 1);
      assert.deepEqual(await answeredTo('x-user-id: ada'), first);
      assert.deepEqual(await answeredTo(), ['5.0.0', '6.0.0']);
    });

    await t.test('a version that is asked for answers, unless the Model says otherwise', async () => {
      await configure('one version', { serve: { version: '5.0.0' } });
      assert.deepEqual(await answeredTo('sluice-version: 6.0.0'), ['6.0.0']);
      await configure('no pins', { serve: { version: '5.0.0' }, pinning: 'disabled' });
      assert.deepEqual(await answeredTo('sluice-version: 6.0.0'), ['5.0.0']);
    });
  });
}
