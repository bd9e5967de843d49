/** Our reader and writer of the wire against the general protobuf library, on the same bytes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import fc from 'fast-check';
import { mutations } from './arbitraries.ts';
import { InferenceError } from './errors.ts';
import { decodeInferRequest } from './grpc-codec.ts';
import { readInferRequest, writeInferAnswer } from './grpc-wire.ts';

interface Method {
  requestSerialize(value: object): Buffer;
  requestDeserialize(bytes: Buffer): object;
  responseDeserialize(bytes: Buffer): object;
}

const options = { keepCase: true, longs: String, defaults: true, oneofs: true };
const path = fileURLToPath(new URL('../../inference.proto', import.meta.url));
const { ModelInfer: library } = loadSync(path, options)['inference.GRPCInferenceService'] as unknown as {
  ModelInfer: Method;
};

/** The library's object and ours in one form: text for 64-bit integers, plain arrays, no empty fields. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(
    ([name, one]) => [name, name === 'shape' ? Array.from(one as unknown[], Number) : plain(one)] as const,
  );
  return Object.fromEntries(
    entries.filter(([, one]) => one !== null && !(Array.isArray(one) && one.length === 0)),
  );
}

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const blob = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const text = fc.string({ maxLength: 6 });
const parameter = fc.oneof(
  fc.record({ bool_param: fc.boolean() }),
  fc.record({ int64_param: int64 }),
  fc.record({ string_param: text }),
  fc.record({ double_param: fc.double({ noNaN: true }) }),
  fc.record({ uint64_param: uint64 }),
);
const parameters = fc.dictionary(
  text.filter((key) => key !== '__proto__'),
  parameter,
  { maxKeys: 3 },
);
const contents = fc.record(
  {
    bool_contents: fc.array(fc.boolean()),
    int_contents: fc.array(int32),
    int64_contents: fc.array(int64),
    uint_contents: fc.array(uint32),
    uint64_contents: fc.array(uint64),
    fp32_contents: fc.array(fc.float({ noNaN: true })),
    fp64_contents: fc.array(fc.double({ noNaN: true })),
    bytes_contents: fc.array(blob, { maxLength: 4 }),
  },
  { requiredKeys: [] },
);
const shape = fc.array(fc.integer({ min: -1, max: 2 ** 31 }), { maxLength: 5 });
const request = fc.record({
  model_name: text,
  model_version: text,
  id: text,
  parameters,
  inputs: fc.array(
    fc.record({ name: text, datatype: text, shape, parameters, contents }, { requiredKeys: ['name'] }),
    { maxLength: 3 },
  ),
  outputs: fc.array(fc.record({ name: text, parameters }), { maxLength: 3 }),
  raw_input_contents: fc.array(blob, { maxLength: 3 }),
});

describe('readInferRequest', () => {
  it('reads what the library reads', () => {
    fc.assert(
      fc.property(request, (value) => {
        const bytes = library.requestSerialize(value);
        assert.deepEqual(plain(readInferRequest(bytes)), plain(library.requestDeserialize(bytes)));
      }),
      { numRuns: 500 },
    );
  });

  it('blames the client for every damage that it notices', () => {
    const message = library.requestSerialize({
      model_name: 'm',
      parameters: { timeout: { int64_param: 1000 } },
      inputs: [
        { name: 'a', datatype: 'INT32', shape: [2], contents: { int_contents: [1, -1] } },
        { name: 'b', datatype: 'BYTES', shape: [1], contents: { bytes_contents: [Buffer.from('x')] } },
        {
          name: 'c',
          datatype: 'UINT64',
          shape: [1],
          contents: { uint64_contents: ['18446744073709551615'] },
        },
        { name: 'd', datatype: 'FP64', shape: [1], contents: { fp64_contents: [1.5] } },
      ],
      outputs: [{ name: 'y' }],
    });
    let decoded = 0;
    fc.assert(
      fc.property(mutations(message), (bytes) => {
        try {
          decodeInferRequest(readInferRequest(bytes));
          decoded += 1;
        } catch (thrown) {
          return thrown instanceof InferenceError && thrown.fault === 'InvalidArgument';
        }
      }),
      { numRuns: 3000 },
    );
    assert.ok(decoded > 20, `${decoded} mutations are still requests`);
  });

  const wrap = (field: number, ...bytes: number[]) => [field * 8 + 2, bytes.length, ...bytes];

  it('reads repeated numbers that are not packed, and packed ones in several pieces', () => {
    const int = wrap(5, ...[2 * 8, 1], ...wrap(2, 2, 3), ...[2 * 8, 4]);
    const { inputs } = readInferRequest(Uint8Array.from(wrap(5, ...[3 * 8, 1], ...[3 * 8, 4], ...int)));
    assert.deepEqual(inputs[0]?.shape, [1, 4]);
    assert.deepEqual(inputs[0]?.contents?.int_contents, Int32Array.of(1, 2, 3, 4));
  });

  const bad: readonly [what: string, bytes: number[], message: RegExp][] = [
    ['a length beyond the end', [10, 5, 65], /it ends within a field/],
    ['a varint that never ends', [8, ...Array(11).fill(0xff)], /more than ten bytes|wire type/],
    ['a field that is a group', [11], /has wire type 3/],
    ['field 0', [0, 1], /field 0/],
    ['a name that is a number', [8, 1], /model_name has wire type 0/],
    [
      'floats of the wrong width',
      wrap(5, ...wrap(5, 6 * 8 + 1, ...Array(8).fill(0))),
      /fp32_contents has wire type 1/,
    ],
    ['floats that end in the middle', wrap(5, ...wrap(5, ...wrap(6, 1, 2, 3))), /it ends within a field/],
  ];
  for (const [what, bytes, message] of bad) {
    it(`refuses ${what}`, () => {
      assert.throws(() => readInferRequest(Uint8Array.from(bytes)), { fault: 'InvalidArgument', message });
    });
  }

  it('refuses what would take much more memory than its bytes, before taking it', () => {
    const repeat = (bytes: number[], times: number) =>
      Buffer.concat(Array.from({ length: times }, () => Buffer.from(bytes)));
    const delimited = (field: number, bytes: Buffer) => {
      const length: number[] = [];
      for (let rest = bytes.byteLength; ; rest >>>= 7) {
        length.push(rest >= 0x80 ? (rest & 0x7f) | 0x80 : rest);
        if (rest < 0x80) break;
      }
      return Buffer.concat([Buffer.from([field * 8 + 2, ...length]), bytes]);
    };
    const typed = (field: number, bytes: Buffer) => delimited(5, delimited(5, delimited(field, bytes)));
    const cases: readonly [bytes: Buffer, message: RegExp][] = [
      [repeat([5 * 8 + 2, 0], 2000), /more than 1024 inputs/],
      [repeat([7 * 8 + 2, 0], 2000), /more than 1024 raw_input_contents/],
      [repeat([6 * 8 + 2, 0], 2000), /more than 1024 outputs/],
      [
        Buffer.concat(
          Array.from({ length: 300 }, (_, index) => delimited(4, delimited(1, Buffer.from(`k${index}`)))),
        ),
        /more than 256 parameters/,
      ],
      [typed(3, Buffer.alloc(9_000_000)), /more than 8388608 elements in contents/],
      [
        delimited(5, delimited(5, repeat([8 * 8 + 2, 0], 1_100_000))),
        /bytes_contents has 1100000 elements; at most 1048576/,
      ],
    ];
    for (const [bytes, message] of cases) assert.throws(() => readInferRequest(bytes), { message });
    const long = readInferRequest(delimited(5, delimited(3, Buffer.alloc(100_000, 1))));
    assert.throws(
      () =>
        decodeInferRequest({
          ...long,
          inputs: long.inputs.map((one) => ({ ...one, name: 'x', datatype: 'FP32' })),
        }),
      {
        message: /a shape of 1024 dimensions; at most 64 are taken/,
      },
    );
  });
});

describe('writeInferAnswer', () => {
  it('writes what the library reads', () => {
    const size = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    const answer = fc.record({
      model_name: text,
      model_version: text,
      id: text,
      outputs: fc.array(
        fc.record({
          name: text,
          datatype: fc.constantFrom('FP32', 'BYTES'),
          shape: fc.array(size, { maxLength: 4 }),
        }),
        { maxLength: 3 },
      ),
      raw_output_contents: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(answer, (value) => {
        const read = library.responseDeserialize(Buffer.concat(writeInferAnswer(value))) as {
          parameters: object;
          outputs: { parameters: object }[];
        };
        const { parameters: _, ...bare } = read;
        const outputs = read.outputs.map(({ parameters: __, ...output }) => output);
        assert.deepEqual(plain({ ...bare, outputs }), plain(value));
      }),
      { numRuns: 300 },
    );
  });
});
