import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { binomial, generator, poisson } from './random.ts';

describe('random numbers', () => {
  it('are the same for the same seed, and others for another', () => {
    const first = (seed: number) => Array.from({ length: 5 }, generator(seed));
    assert.deepEqual(first(1), first(1));
    assert.notDeepEqual(first(1), first(2));
  });

  /** Mean and variance of many draws, held against what they must be; five standard errors are allowed. */
  function moments(draw: () => number, mean: number, variance: number): void {
    const count = 20_000;
    const draws = Array.from({ length: count }, draw);
    const seen = draws.reduce((sum, value) => sum + value, 0) / count;
    const spread = draws.reduce((sum, value) => sum + (value - seen) ** 2, 0) / (count - 1);
    assert.ok(Math.abs(seen - mean) <= 5 * Math.sqrt(variance / count), `mean ${seen}, not ${mean}`);
    assert.ok(Math.abs(spread - variance) <= 0.06 * variance + 1e-3, `variance ${spread}, not ${variance}`);
  }

  for (const [n, p] of [
    [1, 0.3],
    [10, 0.5],
    [90, 0.001],
    [400, 0.9],
    [1_000, 0.2],
  ] as const) {
    it(`are binomial: ${n} trials at ${p}`, () => {
      const random = generator(n);
      moments(() => binomial(random, n, p), n * p, n * p * (1 - p));
    });
  }

  it('never hit more often than there are trials, nor less than never', () => {
    const random = generator(3);
    for (const p of [0, 1e-9, 0.5, 1 - 1e-9, 1]) {
      for (let n = 0; n < 50; n += 1) {
        const hits = binomial(random, n, p);
        assert.ok(hits >= 0 && hits <= n);
      }
    }
  });

  for (const mean of [0.2, 5, 250]) {
    it(`are Poisson's: ${mean} expected`, () => {
      const random = generator(7);
      moments(() => poisson(random, mean), mean, mean);
    });
  }
});
