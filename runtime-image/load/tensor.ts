/** Tensors as a client holds them: little-endian, row-major bytes, with conversions from and to JSON values. */

/** Datatypes of the Open Inference Protocol that have a fixed size, and BYTES. */
export const datatypes = [
  'BOOL',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const;
export type Datatype = (typeof datatypes)[number];

/** A JSON value of one element. 64-bit integers beyond 2^53 lose precision in JSON, as everywhere. */
export type Scalar = number | string | boolean;

export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** Elements in row-major order, little-endian; each element of BYTES begins with its length in 4 bytes. */
  readonly raw: Buffer;
}

interface Codec {
  readonly size: number;
  write(into: Buffer, at: number, value: Scalar): void;
  read(from: Buffer, at: number): number | boolean;
}

const integer = (value: Scalar): bigint => BigInt(value);
const codecs: Readonly<Record<Exclude<Datatype, 'BYTES'>, Codec>> = {
  BOOL: { size: 1, write: (b, i, v) => b.writeUInt8(v ? 1 : 0, i), read: (b, i) => b.readUInt8(i) !== 0 },
  INT8: { size: 1, write: (b, i, v) => b.writeInt8(Number(v), i), read: (b, i) => b.readInt8(i) },
  INT16: { size: 2, write: (b, i, v) => b.writeInt16LE(Number(v), i), read: (b, i) => b.readInt16LE(i) },
  INT32: { size: 4, write: (b, i, v) => b.writeInt32LE(Number(v), i), read: (b, i) => b.readInt32LE(i) },
  INT64: {
    size: 8,
    write: (b, i, v) => b.writeBigInt64LE(integer(v), i),
    read: (b, i) => Number(b.readBigInt64LE(i)),
  },
  UINT8: { size: 1, write: (b, i, v) => b.writeUInt8(Number(v), i), read: (b, i) => b.readUInt8(i) },
  UINT16: { size: 2, write: (b, i, v) => b.writeUInt16LE(Number(v), i), read: (b, i) => b.readUInt16LE(i) },
  UINT32: { size: 4, write: (b, i, v) => b.writeUInt32LE(Number(v), i), read: (b, i) => b.readUInt32LE(i) },
  UINT64: {
    size: 8,
    write: (b, i, v) => b.writeBigUInt64LE(integer(v), i),
    read: (b, i) => Number(b.readBigUInt64LE(i)),
  },
  FP16: {
    size: 2,
    write: (b, i, v) => viewOf(b).setFloat16(i, half(v), true),
    read: (b, i) => viewOf(b).getFloat16(i, true),
  },
  FP32: { size: 4, write: (b, i, v) => b.writeFloatLE(Number(v), i), read: (b, i) => b.readFloatLE(i) },
  FP64: { size: 8, write: (b, i, v) => b.writeDoubleLE(Number(v), i), read: (b, i) => b.readDoubleLE(i) },
};

/** A number beyond the largest of FP16 would silently become infinite. */
function half(value: Scalar): number {
  const number = Number(value);
  if (Number.isFinite(number) && Math.abs(number) > 65_504) throw new RangeError(`${number} is no FP16`);
  return number;
}

/** For what a Buffer has no methods for. */
function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

export function isDatatype(word: unknown): word is Datatype {
  return datatypes.some((datatype) => datatype === word);
}

/** Number of elements of a shape; a scalar's is empty and has one. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** Bytes of `values`. Throws RangeError or TypeError where a value does not fit the datatype. */
export function encode(datatype: Datatype, values: readonly Scalar[]): Buffer {
  if (datatype === 'BYTES') {
    return Buffer.concat(
      values.flatMap((value) => {
        const bytes = Buffer.from(String(value), 'utf8');
        const length = Buffer.alloc(4);
        length.writeUInt32LE(bytes.length);
        return [length, bytes];
      }),
    );
  }
  const { size, write } = codecs[datatype];
  const raw = Buffer.alloc(values.length * size);
  for (const [index, value] of values.entries()) write(raw, index * size, value);
  return raw;
}

/** Values of `raw`. Throws when the bytes do not make up whole elements. */
export function decode(datatype: Datatype, raw: Buffer): Scalar[] {
  const values: Scalar[] = [];
  if (datatype === 'BYTES') {
    for (let at = 0; at < raw.length; ) {
      const end = at + 4 + raw.readUInt32LE(at);
      if (end > raw.length) throw new Error('a BYTES element is longer than its tensor');
      values.push(raw.toString('utf8', at + 4, end));
      at = end;
    }
    return values;
  }
  const { size, read } = codecs[datatype];
  if (raw.length % size !== 0) throw new Error(`${raw.length} bytes are no whole number of ${datatype}`);
  for (let at = 0; at < raw.length; at += size) values.push(read(raw, at));
  return values;
}

/** JSON arrays may be nested as deep as the shape; they are read in row-major order. */
export function flatten(value: unknown): Scalar[] {
  if (Array.isArray(value)) return value.flatMap(flatten);
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') return [value];
  throw new Error(`${JSON.stringify(value)} is no element of a tensor`);
}
