/** Properties of the codecs: what goes in comes out, and nothing that comes in makes them fail in an unnamed way. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { comparable, mutations, tensors } from './arbitraries.ts';
import { InferenceError } from './errors.ts';
import { encodeJsonAnswer } from './json-answer.ts';
import { decodeJsonRequest } from './json-request.ts';
import { decodeRaw, encodeRaw } from './raw.ts';
import type { Tensor } from './tensor.ts';

const about = { model: 'm', version: '1' };
const runs = { numRuns: 400 };

/** An answer has the JSON form of a request, but for the names of the lists: so one decodes what the other encodes. */
function throughJson(list: readonly Tensor[], binary: boolean): readonly Tensor[] {
  const encoded = encodeJsonAnswer({ id: 'i', outputs: list }, about, { outputs: [], binaryOutputs: binary });
  const [json, ...rest] = encoded.chunks;
  const { outputs, id } = JSON.parse(new TextDecoder().decode(json));
  // Kept as text, so that 64-bit integers keep their digits.
  const request = Buffer.from(new TextDecoder().decode(json).replace('"outputs":', '"inputs":'));
  assert.equal(id, 'i');
  assert.equal(outputs.length, list.length);
  const body = Buffer.concat([request, ...rest]);
  return decodeJsonRequest(body, encoded.headerLength === undefined ? undefined : request.byteLength).inputs;
}

function namesItsFailure(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (thrown) {
    return thrown instanceof InferenceError && thrown.status >= 400 && thrown.status < 500;
  }
}

describe('codecs', () => {
  it('raw: decode undoes encode for every datatype, bit by bit', () => {
    fc.assert(
      fc.property(tensors({ finite: false }), (tensor) => {
        const back = decodeRaw(tensor.name, tensor.datatype, tensor.shape, encodeRaw(tensor));
        assert.deepEqual(comparable(back), comparable(tensor));
      }),
      runs,
    );
  });

  it('JSON: decode undoes encode for every datatype; floats that are finite, integers to the last digit', () => {
    fc.assert(
      fc.property(fc.array(tensors({ finite: true }), { maxLength: 4 }), (list) => {
        // -0 has no digit of its own in JSON text made by joining numbers.
        assert.deepEqual(throughJson(list, false).map(noNegativeZero), list.map(noNegativeZero));
      }),
      runs,
    );
  });

  it('JSON with binary data: decode undoes encode for everything', () => {
    fc.assert(
      fc.property(fc.array(tensors({ finite: false }), { maxLength: 4 }), (list) => {
        assert.deepEqual(throughJson(list, true).map(comparable), list.map(comparable));
      }),
      runs,
    );
  });

  it('REST: no mutation of a request makes the decoder fail in an unnamed way', () => {
    const request = Buffer.from(
      JSON.stringify({
        id: 'x',
        parameters: { binary_data_output: true },
        inputs: [
          { name: 'a', datatype: 'INT64', shape: [1, 2], data: [[2 ** 60, 2]] },
          { name: 'b', datatype: 'BYTES', shape: [1], data: ['é'] },
          { name: 'c', datatype: 'FP16', shape: [1], parameters: { binary_data_size: 2 } },
        ],
        outputs: [{ name: 'y', parameters: { binary_data: false } }],
      }),
    );
    const tail = Buffer.from([0, 0x3c]);
    fc.assert(
      fc.property(
        mutations(Buffer.concat([request, tail])),
        fc.option(fc.nat(request.byteLength + 4)),
        (body, length) => namesItsFailure(() => decodeJsonRequest(body, length ?? request.byteLength)),
      ),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) =>
        namesItsFailure(() => decodeJsonRequest(Buffer.from(text))),
      ),
      runs,
    );
    const shaped = fc.record({
      inputs: fc.array(
        fc.record(
          {
            name: fc.anything(),
            datatype: fc.constantFrom('FP32', 'BYTES', 'INT64', 'X'),
            shape: fc.anything(),
            data: fc.anything(),
          },
          { requiredKeys: [] },
        ),
      ),
    });
    fc.assert(
      fc.property(shaped, (value) => {
        const text = JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? String(one) : one));
        return namesItsFailure(() => decodeJsonRequest(Buffer.from(text)));
      }),
      runs,
    );
  });
});

function noNegativeZero(tensor: Tensor): unknown {
  if (tensor.datatype === 'BYTES' || !tensor.datatype.startsWith('FP')) return comparable(tensor);
  const size = { FP16: 2, FP32: 4, FP64: 8 }[tensor.datatype as 'FP16'];
  const bytes = Uint8Array.from(tensor.data);
  for (let end = size; end <= bytes.length; end += size) {
    const element = bytes.subarray(end - size, end);
    if (element[size - 1] === 0x80 && element.subarray(0, -1).every((byte) => byte === 0))
      element[size - 1] = 0;
  }
  return comparable({ ...tensor, data: bytes });
}
