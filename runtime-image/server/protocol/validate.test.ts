import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromValues } from './elements.ts';
import type { ModelSpec, Tensor } from './tensor.ts';
import { plan } from './validate.ts';

const model: ModelSpec = {
  inputs: [
    { name: 'a', datatype: 'FP32', shape: [-1, 2] },
    { name: 'b', datatype: 'BYTES', shape: [] },
  ],
  outputs: [
    { name: 'y', datatype: 'FP32', shape: [-1] },
    { name: 'z', datatype: 'FP32', shape: [-1] },
  ],
};
const a = fromValues('a', 'FP32', [1, 2], [1, 2]);
const b: Tensor = { name: 'b', datatype: 'BYTES', shape: [], data: [Buffer.from('é')] };
const output = (name: string) => ({ name, binary: false });

describe('plan', () => {
  it('orders inputs as the model does, and outputs as the client does', () => {
    const planned = plan({ inputs: [b, a], outputs: [output('z'), output('y')] }, model);
    assert.deepEqual(planned.inputs, [a, b]);
    assert.deepEqual(planned.outputs, ['z', 'y']);
    assert.deepEqual(plan({ inputs: [a, b], outputs: [] }, model).outputs, ['y', 'z']);
  });

  const text = (...data: Uint8Array[]): Tensor => ({ name: 'b', datatype: 'BYTES', shape: [], data });
  const cases: readonly [inputs: readonly Tensor[], outputs: readonly string[], message: string][] = [
    [[a], [], 'input "b" is missing; the model\'s inputs are "a", "b"'],
    [[a, a, b], [], 'input "a" is given twice'],
    [[a, b, { ...a, name: 'c' }], [], 'input "c" is unknown; the model\'s inputs are "a", "b"'],
    [[fromValues('a', 'FP64', [1, 2], [1, 2]), b], [], 'input "a" has datatype FP64; the model takes FP32'],
    [[fromValues('a', 'FP32', [2, 1], [1, 2]), b], [], 'input "a" has shape [2,1]; the model takes [-1,2]'],
    [[fromValues('a', 'FP32', [2], [1, 2]), b], [], 'input "a" has shape [2]; the model takes [-1,2]'],
    [[a, text(Uint8Array.of(0xff))], [], 'input "b": BYTES element 0 is not valid UTF-8'],
    [[a, b], ['x'], 'output "x" is unknown; the model\'s outputs are "y", "z"'],
    [[a, b], ['y', 'y'], 'output "y" is requested twice'],
  ];
  for (const [inputs, outputs, message] of cases) {
    it(`says: ${message}`, () => {
      assert.throws(() => plan({ inputs, outputs: outputs.map(output) }, model), {
        fault: 'InvalidArgument',
        message,
      });
    });
  }

  it('quotes names of any length and kind, and cuts them', () => {
    const hostile = { ...a, name: `x"\n${'y'.repeat(500)}` };
    assert.throws(
      () => plan({ inputs: [a, b, hostile], outputs: [] }, model),
      (error: Error) => {
        return error.message.length < 300 && error.message.startsWith('input "x\\"\\nyyy');
      },
    );
  });
});
