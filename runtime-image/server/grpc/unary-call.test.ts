/** One call by itself, on a stream that does what the test says, and when. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { ByteBudget, type ByteShare } from '../byte-budget.ts';
import { transferTimeoutMs } from '../time-limits.ts';
import { frame } from './framing.ts';
import type { Done, UnaryRequest } from './method.ts';
import { UnaryCall } from './unary-call.ts';

class Stream extends EventEmitter {
  destroyed = false;
  closed = false;
  headersSent = false;
  readableEnded = false;
  /** Headers and trailers, in one. */
  readonly answer: OutgoingHttpHeaders = {};
  /** Why it was closed by the server. */
  code: number | undefined;

  respond(headers: OutgoingHttpHeaders): void {
    this.headersSent = true;
    Object.assign(this.answer, headers);
  }

  /** Nobody reads, so nothing leaves. */
  write(): void {}
  end(): void {}
  sendTrailers(): void {}

  close(code?: number): void {
    this.code = code;
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
  const calls: { readonly call: UnaryRequest; readonly done: Done }[] = [];
  const refused: string[] = [];
  const clock = { ms: 1000 };
  const description = {
    path: '/test.Test/Hold',
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (answer: unknown) => {
      if (answer instanceof Uint8Array) return answer;
      throw new Error('no bytes');
    },
  };
  new UnaryCall(
    { stream: stream as unknown as ServerHttp2Stream, headers, path: description.path },
    {
      maxRequestBytes: 2 ** 20,
      budget,
      headers: {},
      now: () => clock.ms,
      onRefused: (path, { fault }) => refused.push(`${path} ${fault}`),
    },
    description,
    (call, done) => void calls.push({ call, done }),
  ).start();
  const send = async (...pieces: readonly Uint8Array[]) => {
    for (const piece of pieces) stream.emit('data', Buffer.from(piece));
    stream.readableEnded = true;
    stream.emit('end');
    await turn();
  };
  return { stream, calls, budget, refused, clock, send };
}

const message = frame([Buffer.from('x')]);

describe('a unary call', () => {
  it('whose client goes away while its message is decompressed holds nothing, and is not begun', async () => {
    const budget = new WatchedBudget(2 ** 20);
    const { stream, calls } = begin({ headers: { 'grpc-encoding': 'gzip' }, budget });
    const framed = Buffer.concat(frame([gzipSync(Buffer.alloc(100_000))]));
    framed[0] = 1;
    stream.emit('data', framed);
    stream.emit('end');
    assert.ok(budget.held > 0);
    stream.close();
    await budget.late.promise;
    await turn();
    assert.equal(budget.held, 0);
    assert.deepEqual(calls, []);
  });

  it('counts its time limit from its headers on, and not from the end of its upload', async () => {
    const { calls, clock, send } = begin({ headers: { 'grpc-timeout': '100S' } });
    clock.ms += 40_000;
    await send(...message);
    assert.equal(calls[0]?.call.timeoutMs, 60_000);

    const late = begin({ headers: { 'grpc-timeout': '100S' } });
    late.clock.ms += 100_000;
    await late.send(...message);
    assert.deepEqual(late.calls, []);
    assert.equal(late.stream.answer['grpc-status'], '4');
  });

  it('is refused when its time passes while it comes', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const cases = [
      [{ 'grpc-timeout': '2S' }, 2000, 'DeadlineExceeded'],
      [{ 'grpc-timeout': '2H' }, transferTimeoutMs, 'TooSlow'],
      [{}, transferTimeoutMs, 'TooSlow'],
    ] as const;
    for (const [headers, ms, fault] of cases) {
      const { stream, refused } = begin({ headers });
      t.mock.timers.tick(ms - 1);
      assert.deepEqual(refused, []);
      t.mock.timers.tick(1);
      assert.equal(stream.answer['grpc-status'], '4');
      assert.deepEqual(refused, [`/test.Test/Hold ${fault}`]);
    }
  });

  it('whose answer cannot be encoded still takes an error', async () => {
    const { calls, stream, send } = begin();
    await send(...message);
    assert.throws(() => calls[0]?.done(null, 'text'), /no bytes/);
    calls[0]?.done({ code: 13, details: 'no bytes' });
    assert.deepEqual([stream.answer['grpc-status'], stream.answer['grpc-message']], ['13', 'no bytes']);
  });

  it('whose answer is not read holds it for a while, and no longer', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { calls, stream, budget, send } = begin();
    await send(...message);
    calls[0]?.done(null, Buffer.alloc(500_000));
    assert.ok(budget.held >= 500_000);
    t.mock.timers.tick(transferTimeoutMs - 1);
    assert.equal(stream.closed, false);
    t.mock.timers.tick(1);
    assert.equal(stream.code, constants.NGHTTP2_CANCEL);
    assert.equal(budget.held, 0);
  });

  it('whose answer has no room still takes an error', async () => {
    const { calls, stream, send } = begin({ budget: new ByteBudget(10_000) });
    await send(...message);
    assert.throws(() => calls[0]?.done(null, Buffer.alloc(20_000)), { fault: 'Exhausted' });
    assert.equal(stream.headersSent, false);
  });

  it('says of each call that is over before it has begun why', async () => {
    const cases: readonly [headers: IncomingHttpHeaders, pieces: readonly Uint8Array[], fault: string][] = [
      [{ 'grpc-timeout': 'soon' }, message, 'InvalidArgument'],
      [{ 'grpc-timeout': '0m' }, message, 'DeadlineExceeded'],
      [{}, [], 'InvalidArgument'],
      [{}, [...message, ...message], 'InvalidArgument'],
      [{}, [Buffer.from([0, 0xff, 0, 0, 0])], 'TooLarge'],
      [{ 'grpc-encoding': 'br' }, [Buffer.from([1, 0, 0, 0, 1, 1])], 'Unimplemented'],
    ];
    for (const [headers, pieces, fault] of cases) {
      const { refused, send, stream } = begin({ headers });
      await send(...pieces);
      stream.close();
      assert.deepEqual(refused, [`/test.Test/Hold ${fault}`]);
    }
    const full = begin({ budget: new ByteBudget(100) });
    await full.send(...message);
    assert.deepEqual(full.refused, ['/test.Test/Hold Exhausted']);
    const gone = begin();
    gone.stream.emit('data', Buffer.from([0, 0]));
    gone.stream.close();
    assert.deepEqual(gone.refused, ['/test.Test/Hold Cancelled']);
    const answered = begin();
    await answered.send(...message);
    answered.calls[0]?.done({ code: 5, details: 'the handler counts for itself' });
    answered.stream.close();
    assert.deepEqual(answered.refused, []);
  });
});
