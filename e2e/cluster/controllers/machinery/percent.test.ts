import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQuantity } from '../../quantity.ts';
import { resolvePercent } from './percent.ts';

test('quantities in all their forms', () => {
  const rows: readonly [string | number, number][] = [
    ['100m', 0.1],
    ['1', 1],
    [4, 4],
    ['2Gi', 2 * 2 ** 30],
    ['1.5Ki', 1536],
    ['3k', 3000],
    ['1e3', 1000],
    ['1E3', 1000],
    ['1E', 1e18],
    ['.5', 0.5],
    ['-2M', -2e6],
    ['7u', 7e-6],
  ];
  for (const [text, value] of rows) assert.equal(parseQuantity(text), value, String(text));
});

test('what is no quantity is refused', () => {
  for (const text of ['', 'x', '1 Gi', '1kb', '--1', '1..2', '0x10']) {
    assert.throws(() => parseQuantity(text), RangeError, text);
  }
});

test('percentages round as told, numbers stay', () => {
  assert.equal(resolvePercent('25%', 5, 'up'), 2);
  assert.equal(resolvePercent('25%', 5, 'down'), 1);
  assert.equal(resolvePercent(3, 5, 'up'), 3);
  assert.equal(resolvePercent('3', 5, 'up'), 3);
});
