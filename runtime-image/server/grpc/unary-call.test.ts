/** One call by itself, on a stream that does what the test says, and when. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { ByteBudget, type ByteShare } from '../byte-budget.ts';
import { frame } from './framing.ts';
import type { UnaryHandler, UnaryRequest } from './method.ts';
import { UnaryCall } from './unary-call.ts';

class Stream extends EventEmitter {
  destroyed = false;
  closed = false;
  headersSent = false;
  readableEnded = false;
  /** Headers and trailers, in one. */
  readonly answer: OutgoingHttpHeaders = {};

  respond(headers: OutgoingHttpHeaders): void {
    this.headersSent = true;
    Object.assign(this.answer, headers);
  }

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}

/** Tells when something is added to a share that has been given back. */
class WatchedBudget extends ByteBudget {
  readonly late = Promise.withResolvers<void>();

  override share(): ByteShare {
    const share = super.share();
    let released = false;
    return {
      ...share,
      add: (bytes) => {
        if (released) this.late.resolve();
        share.add(bytes);
      },
      release: () => {
        released = true;
        share.release();
      },
    };
  }
}

function begin({ headers = {} as IncomingHttpHeaders, budget = new ByteBudget(2 ** 20) } = {}) {
  const stream = new Stream();
  const calls: UnaryRequest[] = [];
  const description = {
    path: '/test.Test/Hold',
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: unknown) => bytes as Buffer,
  };
  const handler: UnaryHandler = (call) => void calls.push(call);
  new UnaryCall(
    { stream: stream as unknown as ServerHttp2Stream, headers, path: description.path },
    { maxRequestBytes: 2 ** 20, budget, headers: {} },
    description,
    handler,
  ).start();
  return { stream, calls, budget };
}

describe('a unary call', () => {
  it('whose client goes away while its message is decompressed holds nothing, and is not begun', async () => {
    const budget = new WatchedBudget(2 ** 20);
    const { stream, calls } = begin({ headers: { 'grpc-encoding': 'gzip' }, budget });
    const [message] = frame([gzipSync(Buffer.alloc(100_000))]);
    assert.ok(message);
    stream.emit('data', Buffer.from([1, ...message.subarray(1)]));
    stream.emit('end');
    assert.ok(budget.held > 0);
    stream.close();
    await budget.late.promise;
    await turn();
    assert.equal(budget.held, 0);
    assert.deepEqual(calls, []);
  });
});
