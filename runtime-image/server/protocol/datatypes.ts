/** The datatypes of the Open Inference Protocol that this server carries, and what each is in JavaScript. */

export const datatypes = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const;
export type Datatype = (typeof datatypes)[number];
export type FixedDatatype = Exclude<Datatype, 'BYTES'>;

/** Arrays whose elements are JavaScript numbers. */
export type NumberArray =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float16Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;
export type BigArray = BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>;
export type FixedArray = NumberArray | BigArray;

type NumberArrayConstructor = {
  new (length: number): NumberArray;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): NumberArray;
};
type BigArrayConstructor = {
  new (length: number): BigArray;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): BigArray;
};

/**
 * `bool` and `integer` and `float` are held as numbers, `big` as BigInt. `min` and `max` are inclusive; for a float they are the
 * largest finite values, beyond which a number would silently become infinite.
 */
export type Element =
  | {
      readonly kind: 'bool' | 'integer' | 'float';
      readonly size: number;
      readonly min: number;
      readonly max: number;
      readonly array: NumberArrayConstructor;
    }
  | {
      readonly kind: 'big';
      readonly size: number;
      readonly min: bigint;
      readonly max: bigint;
      readonly array: BigArrayConstructor;
    };

const integer = (size: number, min: number, max: number, array: NumberArrayConstructor): Element => ({
  kind: 'integer',
  size,
  min,
  max,
  array,
});
const float = (size: number, max: number, array: NumberArrayConstructor): Element => ({
  kind: 'float',
  size,
  min: -max,
  max,
  array,
});

export const elements: Readonly<Record<FixedDatatype, Element>> = {
  BOOL: { kind: 'bool', size: 1, min: 0, max: 1, array: Uint8Array },
  UINT8: integer(1, 0, 0xff, Uint8Array),
  UINT16: integer(2, 0, 0xffff, Uint16Array),
  UINT32: integer(4, 0, 0xffff_ffff, Uint32Array),
  UINT64: { kind: 'big', size: 8, min: 0n, max: 2n ** 64n - 1n, array: BigUint64Array },
  INT8: integer(1, -0x80, 0x7f, Int8Array),
  INT16: integer(2, -0x8000, 0x7fff, Int16Array),
  INT32: integer(4, -0x8000_0000, 0x7fff_ffff, Int32Array),
  INT64: { kind: 'big', size: 8, min: -(2n ** 63n), max: 2n ** 63n - 1n, array: BigInt64Array },
  FP16: float(2, 65_504, Float16Array),
  FP32: float(4, 3.4028234663852886e38, Float32Array),
  FP64: float(8, Number.MAX_VALUE, Float64Array),
};

export function isDatatype(word: unknown): word is Datatype {
  return (datatypes as readonly unknown[]).includes(word);
}

/** ONNX Runtime's element type names. Types that are missing here cannot be carried. */
const onnxTypes: Readonly<Record<string, Datatype>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
};

export function datatypeOfOnnx(type: string): Datatype | undefined {
  return onnxTypes[type];
}

const onnxNames = Object.fromEntries(Object.entries(onnxTypes).map(([onnx, datatype]) => [datatype, onnx]));

export function onnxTypeOf(datatype: Datatype): string {
  return onnxNames[datatype] as string;
}
