/** Puts the inputs of one or several requests into one message, and takes its outputs apart again. Pure. */
import { isOwned } from '../own-buffer.ts';
import { elements } from '../protocol/datatypes.ts';
import type { ModelSpec, Tensor } from '../protocol/tensor.ts';
import type { PlannedRequest } from '../protocol/validate.ts';
import type { OutputTensor, PackedTensor } from './messages.ts';

/** Typed arrays over the buffer need their elements aligned. */
const alignment = 8;

export interface Packed {
  readonly buffer: ArrayBuffer;
  readonly inputs: readonly PackedTensor[];
}

/** Whether rows of different requests can run together: every input and output has a free leading dimension. */
export function isBatchable(spec: ModelSpec): boolean {
  return [...spec.inputs, ...spec.outputs].every(({ shape }) => shape[0] === -1);
}

/** Rows of a request of a batchable model; 0 when its inputs disagree, and it has to run alone. */
export function rowsOf(request: PlannedRequest): number {
  const rows = request.inputs[0]?.shape[0] ?? 0;
  return request.inputs.every((input) => input.shape[0] === rows) ? rows : 0;
}

/** Requests with equal keys differ in nothing but their rows. */
export function batchKey(request: PlannedRequest): string {
  const tails = request.inputs.map(({ shape }) => shape.slice(1).join(','));
  return `${tails.join(';')}|${request.outputs.join('\0')}`;
}

/**
 * The inputs of a request whose memory holds nothing else, where they lie; nobody may look at them afterwards but who gets
 * the buffer.
 * @returns undefined when it has to be packed: it shares its memory, or an input is text or not aligned
 */
export function packInPlace(request: PlannedRequest): Packed | undefined {
  const [first] = request.inputs;
  if (first === undefined || first.datatype === 'BYTES') return undefined;
  const { buffer } = first.data;
  if (!isOwned(buffer)) return undefined;
  const inputs: PackedTensor[] = [];
  for (const { name, datatype, shape, data } of request.inputs) {
    if (datatype === 'BYTES' || data.buffer !== buffer) return undefined;
    if (data.byteOffset % elements[datatype].size !== 0) return undefined;
    inputs.push({ name, datatype, shape, offset: data.byteOffset, bytes: data.byteLength });
  }
  return { buffer, inputs };
}

/**
 * One copy of every input into a buffer of its own, which can then be moved to a worker.
 * @param requests at least one; several only with equal keys
 * @param allocate makes a buffer of at least so many bytes; every byte that is read of it is written here
 */
export function pack(requests: readonly PlannedRequest[], allocate: (bytes: number) => ArrayBuffer): Packed {
  const first = requests[0];
  if (first === undefined) throw new RangeError('a batch has at least one request');
  let total = 0;
  const inputs = first.inputs.map((input, index): PackedTensor => {
    const parts = requests.map((request) => request.inputs[index] as Tensor);
    const shape = requests.length === 1 ? input.shape : [sumRows(parts), ...input.shape.slice(1)];
    if (input.datatype === 'BYTES') {
      return { name: input.name, datatype: 'BYTES', shape, text: parts.flatMap(textOf) };
    }
    const bytes = parts.reduce(
      (sum, part) => sum + (part.datatype === 'BYTES' ? 0 : part.data.byteLength),
      0,
    );
    const packed = { name: input.name, datatype: input.datatype, shape, offset: total, bytes };
    total += Math.ceil(bytes / alignment) * alignment;
    return packed;
  });
  const buffer = allocate(total);
  const target = new Uint8Array(buffer);
  inputs.forEach((packed, index) => {
    if ('text' in packed) return;
    let { offset } = packed;
    for (const request of requests) {
      const part = request.inputs[index] as Tensor;
      if (part.datatype === 'BYTES') continue;
      target.set(part.data, offset);
      offset += part.data.byteLength;
    }
  });
  return { buffer, inputs };
}

function sumRows(parts: readonly Tensor[]): number {
  return parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
}

const utf8 = new TextDecoder();

function textOf(tensor: Tensor): readonly string[] {
  return tensor.datatype === 'BYTES' ? tensor.data.map((element) => utf8.decode(element)) : [];
}

/** The outputs of one request that ran alone. */
export function unpack(outputs: readonly OutputTensor[]): readonly Tensor[] {
  return outputs.map((output) => tensorOf(output, output.shape, output.data));
}

/**
 * The outputs of each request of a batch, as views.
 * @returns undefined when an output does not have one row per row of input: then the model cannot be batched
 */
export function split(
  outputs: readonly OutputTensor[],
  rows: readonly number[],
): readonly (readonly Tensor[])[] | undefined {
  const total = rows.reduce((sum, count) => sum + count, 0);
  if (outputs.some((output) => output.shape[0] !== total)) return undefined;
  let start = 0;
  return rows.map((count) => {
    const from = start;
    start += count;
    return outputs.map((output) => {
      const perRow = output.shape.slice(1).reduce((product, size) => product * size, 1);
      const shape = [count, ...output.shape.slice(1)];
      const unit = output.datatype === 'BYTES' ? perRow : perRow * elements[output.datatype].size;
      const { data } = output;
      const part =
        data instanceof Uint8Array
          ? data.subarray(from * unit, start * unit)
          : data.slice(from * unit, start * unit);
      return tensorOf(output, shape, part);
    });
  });
}

function tensorOf(
  { name, datatype }: OutputTensor,
  shape: readonly number[],
  data: Uint8Array | readonly string[],
): Tensor {
  if (data instanceof Uint8Array) {
    if (datatype === 'BYTES') throw new TypeError(`output ${name} is text, and came as numbers`);
    return { name, datatype, shape, data };
  }
  return { name, datatype: 'BYTES', shape, data: data.map((text) => Buffer.from(text, 'utf8')) };
}
