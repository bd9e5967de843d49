import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { ByteBudget, full } from './partial-file.ts';

describe('a byte too many', () => {
  it('is the artifact’s fault only where the installation says how much it may have', () => {
    assert.throws(() => new ByteBudget(10).take(11), { reason: 'ArtifactTooLarge' });
  });

  it('is the volume’s fault where there is no room left', async () => {
    const device = await open('/dev/full', 'w');
    try {
      await assert.rejects(device.write('x').catch(full), {
        reason: 'VolumeFull',
        message: 'the volume of the model folder has no room for the artifact',
      });
    } finally {
      await device.close();
    }
  });

  it('leaves every other error as it is', async () => {
    await assert.rejects(open('/nowhere/at/all').catch(full), { code: 'ENOENT' });
  });
});
