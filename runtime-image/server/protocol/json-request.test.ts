import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeJsonRequest } from './json-request.ts';
import { arrayOf, type FixedTensor } from './tensor.ts';

const decode = (value: unknown, tail?: Uint8Array) => {
  const json = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  return tail === undefined
    ? decodeJsonRequest(json)
    : decodeJsonRequest(Buffer.concat([json, tail]), json.byteLength);
};
const input = (datatype: unknown, shape: unknown, data: unknown, more: object = {}) => ({
  inputs: [{ name: 'x', datatype, shape, data, ...more }],
});
const one = (value: unknown) => arrayOf(decode(value).inputs[0] as FixedTensor);

describe('decodeJsonRequest', () => {
  it('takes flat and nested data', () => {
    const flat = one(input('FP32', [2, 3], [1, 2, 3, 4, 5, 6]));
    assert.deepEqual(
      one(
        input(
          'FP32',
          [2, 3],
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
        ),
      ),
      flat,
    );
    assert.deepEqual(flat, Float32Array.of(1, 2, 3, 4, 5, 6));
    assert.deepEqual(one(input('INT64', [], [7])), BigInt64Array.of(7n));
    assert.deepEqual(one(input('BOOL', [2], [true, false])), Uint8Array.of(1, 0));
    assert.deepEqual(one(input('FP16', [1], [0.5])), Float16Array.of(0.5));
  });

  it('keeps every digit of 64-bit integers', () => {
    const text =
      '{"inputs":[{"name":"x","datatype":"UINT64","shape":[2],"data":[18446744073709551615, 9007199254740993]}]}';
    assert.deepEqual(one(text), BigUint64Array.of(18446744073709551615n, 9007199254740993n));
  });

  it('reads what goes with the request', () => {
    const request = decode({
      ...input('FP32', [1], [1]),
      id: 'a',
      parameters: { timeout: 5000 },
      outputs: [{ name: 'y', parameters: { binary_data: true } }],
    });
    assert.equal(request.id, 'a');
    assert.equal(request.timeoutMs, 5);
    assert.deepEqual(request.outputs, [{ name: 'y', binary: true }]);
  });

  const wrong: readonly [what: string, request: unknown, message: string | RegExp][] = [
    ['no JSON', '{"inputs":', /^the request is not valid JSON: /],
    [
      'NaN',
      '{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[NaN]}]}',
      /^the request is not valid JSON: /,
    ],
    ['an array', '[]', 'the request is not a JSON object'],
    ['no inputs', {}, 'the request has no "inputs"'],
    ['inputs of another type', { inputs: 'x' }, '"inputs" is "x"; it has to be an array'],
    ['an input without a name', { inputs: [{}] }, 'inputs[0] has no "name"'],
    ['an unknown datatype', input('FP8', [1], [1]), /^input "x": datatype "FP8" is none of BOOL, UINT8/],
    ['no shape', input('FP32', undefined, [1]), 'input "x" has no "shape"'],
    [
      'a negative dimension',
      input('FP32', [-1], [1]),
      /^input "x": dimension -1 of its shape is not a whole number/,
    ],
    [
      'a shape that overflows',
      input('FP32', [2147483647, 2147483647, 2147483647], [1]),
      /has more elements than can be counted$/,
    ],
    [
      'too many dimensions',
      input('FP32', Array(65).fill(1), [1]),
      /^input "x": a shape of 65 dimensions; at most 64/,
    ],
    ['no data', input('FP32', [1], undefined), 'input "x" has no "data"'],
    ['too little data', input('FP32', [2, 2], [1, 2, 3]), 'input "x" has 3 elements; shape [2,2] has 4'],
    [
      'ragged data',
      input('FP32', [2, 2], [[1, 2], [3]]),
      /nested data does not have shape \[2,2\] at depth 1$/,
    ],
    ['null for NaN', input('FP32', [1], [null]), /^input "x": element 0, null, is no FP32 \(JSON has no NaN/],
    [
      'a number that overflows',
      input('FP16', [1], [70000]),
      'input "x": element 0, 70000, is no FP16 (its range is -65504 to 65504)',
    ],
    [
      'infinity by overflow',
      '{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1e999]}]}',
      /^input "x": element 0 is too large/,
    ],
    ['a fraction', input('INT8', [1], [1.5]), 'input "x": element 0, 1.5, is no INT8 (it has a fraction)'],
    [
      'out of range',
      input('UINT8', [2], [1, 256]),
      'input "x": element 1, 256, is no UINT8 (its range is 0 to 255)',
    ],
    ['a number for a boolean', input('BOOL', [1], [1]), 'input "x": element 0, 1, is no BOOL'],
    ['a string for a number', input('INT64', [1], ['1']), 'input "x": element 0 is a string, "1"'],
    ['a number for a string', input('BYTES', [1], [1]), 'input "x": element 0, 1, is no BYTES (a string)'],
    [
      'binary size without bytes',
      input('FP32', [1], undefined, { parameters: { binary_data_size: 4 } }),
      'input "x": "binary_data_size" is 4, and 0 bytes of binary data are left',
    ],
    [
      'binary size and data',
      input('FP32', [1], [1], { parameters: { binary_data_size: 4 } }),
      'input "x" has both "data" and parameter "binary_data_size"',
    ],
    [
      'shared memory',
      input('FP32', [1], [1], { parameters: { shared_memory_region: 'r' } }),
      'input "x": parameter "shared_memory_region" is not supported by this server',
    ],
    ['an id that is no string', { ...input('FP32', [1], [1]), id: 1 }, '"id" is 1; it has to be a string'],
  ];
  for (const [what, request, message] of wrong) {
    it(`refuses ${what}`, () =>
      assert.throws(() => decode(request), { name: 'InferenceError', fault: 'InvalidArgument', message }));
  }

  it('refuses binary data that belongs to no input, and a header longer than the body', () => {
    assert.throws(() => decode(input('FP32', [1], [1]), new Uint8Array(3)), {
      message: '3 bytes of binary data belong to no input',
    });
    assert.throws(() => decodeJsonRequest(Buffer.from('{}'), 3), {
      message: /is 3, and the body has only 2 bytes$/,
    });
  });

  it('tells a large integer from a string that looks like one', () => {
    const large = '9007199254740993';
    const request = (datatype: string, data: string) =>
      `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[2],"data":${data}}]}`;
    assert.throws(() => decode(request('INT64', `[${large},"${large}"]`)), {
      message: /element 1 is a string/,
    });
    assert.deepEqual(
      one(request('INT64', `[${large},-${large}]`)),
      BigInt64Array.of(9007199254740993n, -9007199254740993n),
    );
    assert.deepEqual(one(request('FP64', `[${large},1]`)), Float64Array.of(9007199254740992, 1));
    assert.throws(() => decode(request('INT64', '[1e30,1]')), { message: /element 0, 1e\+30, is no INT64/ });
  });

  it('refuses what would take much more memory than its bytes', () => {
    const many = `[${'"",'.repeat(2 ** 20)}""]`;
    const text = `{"inputs":[{"name":"x","datatype":"BYTES","shape":[${2 ** 20 + 1}],"data":${many}}]}`;
    assert.throws(() => decode(text), {
      message: 'input "x" has 1048577 BYTES elements; at most 1048576 are taken',
    });
    assert.throws(() => decode(`{"x":"${'x'.repeat(2 ** 24)}"}`), {
      fault: 'TooLarge',
      message: /16777224 bytes of JSON; at most 16777216/,
    });
    assert.throws(() => decode(`{"x":${'['.repeat(2 ** 17)}`), {
      message: 'the request is nested more than 100 levels deep',
    });
  });

  it('does not care how deep nonsense is nested', () => {
    const deep = `{"inputs":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    assert.throws(() => decode(deep), { name: 'InferenceError' });
    const data = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const text = `{"inputs":[{"name":"x","datatype":"INT64","shape":[2,1],"data":${data}}]}`;
    assert.throws(() => decode(text), { name: 'InferenceError' });
  });
});
