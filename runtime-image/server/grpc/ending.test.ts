/** How answers leave, frame by frame, as they come out of a connection. */
import assert from 'node:assert/strict';
import { connect, constants, createServer, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createConnection, createServer as createTcpServer, type Server } from 'node:net';
import { describe, it } from 'node:test';
import { endWithSuccess } from './ending.ts';

const headersFrame = 1;

/** Frames of HTTP/2 that lie one after the other. */
function* framesOf(bytes: Buffer): Generator<{ type: number; flags: number; stream: number }> {
  for (let at = 0; at < bytes.byteLength; at += 9 + bytes.readUIntBE(at, 3))
    yield {
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      stream: bytes.readUInt32BE(at + 5),
    };
}

/** Streams whose headers are there and whose trailers are not. */
function unfinished(bytes: Buffer): ReadonlySet<number> {
  const begun = new Set<number>();
  for (const { type, flags, stream } of framesOf(bytes)) {
    if (type !== headersFrame) continue;
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) === 0) begun.add(stream);
    else begun.delete(stream);
  }
  return begun;
}

async function listening(server: Pick<Server, 'listen' | 'address'>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

interface Outcome {
  readonly bytes: number;
  readonly status: unknown;
}

/** Makes calls at the same time over one connection. @returns also what each read of the connection brought */
async function answers(calls: number, answer: (stream: ServerHttp2Stream) => void) {
  const server = createServer().on('stream', (stream) => {
    stream.resume().on('end', () => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      answer(stream);
    });
  });
  const port = await listening(server);
  const reads: Buffer[] = [];
  const between = createTcpServer((client) => {
    // One end may be closed while the other still says goodbye.
    client.on('error', () => upstream.destroy());
    const upstream = createConnection(port, '127.0.0.1', () => client.pipe(upstream));
    upstream.on('data', (chunk) => reads.push(chunk)).pipe(client);
    upstream.on('error', () => client.destroy());
  });
  const session = connect(`http://127.0.0.1:${await listening(between)}`);
  const one = () =>
    new Promise<Outcome>((resolve, reject) => {
      let bytes = 0;
      let status: unknown;
      session
        .request({ ':method': 'POST' })
        .on('data', (chunk: Buffer) => {
          bytes += chunk.byteLength;
        })
        .on('trailers', (found) => {
          status = found['grpc-status'];
        })
        .on('error', reject)
        .on('close', () => resolve({ bytes, status }))
        .end('x');
    });
  const outcomes = await Promise.all(Array.from({ length: calls }, one));
  const ends = [server, between].map((each) => new Promise((resolve) => each.close(resolve)));
  session.close();
  await Promise.all(ends);
  return { outcomes, reads };
}

describe('the end of a call that succeeded', { timeout: 30_000 }, () => {
  for (const bytes of [0, 1, 60_000]) {
    it(`leaves in one write with an answer of ${bytes} bytes and its headers, each of several calls`, async () => {
      const written: boolean[] = [];
      const { outcomes, reads } = await answers(5, (stream) => {
        // Before Node has written anything: what is read at once below could still be two writes, shortly one after the other.
        stream.once('wantTrailers', () => written.push(stream.writableFinished));
        endWithSuccess(stream, [Buffer.alloc(bytes)]);
      });
      assert.deepEqual(outcomes, Array(5).fill({ bytes, status: '0' }));
      // An answer that fills the window or a read comes in several.
      if (bytes < 10_000) for (const read of reads) assert.deepEqual(unfinished(read), new Set());
      if (bytes > 0) assert.deepEqual(written, Array(5).fill(false));
    });
  }

  it('comes after all pieces of a large answer', async () => {
    const pieces = [10, 3_000_000, 70_000, 1].map((size) => Buffer.alloc(size, 1));
    const { outcomes } = await answers(3, (stream) => endWithSuccess(stream, pieces));
    assert.deepEqual(outcomes, Array(3).fill({ bytes: 3_070_011, status: '0' }));
  });

  it('comes in Node’s own way where its inside is not what was expected', async () => {
    const { outcomes } = await answers(2, (stream) => {
      const without = new Proxy(stream, {
        get(target, key) {
          if (typeof key === 'symbol') return undefined;
          const value: unknown = Reflect.get(target, key);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      endWithSuccess(without, [Buffer.from('answer')]);
    });
    assert.deepEqual(outcomes, Array(2).fill({ bytes: 6, status: '0' }));
  });
});
