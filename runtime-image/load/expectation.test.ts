import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mismatch, readExpectation } from './expectation.ts';
import { encode, type Tensor } from './tensor.ts';

const output = (...values: number[]): Tensor => ({
  name: 'y',
  datatype: 'FP32',
  shape: [values.length],
  raw: encode('FP32', values),
});

const cases: [
  string,
  Record<string, unknown>,
  Tensor,
  { step?: number; version?: string },
  RegExp | undefined,
][] = [
  ['the exact value', { data: [0.5] }, output(0.5), {}, undefined],
  ['a value within tolerance', { data: [0.5], tolerance: 0.01 }, output(0.509), {}, undefined],
  [
    'a value out of tolerance',
    { data: [0.5], tolerance: 0.01 },
    output(0.52),
    {},
    /y\[0\] is 0.51.*, not 0.5 \(within 0.01\)/,
  ],
  ['NaN against a value', { data: [0.5], tolerance: 9 }, output(Number.NaN), {}, /is NaN/],
  ['too few values', { data: [1, 2] }, output(1), {}, /has 1 values, not 2/],
  ['a value within bounds', { min: 0, max: 1 }, output(0, 1), {}, undefined],
  ['a value below', { min: 0.5 }, output(0.75, 0.25), {}, /y\[1\] is 0.25, below 0.5/],
  ['a value above', { max: 0.5 }, output(0.75), {}, /y\[0\] is 0.75, above 0.5/],
  ['NaN against a bound', { min: 0 }, output(Number.NaN), {}, /below 0/],
  ['another version', { version: '2', data: [9] }, output(1), { version: '1' }, undefined],
  ['its version', { version: '1', data: [9] }, output(1), { version: '1' }, /not 9/],
  ['a step before', { steps: [2, 3], data: [9] }, output(1), { step: 1 }, undefined],
  ['its last step', { steps: [2, 3], data: [9] }, output(1), { step: 3 }, /step 3/],
  ['a step after', { steps: [2, 3], data: [9] }, output(1), { step: 4 }, undefined],
  ['a missing output', { name: 'z', min: 0 }, output(1), {}, /no output z/],
];

for (const [name, expectation, tensor, { step = 0, version }, wanted] of cases) {
  test(`expectation: ${name}`, () => {
    const wrong = mismatch([readExpectation({ name: 'y', ...expectation }, 'e')], step, version, [tensor]);
    if (wanted === undefined) assert.equal(wrong, undefined);
    else assert.match(wrong ?? 'matched', wanted);
  });
}

test('an expectation that says nothing, or something unknown, is refused', () => {
  assert.throws(() => readExpectation({ name: 'y' }, 'expect[0]'), /expect\[0\] needs data, min or max/);
  assert.throws(
    () => readExpectation({ name: 'y', minimum: 1 }, 'expect[0]'),
    /expect\[0\].minimum is not known/,
  );
  assert.throws(() => readExpectation({ name: 'y', min: '1' }, 'expect[0]'), /expect\[0\].min is no number/);
});
