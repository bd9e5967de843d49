import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Datatype, decode, elements, encode, flatten, type Scalar } from './tensor.ts';

const values: Readonly<Record<Datatype, fc.Arbitrary<Scalar>>> = {
  BOOL: fc.boolean(),
  INT8: fc.integer({ min: -128, max: 127 }),
  INT16: fc.integer({ min: -32768, max: 32767 }),
  INT32: fc.integer(),
  INT64: fc.maxSafeInteger(),
  UINT8: fc.nat(255),
  UINT16: fc.nat(65535),
  UINT32: fc.nat(4294967295),
  UINT64: fc.maxSafeNat(),
  // Every bit pattern that is a number.
  FP16: fc.float({ noNaN: true, min: -65504, max: 65504 }).map(Math.f16round),
  FP32: fc.float({ noNaN: true }),
  FP64: fc.double({ noNaN: true }),
  BYTES: fc.string(),
};

for (const datatype of Object.keys(values) as Datatype[]) {
  test(`${datatype} comes back as it was sent`, () => {
    fc.assert(
      fc.property(fc.array(values[datatype]), (list) => {
        assert.deepEqual(decode(datatype, encode(datatype, list)), list);
      }),
      { numRuns: 50 },
    );
  });
}

test('the bytes are those of the protocol', () => {
  assert.deepEqual([...encode('INT64', [-2])], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
  assert.deepEqual([...encode('FP16', [1, -2])], [0, 0x3c, 0, 0xc0]);
  assert.deepEqual([...encode('FP32', [1])], [0, 0, 0x80, 0x3f]);
  assert.deepEqual([...encode('BYTES', ['hé'])], [3, 0, 0, 0, 0x68, 0xc3, 0xa9]);
});

test('what does not fit is refused', () => {
  assert.throws(() => encode('INT8', [128]), RangeError);
  assert.throws(() => encode('INT64', [0.5]), RangeError);
  assert.throws(() => encode('FP16', [70_000]), /70000 is no FP16/);
  assert.throws(() => decode('FP32', Buffer.alloc(5)), /no whole number of FP32/);
  assert.throws(() => decode('BYTES', Buffer.from([9, 0, 0, 0, 1])), /longer than its tensor/);
});

test('nested JSON is read in row-major order, and a scalar has one element', () => {
  assert.deepEqual(
    flatten([
      [1, 2],
      [[3], [4]],
    ]),
    [1, 2, 3, 4],
  );
  assert.throws(() => flatten([null]), /null is no element/);
  assert.equal(elements([]), 1);
  assert.equal(elements([2, 0, 3]), 0);
});
