import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { ByteBudget } from './byte-budget.ts';
import { decompress, isCompression } from './decompress.ts';

const mega = 2 ** 20;

describe('decompress', () => {
  it('gives back what was compressed, and holds it', async () => {
    const budget = new ByteBudget(4 * mega);
    const content = Buffer.alloc(mega, 'sluice');
    for (const [compression, bytes] of [
      ['gzip', gzipSync(content)],
      ['deflate', deflateSync(content)],
      ['gzip', gzipSync('')],
    ] as const) {
      const share = budget.share();
      const found = await decompress('the body', bytes, compression, mega, share);
      assert.ok(found.equals(content.subarray(0, found.byteLength)));
      assert.ok(budget.held >= found.byteLength);
      share.release();
    }
    assert.equal(budget.held, 0);
  });

  it('stops where the request or the budget ends, not after it', async () => {
    const bomb = gzipSync(Buffer.alloc(32 * mega));
    const budget = new ByteBudget(8 * mega);
    let most = 0;
    const watched = () => {
      const share = budget.share();
      const add = (bytes: number) => {
        share.add(bytes);
        most = Math.max(most, budget.held);
      };
      return { ...share, add };
    };
    await assert.rejects(decompress('the body', bomb, 'gzip', mega, watched()), {
      fault: 'TooLarge',
      message: 'the body has more than 1048576 bytes when decompressed, the most that this server takes',
    });
    assert.ok(most <= 2 * mega);
    await assert.rejects(decompress('the body', bomb, 'gzip', 64 * mega, watched()), { fault: 'Exhausted' });
    assert.ok(most > 7 * mega);
  });

  it('stops when nobody waits any more', async () => {
    const budget = new ByteBudget(64 * mega);
    const share = budget.share();
    const begun = decompress('the body', gzipSync(Buffer.alloc(32 * mega)), 'gzip', 64 * mega, share);
    share.release();
    await assert.rejects(begun, { fault: 'Cancelled' });
    assert.equal(budget.held, 0);
  });

  it('refuses what is broken or cut', async () => {
    const share = new ByteBudget(mega).share();
    for (const bytes of [Buffer.from('no gzip'), gzipSync('cut short').subarray(0, -6)]) {
      await assert.rejects(decompress('the message', bytes, 'gzip', mega, share), {
        fault: 'InvalidArgument',
        message: 'the message is not valid gzip',
      });
    }
  });

  it('knows its names, and those alone', () => {
    assert.deepEqual(['gzip', 'deflate', 'br', 'toString', ''].map(isCompression), [
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
