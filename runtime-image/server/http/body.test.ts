import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ByteBudget } from '../byte-budget.ts';
import { readBody } from './body.ts';

const maxBytes = 10_000;

function request(chunks: readonly Uint8Array[], headers: Record<string, string> = {}): IncomingMessage {
  const stream = Readable.from(chunks, { objectMode: false });
  return Object.assign(stream, { headers }) as unknown as IncomingMessage;
}

const sized = (bytes: Uint8Array, headers: Record<string, string> = {}) =>
  request([bytes], { 'content-length': String(bytes.byteLength), ...headers });

describe('readBody', () => {
  it('reads a body, compressed or not, with its length or without', async () => {
    const content = Buffer.alloc(5000, 'sluice');
    const budget = new ByteBudget(2 ** 20);
    const share = budget.share();
    for (const message of [
      sized(content),
      request([content.subarray(0, 7), content.subarray(7)]),
      sized(gzipSync(content), { 'content-encoding': 'gzip' }),
    ]) {
      assert.ok(content.equals(await readBody(message, maxBytes, share)));
    }
    assert.ok(budget.held >= 10_000);
    share.release();
    assert.equal(budget.held, 0);
  });

  it('refuses what is too large, unknown or broken', async () => {
    const cases: readonly [IncomingMessage, object][] = [
      [request([], { 'content-length': '10001' }), { fault: 'TooLarge' }],
      [request([Buffer.alloc(6000), Buffer.alloc(6000)]), { fault: 'TooLarge' }],
      [
        sized(gzipSync(Buffer.alloc(20_000)), { 'content-encoding': 'gzip' }),
        { fault: 'TooLarge', message: /^the body has more than 10000 bytes when decompressed/ },
      ],
      [
        sized(Buffer.from('x'), { 'content-encoding': 'br' }),
        { message: 'Content-Encoding "br" is none of identity, gzip, deflate' },
      ],
      [
        sized(Buffer.from('x'), { 'content-encoding': 'deflate' }),
        { message: 'the body is not valid deflate' },
      ],
    ];
    for (const [message, expected] of cases) {
      await assert.rejects(readBody(message, maxBytes, new ByteBudget(2 ** 20).share()), expected);
    }
  });

  it('counts what many small chunks take, not their bytes alone', async () => {
    const chunks = Array.from({ length: 1000 }, () => Buffer.from('x'));
    for (const headers of [{}, { 'content-length': '1000' }]) {
      const share = new ByteBudget(20_000).share();
      await assert.rejects(readBody(request(chunks, headers), maxBytes, share), { fault: 'Exhausted' });
    }
  });
});
