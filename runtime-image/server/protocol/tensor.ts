/** Tensors, requests and answers as the core sees them, whichever wire they came over. */
import { type Datatype, elements, type FixedArray, type FixedDatatype } from './datatypes.ts';
import { invalid, quote } from './errors.ts';

/** Elements of a fixed size: little-endian, row-major, in any alignment. */
export interface FixedTensor {
  readonly name: string;
  readonly datatype: FixedDatatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** BYTES: one entry per element, row-major. */
export interface BytesTensor {
  readonly name: string;
  readonly datatype: 'BYTES';
  readonly shape: readonly number[];
  readonly data: readonly Uint8Array[];
}

export type Tensor = FixedTensor | BytesTensor;

/** One input or output of the model. A dimension of -1 takes any size. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

export interface ModelSpec {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export interface RequestedOutput {
  readonly name: string;
  /** REST only: as raw bytes after the JSON. */
  readonly binary: boolean;
}

export interface InferRequest {
  readonly id: string;
  readonly inputs: readonly Tensor[];
  /** Empty: all of the model's outputs. */
  readonly outputs: readonly RequestedOutput[];
  /** REST only: outputs that say nothing else are sent as raw bytes. */
  readonly binaryOutputs: boolean;
  /** Milliseconds that the client is willing to wait in the queue; 0 means no limit of its own. */
  readonly timeoutMs: number;
}

export interface InferAnswer {
  readonly id: string;
  readonly outputs: readonly Tensor[];
}

/** Dimensions of more than this never come from a real model, and cost time to print. */
const maxRank = 64;

/**
 * Number of elements of a shape that came from outside.
 * @throws InferenceError naming the tensor, when a dimension is no whole number from 0 to 2^31-1, or the product overflows.
 */
export function elementCount(name: string, shape: readonly unknown[]): number {
  if (shape.length > maxRank) {
    throw invalid(
      `input ${quote(name)}: a shape of ${shape.length} dimensions; at most ${maxRank} are taken`,
    );
  }
  let count = 1;
  for (const dimension of shape) {
    if (
      typeof dimension !== 'number' ||
      !Number.isInteger(dimension) ||
      dimension < 0 ||
      dimension > 0x7fff_ffff
    ) {
      throw invalid(
        `input ${quote(name)}: dimension ${show(dimension)} of its shape is not a whole number from 0 to 2147483647`,
      );
    }
    count *= dimension;
    if (!Number.isSafeInteger(count)) {
      throw invalid(`input ${quote(name)}: shape [${shape.join(',')}] has more elements than can be counted`);
    }
  }
  return count;
}

export function show(value: unknown): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value)
      : typeof value === 'object'
        ? (JSON.stringify(value) ?? 'null')
        : String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** The bytes of a typed array, without a copy. The machine is little-endian, as is the protocol. */
export function bytesOf(array: FixedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Typed elements of a tensor; a view where the alignment allows it, else a copy. */
export function arrayOf(tensor: FixedTensor): FixedArray {
  const { array: Elements, size } = elements[tensor.datatype];
  const { data } = tensor;
  const length = data.byteLength / size;
  if (data.buffer instanceof ArrayBuffer && data.byteOffset % size === 0) {
    return new Elements(data.buffer, data.byteOffset, length);
  }
  const aligned = new Uint8Array(data);
  return new Elements(aligned.buffer, 0, length);
}
