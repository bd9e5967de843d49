/** From `fetch` to `serve`, as a pod does it: external data, archives, and what ONNX Runtime must never read. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { env } from '#contract';
import { encodeModel } from '../testing/onnx.ts';
import { ImageProcess, temporaryFolder } from '../testing/process.ts';
import { rawTar } from './testing/archives.ts';
import { sha256 } from './testing/stage.ts';

/** y = x + c, where c lies in a file of its own. */
function externalModel(file: string): Buffer {
  return encodeModel({
    inputs: [{ name: 'x', type: 'FP32', shape: [2] }],
    outputs: [{ name: 'y', type: 'FP32', shape: [2] }],
    constants: [{ name: 'c', type: 'FP32', shape: [2], data: { file } }],
    nodes: [{ op: 'Add', inputs: ['x', 'c'], outputs: ['y'] }],
  });
}

const weights = Buffer.from(Float32Array.of(10, 20).buffer);

describe('what was fetched is served', () => {
  let root: string;
  let modelDir: string;
  beforeEach(() => {
    root = temporaryFolder();
    modelDir = join(root, 'model');
    mkdirSync(join(root, 'files'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const put = (name: string, content: Buffer) => writeFileSync(join(root, 'files', name), content);

  async function fetched(variables: Readonly<Record<string, string>>): Promise<void> {
    await using fetch = new ImageProcess('fetch', {
      [env.artifactSchemes]: 'pvc',
      [env.claimDir]: join(root, 'files'),
      [env.modelDir]: modelDir,
      ...variables,
    });
    assert.equal(await fetch.exited, 0, JSON.stringify(fetch.log));
  }

  const serve = (variables: Readonly<Record<string, string>> = {}) =>
    new ImageProcess('serve', {
      [env.model]: 'adder',
      [env.version]: '1',
      [env.modelDir]: modelDir,
      [env.bindAddress]: '127.0.0.1',
      [env.httpPort]: '0',
      [env.grpcPort]: '0',
      [env.metricsPort]: '0',
      ...variables,
    });

  async function answer(server: ImageProcess): Promise<unknown> {
    const { http } = (await server.logged('serving')) as { http: string };
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [2], data: [1, 2] }];
    const response = await fetch(`http://${http}/v2/models/adder/infer`, {
      method: 'POST',
      body: JSON.stringify({ inputs }),
    });
    const { outputs } = (await response.json()) as { outputs: { data: unknown }[] };
    return outputs[0]?.data;
  }

  it('a model of a claim with its external data beside it', async () => {
    const model = externalModel('weights.bin');
    put('adder.onnx', model);
    put('weights.bin', weights);
    await fetched({
      [env.artifactUri]: 'pvc://models/adder.onnx',
      [env.artifactSha256]: sha256(model),
      [env.artifactFiles]: JSON.stringify([{ path: 'weights.bin', sha256: sha256(weights) }]),
    });
    await using server = serve({ [env.artifactSha256]: sha256(model) });
    assert.deepEqual(await answer(server), [11, 22]);
  });

  it('an archive whose model lies in a folder with its external data', async () => {
    const archive = gzipSync(
      rawTar([
        { path: 'adder/adder.onnx', content: externalModel('weights.bin') },
        { path: 'adder/weights.bin', content: weights },
      ]),
    );
    put('adder.tgz', archive);
    await fetched({ [env.artifactUri]: 'pvc://models/adder.tgz', [env.artifactSha256]: sha256(archive) });
    await using server = serve({ [env.artifactSha256]: sha256(archive) });
    assert.deepEqual(await answer(server), [11, 22]);
  });

  it('not what was changed after it was fetched, nor external data alone', async () => {
    const model = externalModel('weights.bin');
    put('adder.onnx', model);
    put('weights.bin', weights);
    await fetched({
      [env.artifactUri]: 'pvc://models/adder.onnx',
      [env.artifactFiles]: JSON.stringify([{ path: 'weights.bin' }]),
    });
    writeFileSync(join(modelDir, 'weights.bin'), Buffer.from(Float32Array.of(0, 0).buffer));
    await using server = serve();
    assert.equal(await server.exited, 1);
    const { termination } = server;
    assert.ok(!termination.ok);
    assert.deepEqual(
      [termination.reason, termination.message],
      ['ArtifactCorrupt', 'weights.bin is not what was fetched; its SHA-256 is another'],
    );
  });

  it('not external data outside of the model’s folder', async () => {
    put('secret', weights);
    for (const file of ['../files/secret', join(root, 'files', 'secret')]) {
      const model = externalModel(file);
      put('adder.onnx', model);
      await fetched({ [env.artifactUri]: 'pvc://models/adder.onnx', [env.artifactSha256]: sha256(model) });
      await using server = serve();
      assert.equal(await server.exited, 1, file);
      const { termination } = server;
      assert.equal(!termination.ok && termination.reason, 'ModelInvalid', JSON.stringify(termination));
    }
  });

  it('not an archive of which nobody can say which file is the model', async () => {
    const names = ['a.onnx', 'b.onnx'];
    put('two.tar', rawTar(names.map((path) => ({ path, content: 'x' }))));
    await fetched({ [env.artifactUri]: 'pvc://models/two.tar' });
    await using server = serve();
    assert.equal(await server.exited, 1);
    const { termination } = server;
    assert.ok(!termination.ok);
    assert.equal(termination.reason, 'ArtifactUnsupported');
    assert.match(
      termination.message,
      /several \.onnx files \(a\.onnx, b\.onnx\); the model has to be model\.onnx/,
    );
  });
});
