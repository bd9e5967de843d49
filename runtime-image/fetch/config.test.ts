import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { env } from '#contract';
import { readConfig } from './config.ts';

describe('the configuration of fetch', () => {
  const files = (value: unknown) =>
    readConfig({ [env.artifactUri]: 'https://store/m.onnx', [env.artifactFiles]: JSON.stringify(value) })
      .files;

  it('names files beside the model, below its folder and not in the place of our own', () => {
    assert.deepEqual(files([{ path: 'data/weights.bin' }]), [{ path: 'data/weights.bin' }]);
    const list = { reason: 'ConfigurationInvalid', message: /is not a list of \{path, sha256\}/ };
    for (const wrong of [{}, [{}], [{ path: '../x' }], [{ path: 'x', sha256: 'x' }]])
      assert.throws(() => files(wrong), list);
    for (const path of ['.artifact.json', '.partial-1'])
      assert.throws(() => files([{ path }]), {
        reason: 'ConfigurationInvalid',
        message: `${env.artifactFiles}: "${path}" is a name of Sluice's own`,
      });
  });
});
