import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Datatype } from './datatypes.ts';
import { decodeInferRequest, encodeInferAnswer } from './grpc-codec.ts';
import type { Contents, InferRequestMessage, InputMessage } from './messages.ts';
import { arrayOf, type FixedTensor } from './tensor.ts';

const input = (datatype: string, shape: readonly number[], contents: Contents | null): InputMessage => ({
  name: 'x',
  datatype,
  shape,
  parameters: {},
  contents,
});
const message = (more: Partial<InferRequestMessage>): InferRequestMessage => ({
  model_name: 'm',
  model_version: '',
  id: 'i',
  parameters: {},
  inputs: [],
  outputs: [],
  raw_input_contents: [],
  ...more,
});
const decode = (one: InputMessage) => decodeInferRequest(message({ inputs: [one] })).inputs[0];

const typed: readonly [datatype: Datatype, contents: Contents, elements: ArrayLike<unknown>][] = [
  ['BOOL', { bool_contents: [true, false] }, Uint8Array.of(1, 0)],
  ['INT8', { int_contents: [-128, 127] }, Int8Array.of(-128, 127)],
  ['INT16', { int_contents: [-1, 2] }, Int16Array.of(-1, 2)],
  ['INT32', { int_contents: [-1, 2] }, Int32Array.of(-1, 2)],
  ['INT64', { int64_contents: ['-9223372036854775808', '1'] }, BigInt64Array.of(-(2n ** 63n), 1n)],
  ['UINT8', { uint_contents: [0, 255] }, Uint8Array.of(0, 255)],
  ['UINT16', { uint_contents: [0, 65535] }, Uint16Array.of(0, 65535)],
  ['UINT32', { uint_contents: [0, 4294967295] }, Uint32Array.of(0, 4294967295)],
  ['UINT64', { uint64_contents: ['18446744073709551615', '0'] }, BigUint64Array.of(2n ** 64n - 1n, 0n)],
  ['FP32', { fp32_contents: [Number.NaN, -0.5] }, Float32Array.of(Number.NaN, -0.5)],
  ['FP64', { fp64_contents: [Infinity, 0.1] }, Float64Array.of(Infinity, 0.1)],
];

describe('decodeInferRequest', () => {
  for (const [datatype, contents, elements] of typed) {
    it(`takes typed contents of ${datatype}`, () => {
      assert.deepEqual(arrayOf(decode(input(datatype, [2], contents)) as FixedTensor), elements);
    });
  }

  it('takes typed BYTES, scalars and empty tensors', () => {
    const data = [Buffer.from('a')];
    assert.deepEqual(decode(input('BYTES', [], { bytes_contents: data }))?.data, data);
    assert.deepEqual(decode(input('FP32', [0, 3], null))?.data, new Uint8Array(0));
  });

  const wrong: readonly [what: string, request: Partial<InferRequestMessage>, text: string | RegExp][] = [
    [
      'an unknown datatype',
      { inputs: [input('FP8', [1], null)] },
      /^input "x": datatype "FP8" is none of BOOL/,
    ],
    [
      'contents in the wrong field',
      { inputs: [input('FP32', [1], { int_contents: [1] })] },
      'input "x": its FP32 contents are in int_contents; they belong in fp32_contents',
    ],
    [
      'too few contents',
      { inputs: [input('FP32', [2], { fp32_contents: [1] })] },
      'input "x" has 1 elements in fp32_contents; shape [2] has 2',
    ],
    [
      'typed FP16',
      { inputs: [input('FP16', [1], { fp32_contents: [1] })] },
      'input "x": FP16 travels in raw_input_contents only',
    ],
    [
      'a value out of range',
      { inputs: [input('INT8', [1], { int_contents: [128] })] },
      'input "x": element 0, 128, is no INT8 (its range is -128 to 127)',
    ],
    [
      'a negative dimension',
      { inputs: [input('INT8', [-1], null)] },
      /^input "x": dimension -1 of its shape/,
    ],
    [
      'raw and typed contents',
      { inputs: [input('INT8', [1], { int_contents: [1] })], raw_input_contents: [Buffer.of(1)] },
      'input "x" has contents although the request has raw_input_contents',
    ],
    [
      'BYTES that end too late',
      { inputs: [input('BYTES', [1], null)], raw_input_contents: [Buffer.of(9, 0, 0, 0, 1)] },
      'input "x": BYTES element 0 ends after its 5 bytes of raw contents',
    ],
    [
      'BYTES with something left over',
      { inputs: [input('BYTES', [1], null)], raw_input_contents: [Buffer.of(0, 0, 0, 0, 1)] },
      'input "x": 1 bytes of raw contents are left over after 1 BYTES elements',
    ],
    [
      'more BYTES than can be',
      { inputs: [input('BYTES', [1000000], null)], raw_input_contents: [Buffer.of(0)] },
      'input "x": 1 bytes of raw contents cannot hold 1000000 BYTES elements',
    ],
    [
      'a BOOL that is neither',
      { inputs: [input('BOOL', [2], null)], raw_input_contents: [Buffer.of(1, 2)] },
      'input "x": byte 1 of its raw contents is 2; BOOL is 0 or 1',
    ],
    [
      'a sequence',
      { parameters: { sequence_id: { parameter_choice: 'int64_param', int64_param: '7' } } },
      'the request: parameter "sequence_id" is not supported by this server',
    ],
  ];
  for (const [what, request, text] of wrong) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decodeInferRequest(message(request)), { fault: 'InvalidArgument', message: text });
    });
  }

  it('reads a timeout in microseconds', () => {
    const parameters = { timeout: { parameter_choice: 'int64_param', int64_param: '2500' } };
    assert.equal(decodeInferRequest(message({ parameters })).timeoutMs, 2.5);
  });
});

describe('encodeInferAnswer', () => {
  it('answers raw, with the names of what answered', () => {
    const answer = encodeInferAnswer(
      { id: 'i', outputs: [{ name: 'y', datatype: 'BYTES', shape: [1], data: [Buffer.from('ab')] }] },
      { model: 'm', version: '2' },
    );
    assert.deepEqual(answer, {
      model_name: 'm',
      model_version: '2',
      id: 'i',
      outputs: [{ name: 'y', datatype: 'BYTES', shape: [1] }],
      raw_output_contents: [Uint8Array.of(2, 0, 0, 0, 97, 98)],
    });
  });
});
