/** Random tensors of every datatype, for property tests. */
import fc from 'fast-check';
import { datatypes, elements, type FixedDatatype } from './datatypes.ts';
import { bytesOf, type Tensor } from './tensor.ts';

const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Any bit pattern for integers; for floats any value, also infinities and NaN when `finite` is false. */
function values(datatype: FixedDatatype, count: number, finite: boolean): fc.Arbitrary<Uint8Array> {
  const element = elements[datatype];
  const exactly = { minLength: count, maxLength: count };
  if (element.kind === 'big') {
    return fc.array(fc.bigInt({ min: element.min, max: element.max }), exactly).map((list) => {
      const array = new element.array(count);
      list.forEach((value, index) => {
        array[index] = value;
      });
      return bytesOf(array);
    });
  }
  const one =
    element.kind === 'float'
      ? fc.double({ min: element.min, max: element.max, noNaN: finite, noDefaultInfinity: finite })
      : fc.integer({ min: element.min, max: element.max });
  return fc.array(one, exactly).map((list) => {
    const array = new element.array(count);
    array.set(list);
    return bytesOf(array);
  });
}

export function tensors(options: { readonly finite: boolean }): fc.Arbitrary<Tensor> {
  return fc
    .tuple(fc.string({ minLength: 1, maxLength: 8 }), fc.constantFrom(...datatypes), shapes)
    .chain(([name, datatype, shape]): fc.Arbitrary<Tensor> => {
      const count = countOf(shape);
      if (datatype === 'BYTES') {
        return fc
          .array(fc.string({ unit: 'binary' }), { minLength: count, maxLength: count })
          .map((list) => ({
            name,
            datatype,
            shape,
            data: list.map((text) => Buffer.from(text.toWellFormed())),
          }));
      }
      return values(datatype, count, options.finite).map((data) => ({ name, datatype, shape, data }));
    });
}

/** A tensor in a form that can be compared. */
export function comparable(tensor: Tensor): unknown {
  const { name, datatype, shape } = tensor;
  const data =
    tensor.datatype === 'BYTES'
      ? tensor.data.map((one) => Buffer.from(one).toString('hex'))
      : Buffer.from(tensor.data).toString('hex');
  return { name, datatype, shape: [...shape], data };
}
