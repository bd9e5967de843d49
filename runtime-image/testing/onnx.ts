/**
 * Writes small ONNX models for tests and benchmarks: exactly the parts of the public format that they need.
 * Nothing that serves may import this room.
 */

/** Element types by their numbers in the format. */
export const onnxTypes = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
  BF16: 16,
} as const;
export type OnnxType = keyof typeof onnxTypes;

/** A string stands for a dimension of any size. */
export interface Value {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly (number | string)[];
}

export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
}

export interface Constant {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
  /** Little-endian elements; or the name of a file beside the model that holds them. */
  readonly data: Uint8Array | { readonly file: string };
}

export interface Model {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly nodes: readonly Node[];
  readonly constants?: readonly Constant[];
}

/** The bytes of a model file. */
export function encodeModel(model: Model): Buffer {
  const graph = Buffer.concat([
    ...model.nodes.map((node, index) => message(1, encodeNode(node, index))),
    text(2, 'graph'),
    ...(model.constants ?? []).map((constant) => message(5, encodeConstant(constant))),
    ...model.inputs.map((value) => message(11, encodeValue(value))),
    ...model.outputs.map((value) => message(12, encodeValue(value))),
  ]);
  return Buffer.concat([
    number(1, 8),
    message(7, graph),
    message(8, Buffer.concat([text(1, ''), number(2, 17)])),
  ]);
}

/** Gives its inputs back, one output per input, named `out_` and the input's name. */
export function identityModel(inputs: readonly Value[]): Buffer {
  return encodeModel({
    inputs,
    outputs: inputs.map((input) => ({ ...input, name: `out_${input.name}` })),
    nodes: inputs.map(({ name }) => ({ op: 'Identity', inputs: [name], outputs: [`out_${name}`] })),
  });
}

/** A multi-layer perceptron with ReLU between its layers: input `x` [batch, first], output `y` [batch, last]. */
export function perceptron(sizes: readonly number[]): Buffer {
  const layers = sizes.slice(1).map((size, index) => ({ from: sizes[index] ?? 0, size, index }));
  const last = layers.length - 1;
  return encodeModel({
    inputs: [{ name: 'x', type: 'FP32', shape: ['batch', sizes[0] ?? 0] }],
    outputs: [{ name: 'y', type: 'FP32', shape: ['batch', sizes.at(-1) ?? 0] }],
    constants: layers.flatMap(({ from, size, index }) => [
      { name: `w${index}`, type: 'FP32' as const, shape: [from, size], data: weights(from * size, index) },
      { name: `b${index}`, type: 'FP32' as const, shape: [size], data: weights(size, index + 100) },
    ]),
    nodes: layers.flatMap(({ index }) => {
      const input = index === 0 ? 'x' : `h${index - 1}`;
      const output = index === last ? 'y' : `z${index}`;
      const layer: Node = { op: 'Gemm', inputs: [input, `w${index}`, `b${index}`], outputs: [output] };
      return index === last ? [layer] : [layer, { op: 'Relu', inputs: [output], outputs: [`h${index}`] }];
    }),
  });
}

/** Small, and the same every time. */
function weights(count: number, seed: number): Uint8Array {
  let state = seed + 1;
  const values = Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 0.1;
  });
  return new Uint8Array(values.buffer);
}

function encodeNode(node: Node, index: number): Buffer {
  return Buffer.concat([
    ...node.inputs.map((name) => text(1, name)),
    ...node.outputs.map((name) => text(2, name)),
    text(3, `node${index}`),
    text(4, node.op),
    ...Object.entries(node.attributes ?? {}).map(([name, value]) => message(5, encodeAttribute(name, value))),
  ]);
}

function encodeAttribute(name: string, value: number | readonly number[]): Buffer {
  return typeof value === 'number'
    ? Buffer.concat([text(1, name), number(3, value), number(20, 2)])
    : Buffer.concat([text(1, name), ...value.map((one) => number(8, one)), number(20, 7)]);
}

function encodeConstant({ name, type, shape, data }: Constant): Buffer {
  const head = [...shape.map((size) => number(1, size)), number(2, onnxTypes[type]), text(8, name)];
  if (data instanceof Uint8Array) return Buffer.concat([...head, message(9, data)]);
  const location = Buffer.concat([text(1, 'location'), text(2, data.file)]);
  return Buffer.concat([...head, message(13, location), number(14, 1)]);
}

function encodeValue({ name, type, shape }: Value): Buffer {
  const dimensions = shape.map((size) =>
    message(1, typeof size === 'number' ? number(1, size) : text(2, size)),
  );
  const tensor = Buffer.concat([number(1, onnxTypes[type]), message(2, Buffer.concat(dimensions))]);
  return Buffer.concat([text(1, name), message(2, message(1, tensor))]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    if (rest < 0x80n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 0x7fn) | 0x80);
  }
}

function number(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

function message(field: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.byteLength), bytes]);
}

function text(field: number, value: string): Buffer {
  return message(field, Buffer.from(value, 'utf8'));
}
