import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isOwned, joinOwned } from './own-buffer.ts';

it('joins chunks in memory of its own, aligned at the end', () => {
  for (const sizes of [[3, 4], [8], [], [1, 1, 1], [4096, 5]]) {
    const chunks = sizes.map((size, index) => new Uint8Array(size).fill(index + 1));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const joined = joinOwned(chunks, bytes);
    assert.deepEqual([...joined], [...Buffer.concat(chunks)]);
    assert.equal((joined.byteOffset + joined.byteLength) % 8, 0);
    assert.ok(isOwned(joined.buffer));
  }
  assert.ok(!isOwned(Buffer.from('pooled').buffer));
});
