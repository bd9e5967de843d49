/** Random tensors of every datatype, and damaged bytes, for property tests. */
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

/** Bytes changed, cut out, doubled or appended. */
export function mutations(original: Buffer): fc.Arbitrary<Buffer> {
  const edit = fc.record({
    at: fc.nat(original.byteLength - 1),
    kind: fc.constantFrom('set', 'cut', 'twice', 'insert'),
    byte: fc.nat(255),
    length: fc.nat(12),
  });
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => {
    let bytes = Buffer.from(original);
    for (const { at, kind, byte, length } of edits) {
      const start = Math.min(at, bytes.byteLength);
      const part = bytes.subarray(start, start + length);
      if (kind === 'set') bytes[start] = byte;
      else if (kind === 'cut')
        bytes = Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + length)]);
      else if (kind === 'twice')
        bytes = Buffer.concat([bytes.subarray(0, start), part, bytes.subarray(start)]);
      else bytes = Buffer.concat([bytes.subarray(0, start), Buffer.from([byte]), bytes.subarray(start)]);
    }
    return bytes;
  });
}
