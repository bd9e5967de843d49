import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, quantile, round } from './statistics.ts';

test('a quantile is one of the values, whatever their order', () => {
  const values = [30, 10, 20, 40];
  assert.deepEqual(
    [0, 0.25, 0.5, 0.51, 0.99, 1].map((part) => quantile(values, part)),
    [10, 10, 20, 30, 40, 40],
  );
  assert.deepEqual(values, [30, 10, 20, 40], 'which are left as they are');
  assert.equal(median([3, 1, 2]), 2);
  assert.ok(Number.isNaN(median([])));
});

test('rounding keeps a number', () => {
  assert.equal(round(1.23456, 2), 1.23);
  assert.equal(round(1500.4, 0), 1500);
});
