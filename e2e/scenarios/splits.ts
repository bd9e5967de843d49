/** Several versions at once, each with its exact share, whatever the number of their pods. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holds } from './harness/kinds.ts';
import { model, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { answeredBy, Stage } from './harness/stage.ts';

/** How far a fair draw of `n` may be off from `share` of it: five standard deviations, missed once in two million runs. */
const slack = (n: number, share: number) => 5 * Math.sqrt(n * share * (1 - share));

export function splits(session: () => Session): void {
  test('two versions serve side by side with exact shares', async (t) => {
    const stage = await Stage.set(session(), 'splits');
    t.after(() => stage.clear());
    const { world } = stage;
    const split = (five: number, six: number) =>
      model({
        serve: {
          split: [
            { version: '5.0.0', weight: five },
            { version: '6.0.0', weight: six },
          ],
        },
      });
    const settled = (shares: Readonly<Record<string, number>>) =>
      world.until(`shares of ${JSON.stringify(shares)} at every router`, () => {
        const vad = world.model('vad');
        const { traffic = [], routers } = vad?.status ?? {};
        const now = Object.fromEntries(traffic.map((entry) => [entry.version, entry.weight]));
        return (
          // Before any pod is ready the shares are there already, and nobody to answer.
          holds(vad, 'Ready') &&
          Object.entries(shares).every(([name, weight]) => (now[name] ?? 0) === weight) &&
          routers?.acked !== undefined &&
          routers.acked > 0 &&
          routers.acked === routers.total
        );
      });

    // It is there with the defaults first, which must not stand in the way of a split.
    await stage.apply(model());
    await stage.apply(
      split(7, 3),
      version({ version: '5.0.0', weights: 'v5', spec: { replicas: 1 } }),
      version({ version: '6.0.0', weights: 'v6', spec: { replicas: 2 } }),
    );
    await settled({ '5.0.0': 70, '6.0.0': 30 });

    const measure = async (name: string, share: number, count = 1500) => {
      const loads = await Promise.all(
        (['rest', 'grpc'] as const).map((protocol) =>
          stage.load(`${name}-${protocol}`, { protocol, args: [`--count=${count}`, '--concurrency=4'] }),
        ),
      );
      const summaries = await Promise.all(loads.map((load) => load.finished()));
      for (const { errors, failures } of summaries)
        assert.deepEqual({ errors, failures }, { errors: 0, failures: [] });
      const total = count * loads.length;
      const six = answeredBy(summaries, '6.0.0');
      assert.equal(six + answeredBy(summaries, '5.0.0'), total);
      assert.ok(
        Math.abs(six - share * total) <= slack(total, share),
        `6.0.0 answered ${six} of ${total}, not ${share * 100} %`,
      );
    };

    await t.test('70 to 30, though the smaller share has more pods', () => measure('first', 0.3));

    await t.test('another split takes hold without losing a request', async () => {
      const load = await stage.steadyLoad();
      await stage.apply(split(1, 99));
      await settled({ '5.0.0': 1, '6.0.0': 99 });
      await measure('second', 0.99);
      await load.stopWithoutLoss();
    });

    await t.test('all to one', async () => {
      await stage.apply(split(0, 1));
      await settled({ '5.0.0': 0, '6.0.0': 100 });
      await measure('third', 1, 300);
    });
  });
}
