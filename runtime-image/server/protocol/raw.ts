/**
 * Raw tensor contents, as in gRPC `raw_input_contents` and in binary tensors over REST: little-endian, row-major;
 * BYTES elements each carry a 4-byte length before them.
 */
import { type Datatype, elements } from './datatypes.ts';
import { invalid, quote } from './errors.ts';
import { maxBytesElements } from './limits.ts';
import { elementCount, type Tensor } from './tensor.ts';

/**
 * A tensor over the given bytes, without a copy.
 * @throws InferenceError when the size is not exactly what the shape and the datatype make it.
 */
export function decodeRaw(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  raw: Uint8Array,
): Tensor {
  const count = elementCount(name, shape);
  if (datatype === 'BYTES') return { name, datatype, shape, data: splitBytes(name, count, raw) };
  const expected = count * elements[datatype].size;
  if (raw.byteLength !== expected) {
    throw invalid(
      `input ${quote(name)}: ${raw.byteLength} bytes of raw contents; ${datatype} of shape [${shape.join(',')}] has ${expected}`,
    );
  }
  if (datatype === 'BOOL') checkBooleans(name, raw);
  return { name, datatype, shape, data: raw };
}

/** A byte that is neither 0 nor 1 is undefined behaviour in a native bool. */
function checkBooleans(name: string, raw: Uint8Array): void {
  const index = raw.findIndex((byte) => byte > 1);
  if (index >= 0) {
    throw invalid(`input ${quote(name)}: byte ${index} of its raw contents is ${raw[index]}; BOOL is 0 or 1`);
  }
}

function splitBytes(name: string, count: number, raw: Uint8Array): readonly Uint8Array[] {
  if (count > maxBytesElements) {
    throw invalid(`input ${quote(name)} has ${count} BYTES elements; at most ${maxBytesElements} are taken`);
  }
  // Checked before anything is allocated: each element takes at least its length word.
  if (count * 4 > raw.byteLength) {
    throw invalid(
      `input ${quote(name)}: ${raw.byteLength} bytes of raw contents cannot hold ${count} BYTES elements`,
    );
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const data: Uint8Array[] = [];
  let offset = 0;
  for (let index = 0; index < count; index++) {
    const length = offset + 4 <= raw.byteLength ? view.getUint32(offset, true) : Number.POSITIVE_INFINITY;
    const end = offset + 4 + length;
    if (end > raw.byteLength) {
      throw invalid(
        `input ${quote(name)}: BYTES element ${index} ends after its ${raw.byteLength} bytes of raw contents`,
      );
    }
    data.push(raw.subarray(offset + 4, end));
    offset = end;
  }
  if (offset !== raw.byteLength) {
    throw invalid(
      `input ${quote(name)}: ${raw.byteLength - offset} bytes of raw contents are left over after ${count} BYTES elements`,
    );
  }
  return data;
}

/** Raw contents of a tensor; fixed sizes without a copy. */
export function encodeRaw(tensor: Tensor): Uint8Array {
  if (tensor.datatype !== 'BYTES') return tensor.data;
  const total = tensor.data.reduce((sum, element) => sum + 4 + element.byteLength, 0);
  const raw = new Uint8Array(total);
  const view = new DataView(raw.buffer);
  let offset = 0;
  for (const element of tensor.data) {
    view.setUint32(offset, element.byteLength, true);
    raw.set(element, offset + 4);
    offset += 4 + element.byteLength;
  }
  return raw;
}
