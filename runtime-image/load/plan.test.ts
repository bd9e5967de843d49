import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePlan } from './plan.ts';
import { decode } from './tensor.ts';

/** A sound of `count` samples whose values are their index / 32768. */
function wav(count: number, channels = 1): Buffer {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'latin1');
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(16000, 24);
  header.writeUInt16LE(16, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(count * 2, 40);
  const samples = Buffer.alloc(count * 2);
  for (let index = 0; index < count; index += 1) samples.writeInt16LE(index, index * 2);
  return Buffer.concat([header, samples]);
}

const open = async () => wav(10);
const sound = (fields: object) => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], wav: { file: 'a.wav', samples: 4, ...fields } }],
});
const samplesOf = (raw: Buffer) => decode('FP32', raw).map((value) => Number(value) * 32768);

test('data and fill become tensors of one step', async () => {
  const plan = await parsePlan(
    {
      model: 'm',
      inputs: [
        {
          name: 'a',
          datatype: 'INT32',
          shape: [2, 2],
          data: [
            [1, 2],
            [3, 4],
          ],
        },
        { name: 'b', datatype: 'FP32', shape: [3], fill: 0.5 },
        { name: 'c', datatype: 'INT64', shape: [], data: 16000 },
      ],
    },
    open,
  );
  assert.equal(plan.steps, 1);
  assert.equal(plan.model, 'm');
  assert.deepEqual(
    plan.inputs(0).map(({ name, datatype, raw }) => [name, decode(datatype, raw)]),
    [
      ['a', [1, 2, 3, 4]],
      ['b', [0.5, 0.5, 0.5]],
      ['c', [16000]],
    ],
  );
});

test('a sound without advance is one window', async () => {
  const plan = await parsePlan(sound({ from: 3 }), open);
  assert.equal(plan.steps, 1);
  assert.deepEqual(samplesOf(plan.inputs(0)[0]!.raw), [3, 4, 5, 6]);
});

test('a sound with advance is a sequence of overlapping windows, with silence before the first', async () => {
  const plan = await parsePlan(sound({ advance: 3, lead: 1 }), open);
  assert.equal(plan.steps, 3);
  assert.deepEqual(
    [0, 1, 2].map((step) => samplesOf(plan.inputs(step)[0]!.raw)),
    [
      [0, 0, 1, 2],
      [2, 3, 4, 5],
      [5, 6, 7, 8],
    ],
  );
});

const wrong: [unknown, RegExp][] = [
  [[], /the request file is no object/],
  [{ inputs: [] }, /inputs is empty/],
  [{ inputs: [{ name: 'a', datatype: 'FP8', shape: [1], fill: 0 }] }, /inputs\[0\]\.datatype "FP8"/],
  [
    { inputs: [{ name: 'a', datatype: 'FP32', shape: [-1], fill: 0 }] },
    /inputs\[0\]\.shape\[0\] is no whole/,
  ],
  [{ inputs: [{ name: 'a', datatype: 'FP32', shape: [1] }] }, /exactly one of data, fill and wav/],
  [
    { inputs: [{ name: 'a', datatype: 'FP32', shape: [2], data: [1] }] },
    /has 1 values, but its shape holds 2/,
  ],
  [sound({ samples: 3 }), /samples is 3, but the shape holds 4/],
  [sound({ advance: 0 }), /advance must be above 0/],
  [{ ...sound({}), carry: [{ output: 'y' }] }, /carry\[0\]\.input is no text/],
];
for (const [file, message] of wrong) {
  test(`refused: ${message.source}`, async () => {
    await assert.rejects(parsePlan(file, open), message);
  });
}

test('other sounds are refused with the reason', async () => {
  await assert.rejects(
    parsePlan(sound({}), async () => wav(10, 2)),
    /a\.wav: 2 channels: only mono/,
  );
  await assert.rejects(
    parsePlan(sound({}), async () => Buffer.from('ID3 and so on')),
    /a\.wav: not a WAV file/,
  );
});
