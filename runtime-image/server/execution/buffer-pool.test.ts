import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPool } from './buffer-pool.ts';

describe('BufferPool', () => {
  it('gives what is large enough, and the same again', () => {
    const pool = new BufferPool();
    const one = pool.take(5000);
    assert.equal(one.byteLength, 8192);
    pool.give(one);
    assert.equal(pool.take(8000), one);
    assert.notEqual(pool.take(8000), one);
  });

  it('keeps neither small nor huge nor many nor foreign buffers', () => {
    const pool = new BufferPool();
    assert.equal(pool.take(10).byteLength, 10);
    assert.equal(pool.take(0).byteLength, 0);
    assert.equal(pool.take(20_000_000).byteLength, 20_000_000);
    for (const size of [10, 20_000_000, 5000]) {
      const buffer = new ArrayBuffer(size);
      pool.give(buffer);
      assert.notEqual(pool.take(size), buffer);
    }
    const many = new Set(Array.from({ length: 6 }, () => pool.take(4096)));
    for (const buffer of many) pool.give(buffer);
    const again = Array.from({ length: 6 }, () => pool.take(4096));
    assert.equal(again.filter((buffer) => many.has(buffer)).length, 4);
  });
});
