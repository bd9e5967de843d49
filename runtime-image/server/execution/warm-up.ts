/** Synthetic inputs for the run that comes before the first request: it allocates arenas and compiles kernels. Pure. */
import { elements } from '../protocol/datatypes.ts';
import type { ModelSpec, TensorSpec } from '../protocol/tensor.ts';
import type { PackedTensor } from './messages.ts';

/** Sizes tried, in turn, for every dynamic dimension that is not the leading one (which is 1, the batch). */
export const candidateSizes: readonly number[] = [1, 16, 256, 512, 224, 1024];

/** A warm-up is to be cheap: bigger inputs than this are not made up. */
const maxBytes = 256 * 1024 * 1024;

export interface WarmUpInput {
  readonly buffer: ArrayBuffer;
  readonly inputs: readonly PackedTensor[];
}

/** Zeros in the model's shapes; one try per candidate size, a single one when nothing but the batch is dynamic. */
export function warmUpInputs(spec: ModelSpec): readonly WarmUpInput[] {
  const free = spec.inputs.some(({ shape }) => shape.slice(1).includes(-1));
  return (free ? candidateSizes : candidateSizes.slice(0, 1)).flatMap((size) => {
    const input = zeros(spec.inputs, size);
    return input === undefined ? [] : [input];
  });
}

function zeros(specs: readonly TensorSpec[], size: number): WarmUpInput | undefined {
  let offset = 0;
  const inputs = specs.map((spec): PackedTensor => {
    const shape = spec.shape.map((dimension, index) =>
      dimension >= 0 ? dimension : batchAxis(spec, index) ? 1 : size,
    );
    const count = shape.reduce((product, dimension) => product * dimension, 1);
    if (spec.datatype === 'BYTES') {
      const text = Array.from({ length: Math.min(count, 4096) }, () => '');
      return { name: spec.name, datatype: 'BYTES', shape, text };
    }
    const bytes = count * elements[spec.datatype].size;
    const packed = { name: spec.name, datatype: spec.datatype, shape, offset, bytes };
    offset += Math.ceil(bytes / 8) * 8;
    return packed;
  });
  return offset <= maxBytes ? { buffer: new ArrayBuffer(offset), inputs } : undefined;
}

/** The leading dimension; or, as in recurrent states shaped [layers, batch, width], the only dynamic one. */
function batchAxis(spec: TensorSpec, index: number): boolean {
  return index === 0 || spec.shape.filter((dimension) => dimension === -1).length === 1;
}
