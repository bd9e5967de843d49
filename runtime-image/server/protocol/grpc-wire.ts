/**
 * ModelInferRequest from its bytes, and ModelInferResponse to its bytes, by the field numbers of inference.proto. A
 * general protobuf library makes an object of everything before anybody can look at how much that is; this reader
 * counts first, and leaves raw contents where they are.
 */
import { invalid } from './errors.ts';
import { maxBytesElements, maxParameters, maxTensors, maxTypedElements } from './limits.ts';
import type {
  Contents,
  InferAnswerMessage,
  InferRequestMessage,
  InputMessage,
  Parameter,
} from './messages.ts';
import { countVarints, WireReader, wireTypes } from './wire.ts';

/** A shape longer than this is refused later, with its length; there is no need to hold more of it. */
const maxShape = 1024;

type Parameters = Record<string, Parameter>;

/** @throws InferenceError when the bytes are no such message, or more than a request may be */
export function readInferRequest(bytes: Uint8Array): InferRequestMessage {
  const reader = new WireReader(bytes);
  const message = { model_name: '', model_version: '', id: '' };
  const inputs: InputMessage[] = [];
  const outputs: { name: string; parameters: Parameters }[] = [];
  const raw_input_contents: Uint8Array[] = [];
  const parameters: Parameters = {};
  const budget = { elements: maxTypedElements };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) message.model_name = reader.text('model_name');
    else if (field === 2) message.model_version = reader.text('model_version');
    else if (field === 3) message.id = reader.text('id');
    else if (field === 4) readParameter(part(reader, 'parameters'), parameters);
    else if (field === 5) add(inputs, readInput(part(reader, 'inputs'), budget), 'inputs');
    else if (field === 6) add(outputs, readOutput(part(reader, 'outputs')), 'outputs');
    else if (field === 7) add(raw_input_contents, part(reader, 'raw_input_contents'), 'raw_input_contents');
    else reader.skip();
  }
  return { ...message, parameters, inputs, outputs, raw_input_contents };
}

function part(reader: WireReader, name: string): Uint8Array {
  reader.expect(wireTypes.bytes, name);
  return reader.bytes();
}

function add<T>(list: T[], item: T, name: string): void {
  if (list.length >= maxTensors) throw invalid(`the request has more than ${maxTensors} ${name}`);
  list.push(item);
}

function readInput(bytes: Uint8Array, budget: { elements: number }): InputMessage {
  const reader = new WireReader(bytes);
  const shape: number[] = [];
  const parameters: Parameters = {};
  let name = '';
  let datatype = '';
  let contents: Contents | null = null;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) name = reader.text('name');
    else if (field === 2) datatype = reader.text('datatype');
    else if (field === 3) readShape(reader, shape);
    else if (field === 4) readParameter(part(reader, 'parameters'), parameters);
    else if (field === 5) contents = readContents(part(reader, 'contents'), budget);
    else reader.skip();
  }
  return { name, datatype, shape, parameters, contents };
}

function readShape(reader: WireReader, shape: number[]): void {
  if (reader.wireType !== wireTypes.bytes) {
    reader.expect(wireTypes.varint, 'shape');
    if (shape.length < maxShape) shape.push(reader.size());
    else reader.skip();
    return;
  }
  const packed = new WireReader(reader.bytes());
  while (!packed.done && shape.length < maxShape) shape.push(packed.size());
}

function readOutput(bytes: Uint8Array): { name: string; parameters: Parameters } {
  const reader = new WireReader(bytes);
  const parameters: Parameters = {};
  let name = '';
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) name = reader.text('name');
    else if (field === 2) readParameter(part(reader, 'parameters'), parameters);
    else reader.skip();
  }
  return { name, parameters };
}

/** One entry of a map: key 1, value 2. */
function readParameter(bytes: Uint8Array, into: Parameters): void {
  const reader = new WireReader(bytes);
  let key = '';
  let value: Parameter = {};
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) key = reader.text('key');
    else if (field === 2) value = readValue(new WireReader(part(reader, 'value')));
    else reader.skip();
  }
  if (Object.keys(into).length >= maxParameters)
    throw invalid(`there are more than ${maxParameters} parameters`);
  // Not by assignment: `__proto__` is a key like any other.
  Object.defineProperty(into, key, { value, enumerable: true, configurable: true, writable: true });
}

function readValue(reader: WireReader): Parameter {
  let value: Parameter = {};
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) {
      reader.expect(wireTypes.varint, 'bool_param');
      value = { parameter_choice: 'bool_param', bool_param: reader.uint64() !== 0n };
    } else if (field === 2) {
      reader.expect(wireTypes.varint, 'int64_param');
      value = { parameter_choice: 'int64_param', int64_param: String(reader.int64()) };
    } else if (field === 3) {
      value = { parameter_choice: 'string_param', string_param: reader.text('string_param') };
    } else if (field === 4) {
      reader.expect(wireTypes.fixed64, 'double_param');
      value = { parameter_choice: 'double_param', double_param: reader.double() };
    } else if (field === 5) {
      reader.expect(wireTypes.varint, 'uint64_param');
      value = { parameter_choice: 'uint64_param', uint64_param: String(reader.uint64()) };
    } else reader.skip();
  }
  return value;
}

type Numbers = { length: number; [index: number]: number };
type Bigs = { length: number; [index: number]: bigint };

/** The fields of InferTensorContents that hold numbers: how one is encoded, and what they are read into. */
const numberFields = [
  undefined,
  {
    name: 'bool_contents',
    wireType: wireTypes.varint,
    make: (count: number): unknown[] => new Array(count).fill(false),
    read: (reader: WireReader) => reader.uint64() !== 0n,
  },
  {
    name: 'int_contents',
    wireType: wireTypes.varint,
    make: (count: number): Numbers => new Int32Array(count),
    read: (reader: WireReader) => reader.uint32() | 0,
  },
  {
    name: 'int64_contents',
    wireType: wireTypes.varint,
    make: (count: number): Bigs => new BigInt64Array(count),
    read: (reader: WireReader) => reader.int64(),
  },
  {
    name: 'uint_contents',
    wireType: wireTypes.varint,
    make: (count: number): Numbers => new Uint32Array(count),
    read: (reader: WireReader) => reader.uint32(),
  },
  {
    name: 'uint64_contents',
    wireType: wireTypes.varint,
    make: (count: number): Bigs => new BigUint64Array(count),
    read: (reader: WireReader) => reader.uint64(),
  },
  {
    name: 'fp32_contents',
    wireType: wireTypes.fixed32,
    make: (count: number): Numbers => new Float32Array(count),
    read: (reader: WireReader) => reader.float(),
  },
  {
    name: 'fp64_contents',
    wireType: wireTypes.fixed64,
    make: (count: number): Numbers => new Float64Array(count),
    read: (reader: WireReader) => reader.double(),
  },
] as const;
const bytesField = 8;

function readContents(bytes: Uint8Array, budget: { elements: number }): Contents {
  const counts = countContents(bytes);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total > budget.elements) {
    throw invalid(
      `the request has more than ${maxTypedElements} elements in contents; send them in raw_input_contents`,
    );
  }
  budget.elements -= total;
  if ((counts[bytesField] ?? 0) > maxBytesElements) {
    throw invalid(`bytes_contents has ${counts[bytesField]} elements; at most ${maxBytesElements} are taken`);
  }
  const contents: Record<string, ArrayLike<unknown>> = {};
  const strings: Uint8Array[] = [];
  const filled: number[] = [];
  const reader = new WireReader(bytes);
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    const kind = numberFields[field];
    if (field === bytesField) strings.push(reader.bytes());
    else if (kind === undefined) reader.skip();
    else {
      contents[kind.name] ??= kind.make(counts[field] ?? 0);
      const array = contents[kind.name] as unknown[];
      let at = filled[field] ?? 0;
      if (reader.wireType === wireTypes.bytes) {
        const packed = new WireReader(reader.bytes());
        while (!packed.done) array[at++] = kind.read(packed);
      } else array[at++] = kind.read(reader);
      filled[field] = at;
    }
  }
  return strings.length > 0 ? { ...contents, bytes_contents: strings } : contents;
}

/** Elements by field number, before room is made for any. */
function countContents(bytes: Uint8Array): number[] {
  const counts: number[] = [];
  const reader = new WireReader(bytes);
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    const kind = numberFields[field];
    let more = 1;
    if (field === bytesField) {
      reader.expect(wireTypes.bytes, 'bytes_contents');
      reader.skip();
    } else if (kind !== undefined && reader.wireType === wireTypes.bytes) {
      const packed = reader.bytes();
      const size = kind.wireType === wireTypes.fixed32 ? 4 : 8;
      more = kind.wireType === wireTypes.varint ? countVarints(packed) : Math.ceil(packed.byteLength / size);
    } else {
      if (kind !== undefined) reader.expect(kind.wireType, kind.name);
      reader.skip();
    }
    counts[field] = (counts[field] ?? 0) + more;
  }
  // Fields that are not known hold nothing.
  return Array.from({ length: bytesField + 1 }, (_, field) => counts[field] ?? 0);
}

/** The bytes of a ModelInferResponse, in pieces: contents of tensors are not copied. */
export function writeInferAnswer(message: InferAnswerMessage): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const text = (field: number, value: string) =>
    value !== '' && delimited(pieces, field, Buffer.from(value, 'utf8'));
  text(1, message.model_name);
  text(2, message.model_version);
  text(3, message.id);
  for (const { name, datatype, shape } of message.outputs) {
    const output: Uint8Array[] = [];
    if (name !== '') delimited(output, 1, Buffer.from(name, 'utf8'));
    delimited(output, 2, Buffer.from(datatype, 'latin1'));
    if (shape.length > 0) delimited(output, 3, Buffer.from(shape.flatMap(varint)));
    delimited(pieces, 5, Buffer.concat(output));
  }
  for (const raw of message.raw_output_contents ?? []) delimited(pieces, 6, raw);
  return pieces;
}

function delimited(pieces: Uint8Array[], field: number, bytes: Uint8Array): void {
  pieces.push(Uint8Array.from([(field << 3) | wireTypes.bytes, ...varint(bytes.byteLength)]), bytes);
}

/** @param value a whole number from 0 to 2^53-1 */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return bytes;
}
