import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ModelWatch, watchTraffic } from './traffic.ts';

test('shares of a version are told once each, from the first above 0', () => {
  const handlers: Parameters<ModelWatch['onModel']>[0][] = [];
  const traffic = watchTraffic(
    {
      onModel: (handler) => {
        handlers.push(handler);
        return () => handlers.pop();
      },
    },
    'vad',
  );
  const shows = (name: string, shares?: Record<string, number>) => {
    const entries = Object.entries(shares ?? {}).map(([version, weight]) => ({ version, weight }));
    const now = { metadata: { name }, ...(shares ? { status: { traffic: entries } } : {}) };
    for (const handler of handlers) handler({ key: `ns/${name}`, now });
  };
  shows('vad');
  shows('vad', { a: 100 });
  shows('vad', { a: 90, b: 10 });
  shows('other', { a: 1, b: 99 });
  shows('vad', { a: 90, b: 10 });
  shows('vad', { b: 100 });
  assert.deepEqual(traffic.weights('a'), [100, 90, 0]);
  assert.deepEqual(traffic.weights('b'), [10, 100]);
  assert.deepEqual(traffic.sums(), [100, 100, 100, 100]);
  traffic.stop();
  shows('vad', { a: 5 });
  assert.equal(traffic.moments.length, 4);
});
