import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { joinOwned } from '../own-buffer.ts';
import { fromValues } from '../protocol/elements.ts';
import type { Tensor } from '../protocol/tensor.ts';
import type { PlannedRequest } from '../protocol/validate.ts';
import { batchKey, isBatchable, pack, packInPlace, rowsOf, split, unpack } from './batch.ts';
import type { OutputTensor } from './messages.ts';

const floats = (shape: number[], ...values: number[]): Tensor => fromValues('x', 'FP32', shape, values);
const words = (shape: number[], ...values: string[]): Tensor => ({
  name: 's',
  datatype: 'BYTES',
  shape,
  data: values.map((one) => Buffer.from(one)),
});
const fresh = (bytes: number) => new ArrayBuffer(bytes);
const request = (...inputs: Tensor[]): PlannedRequest => ({ inputs, outputs: ['y'] });

describe('batches', () => {
  it('puts the rows of several requests behind one another, aligned', () => {
    const bools = (...values: boolean[]): Tensor => fromValues('b', 'BOOL', [values.length], values);
    const packed = pack(
      [
        request(bools(true), floats([1, 2], 1, 2), words([1], 'a')),
        request(bools(false, true), floats([2, 2], 3, 4, 5, 6), words([2], 'b', 'c')),
      ],
      fresh,
    );
    assert.deepEqual(packed.inputs, [
      { name: 'b', datatype: 'BOOL', shape: [3], offset: 0, bytes: 3 },
      { name: 'x', datatype: 'FP32', shape: [3, 2], offset: 8, bytes: 24 },
      { name: 's', datatype: 'BYTES', shape: [3], text: ['a', 'b', 'c'] },
    ]);
    assert.deepEqual(new Uint8Array(packed.buffer, 0, 3), Uint8Array.of(1, 0, 1));
    assert.deepEqual(new Float32Array(packed.buffer, 8, 6), Float32Array.of(1, 2, 3, 4, 5, 6));
  });

  it('leaves inputs where they lie, if their memory is their own and they are aligned', () => {
    const memory = joinOwned([new Uint8Array(28)], 28);
    const view = (name: string, from: number, to: number): Tensor => ({
      name,
      datatype: 'FP32',
      shape: [(to - from) / 4],
      data: memory.subarray(from, to),
    });
    const { byteOffset: start, buffer } = memory;
    assert.deepEqual(packInPlace(request(view('x', 0, 8), view('y', 8, 28))), {
      buffer,
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [2], offset: start, bytes: 8 },
        { name: 'y', datatype: 'FP32', shape: [5], offset: start + 8, bytes: 20 },
      ],
    });
    assert.equal(packInPlace(request(view('x', 1, 9))), undefined, 'not aligned');
    assert.equal(packInPlace(request(view('x', 0, 8), floats([1], 1))), undefined, 'memory of two');
    assert.equal(packInPlace(request(view('x', 0, 8), words([1], 'a'))), undefined, 'text');
    assert.equal(packInPlace(request(floats([1], 1))), undefined, 'memory that others may use');
  });

  it('takes data of any alignment', () => {
    const bytes = new Uint8Array(9);
    new DataView(bytes.buffer).setFloat32(1, 2.5, true);
    const packed = pack(
      [request({ name: 'x', datatype: 'FP32', shape: [2], data: bytes.subarray(1) })],
      fresh,
    );
    assert.deepEqual(new Float32Array(packed.buffer, 0, 2), Float32Array.of(2.5, 0));
  });

  it('splits outputs by rows', () => {
    const numbers = Float32Array.of(1, 2, 3, 4, 5, 6);
    const outputs: OutputTensor[] = [
      { name: 'y', datatype: 'FP32', shape: [3, 2], data: new Uint8Array(numbers.buffer) },
      { name: 't', datatype: 'BYTES', shape: [3], data: ['a', 'b', 'c'] },
    ];
    const parts = split(outputs, [1, 2]);
    const expected = [
      [
        { ...floats([1, 2], 1, 2), name: 'y' },
        { ...words([1], 'a'), name: 't' },
      ],
      [
        { ...floats([2, 2], 3, 4, 5, 6), name: 'y' },
        { ...words([2], 'b', 'c'), name: 't' },
      ],
    ];
    assert.deepEqual(JSON.stringify(parts), JSON.stringify(expected));
    assert.equal(split(outputs, [1, 1]), undefined, 'another number of rows than went in');
    assert.deepEqual(unpack(outputs)[0]?.shape, [3, 2]);
  });

  it('knows what can be batched with what', () => {
    const spec = (shape: number[]) => ({ name: 'x', datatype: 'FP32' as const, shape });
    assert.ok(isBatchable({ inputs: [spec([-1, 3])], outputs: [spec([-1])] }));
    assert.ok(!isBatchable({ inputs: [spec([-1, 3]), spec([])], outputs: [spec([-1])] }));
    assert.ok(!isBatchable({ inputs: [spec([-1])], outputs: [spec([2, -1])] }));
    assert.equal(rowsOf(request(floats([2], 1, 2), words([2], 'a', 'b'))), 2);
    assert.equal(rowsOf(request(floats([2], 1, 2), words([1], 'a'))), 0);
    assert.equal(batchKey(request(floats([1, 2], 1, 2))), batchKey(request(floats([2, 2], 1, 2, 3, 4))));
    assert.notEqual(batchKey(request(floats([1, 2], 1, 2))), batchKey(request(floats([1, 3], 1, 2, 3))));
  });
});
