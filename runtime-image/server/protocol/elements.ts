/** Typed contents: JavaScript values from JSON or protobuf to elements of a datatype, each checked, and back. */
import { type BigArray, elements, type FixedDatatype, type NumberArray } from './datatypes.ts';
import { invalid, quote } from './errors.ts';
import { bytesOf, type FixedTensor, show } from './tensor.ts';

/**
 * Elements of a fixed-size tensor.
 * @param values one per element, row-major: booleans, numbers, or for 64-bit integers also BigInts and decimal strings
 * @throws InferenceError naming the input and the index of the first value that its datatype cannot hold
 */
export function fromValues(
  name: string,
  datatype: FixedDatatype,
  shape: readonly number[],
  values: ArrayLike<unknown>,
): FixedTensor {
  const element = elements[datatype];
  const refuse = (index: number) =>
    invalid(
      `input ${quote(name)}: element ${index}, ${show(values[index])}, is no ${datatype}${hint(values[index], datatype)}`,
    );
  if (element.kind === 'big') {
    const array = new element.array(values.length);
    fillBig(array, values, element.min, element.max, refuse);
    return { name, datatype, shape, data: bytesOf(array) };
  }
  const array = new element.array(values.length);
  if (element.kind === 'bool') fillBooleans(array, values, refuse);
  else fillNumbers(array, values, element.min, element.max, element.kind === 'integer', refuse);
  return { name, datatype, shape, data: bytesOf(array) };
}

function hint(value: unknown, datatype: FixedDatatype): string {
  if (value === null) return ' (JSON has no NaN or infinity; send them as binary data)';
  if (typeof value === 'number' && Number.isFinite(value)) {
    const { min, max, kind } = elements[datatype];
    if (value < min || value > max) return ` (its range is ${min} to ${max})`;
    if (kind !== 'float' && !Number.isInteger(value)) return ' (it has a fraction)';
  }
  return '';
}

type Refuse = (index: number) => Error;

function fillBooleans(array: NumberArray, values: ArrayLike<unknown>, refuse: Refuse): void {
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value !== true && value !== false) throw refuse(index);
    array[index] = value ? 1 : 0;
  }
}

function fillNumbers(
  array: NumberArray,
  values: ArrayLike<unknown>,
  min: number,
  max: number,
  whole: boolean,
  refuse: Refuse,
): void {
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (typeof value !== 'number') throw refuse(index);
    // Typed wires can carry NaN and infinities in floats, and models may want them; a finite value must stay finite.
    if (whole ? !Number.isInteger(value) : false) throw refuse(index);
    if ((value < min || value > max) && (whole || Number.isFinite(value))) throw refuse(index);
    array[index] = value;
  }
}

function fillBig(
  array: BigArray,
  values: ArrayLike<unknown>,
  min: bigint,
  max: bigint,
  refuse: Refuse,
): void {
  for (let index = 0; index < values.length; index++) {
    const value = toBig(values[index]);
    if (value === undefined || value < min || value > max) throw refuse(index);
    array[index] = value;
  }
}

function toBig(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  if (typeof value === 'string') return /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
  return undefined;
}
