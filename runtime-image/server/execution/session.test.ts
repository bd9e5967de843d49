/** Which provider runs a model, on a machine without a GPU. What a GPU does has to be tried on one. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import './no-telemetry.ts';
import { identityModel } from '../../testing/onnx.ts';
import { temporaryFolder } from '../../testing/process.ts';
import { providers } from './messages.ts';
import { load, sessionOptions } from './session.ts';

const folder = temporaryFolder();
after(() => rmSync(folder, { recursive: true }));
const modelPath = join(folder, 'model.onnx');
writeFileSync(modelPath, identityModel([{ name: 'x', type: 'FP32', shape: ['n'] }]));

describe('load', () => {
  for (const provider of providers.filter((one) => one === 'cuda' || one === 'tensorrt')) {
    it(`falls back to the CPU where there is no ${provider}, and says why`, async () => {
      const loaded = await load({ modelPath, threads: 1, provider, device: 0 });
      assert.equal(loaded.provider, 'cpu');
      assert.match(loaded.notes.join(), new RegExp(`^provider ${provider} could not be used, so cpu is: .`));
    });
  }

  it('has nothing to say where the CPU was asked for', async () => {
    const loaded = await load({ modelPath, threads: 1, provider: 'cpu', device: 0 });
    assert.equal(loaded.provider, 'cpu');
    assert.deepEqual(loaded.notes, []);
  });
});

it('names the GPU to those providers that can be told', () => {
  const of = (provider: (typeof providers)[number]) =>
    sessionOptions(provider, { threads: 2, device: 3 }).executionProviders;
  assert.deepEqual(of('cuda'), [{ name: 'cuda', deviceId: 3 }]);
  assert.deepEqual(of('tensorrt'), [{ name: 'tensorrt', deviceId: 3 }]);
  assert.deepEqual(of('webgpu'), ['webgpu']);
  assert.deepEqual(of('cpu'), ['cpu']);
});
