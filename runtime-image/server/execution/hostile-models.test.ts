/** Models made to do harm: each is refused with a reason, or runs within bounds; none ends the process or hangs it. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { encodeModel, identityModel } from '../../testing/onnx.ts';
import { sileroFolder, temporaryFolder } from '../../testing/process.ts';
import { fromValues } from '../protocol/elements.ts';
import { Engine } from './engine.ts';
import { ModelRefused } from './worker-handle.ts';

const folder = temporaryFolder();
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function start(model: Uint8Array): Promise<Engine> {
  const modelPath = join(folder, `${files++}.onnx`);
  writeFileSync(modelPath, model);
  return Engine.start({
    worker: { modelPath, threads: 1, provider: 'cpu' },
    workers: 1,
    maxQueue: 10,
    batching: { maxSize: 1, maxDelayMs: 0 },
    now: () => performance.now(),
  });
}

const silero = readFileSync(join(sileroFolder, 'silero_vad_v5.onnx'));
const x = { name: 'x', type: 'FP32', shape: ['n'] } as const;
const y = { ...x, name: 'y' };
const add = [{ op: 'Add', inputs: ['x', 'w'], outputs: ['y'] }];

const refused: readonly [what: string, model: Uint8Array, why: RegExp][] = [
  ['a page of the web', Buffer.from('<!doctype html><title>404</title>'), /parsing failed/i],
  ['the first half of a model', silero.subarray(0, silero.byteLength / 2), /./],
  ['a model whose middle is zeros', Buffer.from(silero).fill(0, 10_000, 200_000), /./],
  ['a pickle', Buffer.from('80049519000000000000008c05706f736978948c0673797374656d9493942e', 'hex'), /./],
  ['another format', Buffer.from('GGUF\x03\0\0\0'), /./],
  [
    'a constant that is larger than any memory, and holds nothing',
    encodeModel({
      inputs: [x],
      outputs: [y],
      nodes: add,
      constants: [{ name: 'w', type: 'FP32', shape: [2 ** 31, 2 ** 31, 2 ** 31], data: new Uint8Array() }],
    }),
    /./,
  ],
  [
    'a constant of fewer bytes than its shape says',
    encodeModel({
      inputs: [x],
      outputs: [y],
      nodes: add,
      constants: [{ name: 'w', type: 'FP32', shape: [1_000_000_000], data: new Uint8Array(16) }],
    }),
    /./,
  ],
  [
    'an operator of a library that is not here',
    encodeModel({ inputs: [x], outputs: [y], nodes: [{ op: 'RunShell', inputs: ['x'], outputs: ['y'] }] }),
    /RunShell/,
  ],
  [
    'an element type that the protocol cannot carry',
    identityModel([{ name: 'x', type: 'BF16', shape: ['n'] }]),
    /bfloat16, which the protocol cannot carry/,
  ],
];

describe('a hostile model', { timeout: 120_000 }, () => {
  for (const [what, model, why] of refused) {
    it(`is refused: ${what}`, async () => {
      await assert.rejects(start(model), (error) => error instanceof ModelRefused && why.test(error.message));
    });
  }

  it('with an input larger than any memory is loaded without making one up', async () => {
    const huge = { name: 'x', type: 'FP32', shape: [2 ** 40, 2 ** 20] } as const;
    const engine = await start(identityModel([huge]));
    assert.equal(engine.report.warmUpMs, undefined);
    assert.match(engine.report.notes.join(), /too large to make up/);
    await engine.close();
  });

  it('that asks for more memory than there is fails the request, and goes on', async () => {
    // [n] to a shape that the input names: 2^46 floats, 2^48 bytes, are more than a process can address, whatever the kernel promises.
    const engine = await start(
      encodeModel({
        inputs: [{ name: 'shape', type: 'INT64', shape: ['rank'] }],
        outputs: [{ name: 'y', type: 'FP32', shape: ['a', 'b'] }],
        nodes: [{ op: 'ConstantOfShape', inputs: ['shape'], outputs: ['y'] }],
      }),
    );
    const ask = (size: number) =>
      engine.infer({ inputs: [fromValues('shape', 'INT64', [2], [size, size])], outputs: ['y'] });
    assert.equal((await ask(2)).outputs.length, 1);
    await assert.rejects(ask(2 ** 23), { name: 'InferenceError' });
    assert.equal((await ask(3)).outputs.length, 1);
    await engine.close();
  });
});
