import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type BackOff, goDuration, kubeletBackOff, nextTryAt, tried } from './back-off.ts';

describe('back-off', () => {
  it('restarts at once, then after 10 s, doubling to 5 min', () => {
    let backOff: BackOff | undefined;
    let now = 0;
    const waits = Array.from({ length: 9 }, () => {
      const at = nextTryAt(backOff, kubeletBackOff, now);
      const wait = at - now;
      backOff = tried(backOff, kubeletBackOff, now, at);
      now = at;
      return wait / 1000;
    });
    assert.deepEqual(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
  });

  it('forgives what ran for more than ten minutes', () => {
    const backOff = { delay: 160_000, triedAt: 0 };
    assert.equal(nextTryAt(backOff, kubeletBackOff, 600_000), 760_000);
    assert.equal(nextTryAt(backOff, kubeletBackOff, 600_001), 600_001);
    assert.deepEqual(tried(backOff, kubeletBackOff, 600_001, 600_001), { delay: 10_000, triedAt: 600_001 });
  });

  it('never waits longer than the maximum, nor tries before the failure', () => {
    const runs = fc.array(fc.integer({ min: 0, max: 2_000_000 }), { maxLength: 30 });
    fc.assert(
      fc.property(runs, (lengths) => {
        let backOff: BackOff | undefined;
        let now = 0;
        for (const length of lengths) {
          now += length;
          const at = nextTryAt(backOff, kubeletBackOff, now);
          assert.ok(at >= now && at - now <= kubeletBackOff.max);
          backOff = tried(backOff, kubeletBackOff, now, at);
          now = at;
        }
      }),
    );
  });

  it('writes durations as Go does', () => {
    const table: [number, string][] = [
      [0, '0s'],
      [200, '200ms'],
      [1_500, '1.5s'],
      [10_000, '10s'],
      [160_000, '2m40s'],
      [300_000, '5m0s'],
      [3_600_000, '1h0m0s'],
    ];
    for (const [milliseconds, text] of table) assert.equal(goDuration(milliseconds), text);
  });
});
