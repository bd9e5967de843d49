import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Histogram } from './histogram.ts';

test('a quantile is at most 1 % above the exact one, and never below it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 600_000, noNaN: true }), { minLength: 1 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (list, q) => {
        const histogram = new Histogram();
        for (const value of list) histogram.record(value);
        const sorted = [...list].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(q * list.length)) - 1]!;
        const quantile = histogram.quantile(q)!;
        assert.ok(quantile >= exact * 0.999999 && quantile <= exact * 1.0101, `${quantile} for ${exact}`);
      },
    ),
  );
});

test('an empty histogram has no quantiles, one beyond its range keeps the maximum', () => {
  const histogram = new Histogram();
  assert.equal(histogram.quantile(0.5), undefined);
  histogram.record(5_000_000);
  assert.equal(histogram.max, 5_000_000);
  assert.ok(histogram.quantile(1)! <= 5_000_000);
  histogram.reset();
  assert.equal(histogram.count, 0);
  assert.equal(histogram.quantile(1), undefined);
});
