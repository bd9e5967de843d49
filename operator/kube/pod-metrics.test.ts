import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerPod } from '../reconcile/ports.ts';
import { atOnce, PodMetrics } from './pod-metrics.ts';

const podsOf = (count: number): ServerPod[] =>
  Array.from({ length: count }, (_, index) => ({
    version: '1',
    uid: `${index}`,
    address: '10.0.0.1',
    port: 1,
  }));
const logger = (said: string[] = []) => {
  const say = (message: string) => void said.push(message);
  return { debug: say, info: say, warn: say, error: say };
};

describe('metrics of many pods', () => {
  it('are parsed as they come, so that texts of a few are held at once', async () => {
    let held = 0;
    let most = 0;
    const metrics = new PodMetrics({
      logger: logger(),
      read: async ({ uid }) => {
        most = Math.max(most, ++held);
        await Promise.resolve();
        return uid;
      },
    });
    const said = await metrics.readAll(podsOf(1_000), (text) => {
      held -= 1;
      return Number(text);
    });
    assert.equal(said.size, 1_000);
    assert.ok([...said].every(([{ uid }, value]) => Number(uid) === value));
    assert.equal(most, atOnce);
    await metrics.stop();
  });

  it('leave the process to others between two long texts', async () => {
    const text = 'x'.repeat(400_000);
    const metrics = new PodMetrics({ logger: logger(), read: async () => text });
    let turns = 0;
    let watching = true;
    const watch = (): void => {
      turns += 1;
      if (watching) setImmediate(watch);
    };
    watch();
    const parsedAt: number[] = [];
    await metrics.readAll(podsOf(20), () => parsedAt.push(turns));
    watching = false;
    assert.equal(parsedAt.length, 20);
    assert.equal(new Set(parsedAt).size, 20, `turns of the event loop in which one was parsed: ${parsedAt}`);
    await metrics.stop();
  });

  it('are nothing where a pod does not answer, or nobody can read them', async () => {
    const lines: string[] = [];
    const read = async ({ uid }: ServerPod) => {
      if (uid === '0') throw new Error('connection refused');
      return uid === '1' ? undefined : uid;
    };
    const metrics = new PodMetrics({ logger: logger(lines), read });
    const said = await metrics.readAll(podsOf(4), (text) => (text === '2' ? undefined : text));
    assert.deepEqual([...said.values()], ['3']);
    assert.deepEqual(lines, ['a pod does not tell its metrics']);
    await metrics.stop();
  });
});
