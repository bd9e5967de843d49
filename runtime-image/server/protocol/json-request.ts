/** Decodes the REST inference request: JSON, optionally followed by the raw bytes of binary tensors. Pure. */
import { datatypes, isDatatype } from './datatypes.ts';
import { fromValues } from './elements.ts';
import { InferenceError, invalid, quote } from './errors.ts';
import { depthOf, quoteLargeIntegers } from './json-text.ts';
import { maxBytesElements, maxJsonBytes, maxJsonDepth } from './limits.ts';
import { decodeRaw } from './raw.ts';
import { elementCount, type InferRequest, type RequestedOutput, show, type Tensor } from './tensor.ts';

type Json = Readonly<Record<string, unknown>>;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * @param body the whole body
 * @param headerLength bytes of JSON at its beginning (`Inference-Header-Content-Length`); undefined when all of it is JSON
 * @throws InferenceError naming the input
 */
export function decodeJsonRequest(body: Uint8Array, headerLength?: number): InferRequest {
  if (headerLength !== undefined && headerLength > body.byteLength) {
    throw invalid(
      `Inference-Header-Content-Length is ${headerLength}, and the body has only ${body.byteLength} bytes`,
    );
  }
  const end = headerLength ?? body.byteLength;
  if (end > maxJsonBytes) {
    throw new InferenceError(
      'TooLarge',
      `${end} bytes of JSON; at most ${maxJsonBytes} are taken, send tensors as binary data`,
    );
  }
  const text = decodeText(body.subarray(0, end));
  const binary = new BinaryPart(body.subarray(end));
  const request = parse(text);
  let exact: Json | undefined;
  // JSON.parse rounds 64-bit integers. Parsing again with them as text takes as long once more, so only when one needs it.
  const inputsAsText = () => {
    exact ??= parse(quoteLargeIntegers(text));
    return field(exact, 'inputs', Array.isArray, 'an array') ?? [];
  };
  const inputs = field(request, 'inputs', Array.isArray, 'an array');
  if (inputs === undefined) throw invalid('the request has no "inputs"');
  const tensors = inputs.map((input, index) =>
    decodeInput(input, index, binary, () => inputsAsText()[index] as Json),
  );
  binary.finish();
  const parameters = parametersOf(request, 'the request');
  refuseUnsupported(parameters, 'the request');
  return {
    id: decodeId(request['id']),
    inputs: tensors,
    outputs: decodeOutputs(request),
    binaryOutputs: flag(parameters, 'binary_data_output', 'the request'),
    timeoutMs: decodeTimeout(parameters['timeout']),
  };
}

function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw invalid('the request is not valid UTF-8');
  }
}

function parse(text: string): Json {
  // Only what is long can be deep enough to matter.
  if (text.length > 65_536 && depthOf(text) > maxJsonDepth) {
    throw invalid(`the request is nested more than ${maxJsonDepth} levels deep`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw invalid(`the request is not valid JSON: ${why.slice(0, 200)}`);
  }
  if (!isObject(value)) throw invalid('the request is not a JSON object');
  return value;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own field of the right type, or undefined when it is absent or null. */
function field<T>(of: Json, name: string, is: (value: unknown) => value is T, type: string): T | undefined {
  const value = Object.hasOwn(of, name) ? of[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (!is(value)) throw invalid(`"${name}" is ${show(value)}; it has to be ${type}`);
  return value;
}

function decodeId(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw invalid(`"id" is ${show(value)}; it has to be a string`);
  return value;
}

function parametersOf(of: Json, where: string): Json {
  const parameters = Object.hasOwn(of, 'parameters') ? of['parameters'] : undefined;
  if (parameters === undefined || parameters === null) return {};
  if (!isObject(parameters)) throw invalid(`${where}: "parameters" is not an object`);
  return parameters;
}

function flag(parameters: Json, name: string, where: string): boolean {
  const value = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
  if (value === undefined) return false;
  if (typeof value !== 'boolean')
    throw invalid(`${where}: parameter "${name}" is ${show(value)}; it has to be a boolean`);
  return value;
}

/** Parameters that would change the answer, and that this server does not know, must not be passed over in silence. */
export function refuseUnsupported(parameters: Json, where: string): void {
  for (const name of ['classification', 'shared_memory_region', 'sequence_id']) {
    const value = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    const off = value === undefined || value === null || value === 0 || value === '0' || value === '';
    if (!off) throw invalid(`${where}: parameter "${name}" is not supported by this server`);
  }
}

/** Triton's `timeout`: microseconds that the request may take. */
export function decodeTimeout(value: unknown): number {
  if (value === undefined || value === null) return 0;
  const micros = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof micros !== 'number' || !Number.isInteger(micros) || micros < 0) {
    throw invalid(`parameter "timeout" is ${show(value)}; it has to be a whole number of microseconds`);
  }
  return micros / 1000;
}

function decodeOutputs(request: Json): readonly RequestedOutput[] {
  const outputs = field(request, 'outputs', Array.isArray, 'an array') ?? [];
  const byDefault = flag(parametersOf(request, 'the request'), 'binary_data_output', 'the request');
  return outputs.map((output: unknown, index) => {
    if (!isObject(output) || typeof output['name'] !== 'string')
      throw invalid(`outputs[${index}] has no "name"`);
    const name = output['name'];
    const where = `output ${quote(name)}`;
    const parameters = parametersOf(output, where);
    refuseUnsupported(parameters, where);
    const binary = Object.hasOwn(parameters, 'binary_data')
      ? flag(parameters, 'binary_data', where)
      : byDefault;
    return { name, binary };
  });
}

function decodeInput(input: unknown, index: number, binary: BinaryPart, exact: () => Json): Tensor {
  if (!isObject(input)) throw invalid(`inputs[${index}] is not an object`);
  const { name, datatype, shape } = input;
  if (typeof name !== 'string' || name === '') throw invalid(`inputs[${index}] has no "name"`);
  if (!isDatatype(datatype)) {
    throw invalid(`input ${quote(name)}: datatype ${show(datatype)} is none of ${datatypes.join(', ')}`);
  }
  if (!Array.isArray(shape)) throw invalid(`input ${quote(name)} has no "shape"`);
  const count = elementCount(name, shape);
  const dimensions: readonly number[] = shape;
  const where = `input ${quote(name)}`;
  const parameters = parametersOf(input, where);
  refuseUnsupported(parameters, where);
  const size = parameters['binary_data_size'];
  const data = Object.hasOwn(input, 'data') ? input['data'] : undefined;
  if (size !== undefined) {
    if (data !== undefined) throw invalid(`${where} has both "data" and parameter "binary_data_size"`);
    return decodeRaw(name, datatype, dimensions, binary.take(name, size));
  }
  if (!Array.isArray(data)) throw invalid(`${where} has no "data"`);
  if (datatype === 'BYTES' && count > maxBytesElements) {
    throw invalid(`${where} has ${count} BYTES elements; at most ${maxBytesElements} are taken`);
  }
  const values = flatten(name, data, dimensions, count);
  if (datatype === 'BYTES') return { name, datatype, shape: dimensions, data: encodeStrings(name, values) };
  const big = datatype === 'INT64' || datatype === 'UINT64';
  if (big && values.some((value) => typeof value === 'number' && !Number.isSafeInteger(value))) {
    onlyNumbers(name, values);
    const precise = exact()['data'] as readonly unknown[];
    return fromValues(name, datatype, dimensions, flatten(name, precise, dimensions, count));
  }
  return fromValues(name, datatype, dimensions, onlyNumbers(name, values));
}

/** Decimal strings are how protobuf hands over 64-bit integers; in JSON a string is not a number, and 1e999 parses as infinity. */
function onlyNumbers(name: string, values: readonly unknown[]): readonly unknown[] {
  const index = values.findIndex((value) => typeof value === 'string');
  if (index >= 0) throw invalid(`input ${quote(name)}: element ${index} is a string, ${show(values[index])}`);
  const infinite = values.findIndex((value) => value === Infinity || value === -Infinity);
  if (infinite >= 0) throw invalid(`input ${quote(name)}: element ${infinite} is too large for any datatype`);
  return values;
}

function encodeStrings(name: string, values: readonly unknown[]): readonly Uint8Array[] {
  return values.map((value, index) => {
    if (typeof value !== 'string') {
      throw invalid(`input ${quote(name)}: element ${index}, ${show(value)}, is no BYTES (a string)`);
    }
    return Buffer.from(value, 'utf8');
  });
}

/** Data may be flat or nested as the shape is; either way it has exactly as many elements as the shape. */
function flatten(
  name: string,
  data: readonly unknown[],
  shape: readonly number[],
  count: number,
): readonly unknown[] {
  const values = shape.length > 1 && Array.isArray(data[0]) ? nested(name, data, shape) : data;
  if (values.length !== count) {
    throw invalid(
      `input ${quote(name)} has ${values.length} elements; shape [${shape.join(',')}] has ${count}`,
    );
  }
  return values;
}

function nested(name: string, data: readonly unknown[], shape: readonly number[]): readonly unknown[] {
  let level: readonly unknown[] = [data];
  shape.forEach((dimension, depth) => {
    const next: unknown[] = [];
    for (const part of level) {
      if (!Array.isArray(part) || part.length !== dimension) {
        throw invalid(
          `input ${quote(name)}: its nested data does not have shape [${shape.join(',')}] at depth ${depth}`,
        );
      }
      for (const value of part) next.push(value);
    }
    level = next;
  });
  return level;
}

/** The bytes after the JSON, handed out to the inputs in their order. */
class BinaryPart {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(name: string, size: unknown): Uint8Array {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw invalid(`input ${quote(name)}: "binary_data_size" is ${show(size)}; it has to be a whole number`);
    }
    const left = this.#bytes.byteLength - this.#offset;
    if (size > left) {
      throw invalid(
        `input ${quote(name)}: "binary_data_size" is ${size}, and ${left} bytes of binary data are left`,
      );
    }
    this.#offset += size;
    return this.#bytes.subarray(this.#offset - size, this.#offset);
  }

  finish(): void {
    const left = this.#bytes.byteLength - this.#offset;
    if (left > 0) {
      throw new InferenceError('InvalidArgument', `${left} bytes of binary data belong to no input`);
    }
  }
}
