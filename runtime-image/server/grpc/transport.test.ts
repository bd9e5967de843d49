/** The transport by itself, asked by grpc-js's client and, for what that would never send, by a bare client of HTTP/2. */
import assert from 'node:assert/strict';
import { connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { ByteBudget } from '../byte-budget.ts';
import { frame } from './framing.ts';
import type { Done, UnaryRequest } from './method.ts';
import type { StreamingCall } from './streaming-call.ts';
import { GrpcTransport } from './transport.ts';

const bytes = (message: unknown): Buffer => message as Buffer;
const described = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Test/${name}`,
  requestStream,
  responseStream,
  requestDeserialize: (message: Buffer) => Buffer.from(message),
  responseSerialize: bytes,
});

interface World extends AsyncDisposable {
  readonly transport: GrpcTransport;
  readonly budget: ByteBudget;
  readonly address: string;
  /** Calls of `Hold`, which are answered when the test does. */
  readonly held: { readonly call: UnaryRequest; readonly done: Done }[];
  readonly client: Client;
}

async function start(budgetBytes = 2 ** 20, failsLate = false): Promise<World> {
  const budget = new ByteBudget(budgetBytes);
  const transport = new GrpcTransport({
    maxRequestBytes: 2048,
    budget,
    headers: { 'x-test': 'yes' },
    now: () => performance.now(),
    onRefused: () => undefined,
    failsLate: () => failsLate,
  });
  const held: { call: UnaryRequest; done: Done }[] = [];
  transport.addService(
    {
      Echo: described('Echo', false, false),
      Hold: described('Hold', false, false),
      Fail: described('Fail', false, false),
      Each: described('Each', true, true),
      Watch: described('Watch', false, true),
    },
    {
      Echo: (call: UnaryRequest, done: Done) => done(null, call.request),
      Hold: (call: UnaryRequest, done: Done) => void held.push({ call, done }),
      Fail: (_: UnaryRequest, done: Done) => done({ code: status.NOT_FOUND, details: 'naïve' }),
      Each: (call: unknown) => {
        const stream = call as StreamingCall;
        stream.on('data', (message: Buffer) => stream.write(message));
        stream.on('end', () => stream.end());
      },
      Watch: (call: unknown) => (call as StreamingCall).write(Buffer.from('first')),
    },
  );
  const { port } = await transport.listen('127.0.0.1', 0);
  const address = `127.0.0.1:${port}`;
  const client = new Client(address, credentials.createInsecure());
  return {
    transport,
    budget,
    address,
    held,
    client,
    [Symbol.asyncDispose]: async () => {
      client.close();
      transport.destroy();
      await transport.drain();
    },
  };
}

function ask(client: Client, method: string, message: Buffer, options: { deadline?: number } = {}) {
  return new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest(
      `/test.Test/${method}`,
      bytes,
      (answer: Buffer) => answer,
      message,
      new Metadata(),
      options,
      (error: ServiceError | null, answer?: Buffer) =>
        error === null && answer !== undefined ? resolve(answer) : reject(error),
    );
  });
}

/** What comes back to a bare stream: all headers, of both blocks. */
async function bare(
  address: string,
  headers: Record<string, string>,
  body: readonly Uint8Array[],
): Promise<IncomingHttpHeaders> {
  const session = connect(`http://${address}`);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/test.Test/Echo',
    'content-type': 'application/grpc',
    ...headers,
  });
  const seen: IncomingHttpHeaders = {};
  stream.on('response', (answer) => Object.assign(seen, answer));
  stream.on('trailers', (trailers) => Object.assign(seen, trailers));
  stream.on('error', () => undefined);
  for (const piece of body) stream.write(piece);
  stream.end();
  stream.resume();
  await new Promise((resolve) => stream.once('close', resolve));
  session.close();
  return seen;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 15_000; !holds(); ) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('the gRPC transport', { timeout: 60_000 }, () => {
  let world: World;
  before(async () => {
    world = await start();
  });
  after(() => world[Symbol.asyncDispose]());

  it('answers, large and empty messages too, and gives back what they held', async () => {
    for (const size of [0, 1, 2048]) {
      const message = Buffer.alloc(size, 7);
      assert.deepEqual(await ask(world.client, 'Echo', message), message);
    }
    await until('nothing is held', () => world.budget.held === 0);
  });

  it('takes compressed messages', async () => {
    const client = new Client(world.address, credentials.createInsecure(), {
      'grpc.default_compression_algorithm': 2,
    });
    const message = Buffer.alloc(2000, 1);
    assert.deepEqual(await ask(client, 'Echo', message), message);
    client.close();
  });

  it('refuses a message that is too large, compressed or not', async () => {
    const client = new Client(world.address, credentials.createInsecure(), {
      'grpc.default_compression_algorithm': 2,
    });
    const expected = { code: status.RESOURCE_EXHAUSTED };
    await assert.rejects(ask(client, 'Echo', Buffer.alloc(100_000)), expected);
    await assert.rejects(ask(world.client, 'Echo', Buffer.alloc(2049)), expected);
    client.close();
  });

  it('refuses what would hold more memory than there is for all', async () => {
    await using small = await start(5000);
    const kept = Promise.all([0, 1].map(() => ask(small.client, 'Hold', Buffer.alloc(1900))));
    await until('both are held', () => small.held.length === 2);
    await assert.rejects(ask(small.client, 'Echo', Buffer.alloc(1900)), {
      code: status.RESOURCE_EXHAUSTED,
      details: /the requests of the moment hold/,
    });
    for (const { done } of small.held.splice(0)) done(null, Buffer.from('ok'));
    await kept;
    await until('nothing is held', () => small.budget.held === 0);
  });

  it('counts what many small frames take, not their bytes alone', async () => {
    await using small = await start(5000);
    const session = connect(`http://${small.address}`);
    for (const path of ['/test.Test/Echo', '/test.Test/Each']) {
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
      });
      const answered = Promise.withResolvers<IncomingHttpHeaders>();
      stream.on('response', answered.resolve).on('error', () => undefined);
      // Each in a frame of its own, since it waits for the one before to be sent.
      let over = false;
      const end = answered.promise.then(() => {
        over = true;
      });
      for (const byte of [0, 0, 0, 4, 0, ...Buffer.alloc(100)]) {
        if (!over)
          await Promise.race([end, new Promise((resolve) => stream.write(Buffer.from([byte]), resolve))]);
      }
      assert.equal((await answered.promise)['grpc-status'], String(status.RESOURCE_EXHAUSTED), path);
    }
    session.destroy();
    await until('nothing is held', () => small.budget.held === 0);
  });

  it('carries the status of a handler, with any text', async () => {
    await assert.rejects(ask(world.client, 'Fail', Buffer.alloc(0)), {
      code: status.NOT_FOUND,
      details: 'naïve',
    });
  });

  it('carries it in headers alone, where routers see it; in a drill after the headers', async () => {
    for (const late of [false, true]) {
      await using own = await start(2 ** 20, late);
      const session = connect(`http://${own.address}`);
      const stream = session.request({
        ':method': 'POST',
        ':path': '/test.Test/Fail',
        'content-type': 'application/grpc',
      });
      stream.end(Buffer.concat(frame([Buffer.from('x')])));
      const seen: unknown[] = [];
      stream.on('response', (headers) => seen.push(headers['grpc-status']));
      stream.on('trailers', (trailers) => seen.push(trailers['grpc-status']));
      await new Promise((resolve) => stream.once('close', resolve).resume());
      assert.deepEqual(seen, late ? [undefined, '5'] : ['5']);
      session.close();
    }
  });

  it('tells a handler of the time limit, and that the client is gone', async () => {
    const asked = ask(world.client, 'Hold', Buffer.alloc(1), { deadline: Date.now() + 500 });
    await until('it is held', () => world.held.length === 1);
    const [held] = world.held.splice(0);
    assert.ok((held?.call.timeoutMs ?? 0) > 0 && (held?.call.timeoutMs ?? 501) <= 500);
    const gone = new Promise<void>((resolve) => held?.call.onCancel(resolve));
    await assert.rejects(asked, { code: status.DEADLINE_EXCEEDED });
    await gone;
    held?.done(null, Buffer.from('too late, and harmless'));
  });

  it('gives back what a stream has heard, though the next message has begun with it', async () => {
    await using small = await start(5000);
    const session = connect(`http://${small.address}`);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Test/Each',
      'content-type': 'application/grpc',
    });
    let heard = 0;
    stream.on('data', (chunk: Buffer) => {
      heard += chunk.byteLength;
    });
    const [message] = frame([Buffer.alloc(1000, 1)]);
    assert.ok(message);
    const all = Buffer.concat(Array(10).fill(message));
    stream.write(all.subarray(0, 500));
    for (let sent = 500; sent < all.byteLength; sent += 1005) {
      stream.write(all.subarray(sent, sent + 1005));
      await until('it is answered', () => heard >= sent + 505 || stream.closed);
    }
    assert.equal(heard, all.byteLength);
    stream.end();
    await until('nothing is held', () => small.budget.held === 0);
    session.destroy();
  });

  it('answers every request of a stream, and ends when the client does', async () => {
    const call = world.client.makeBidiStreamRequest('/test.Test/Each', bytes, (answer: Buffer) =>
      answer.toString(),
    );
    const seen: string[] = [];
    call.on('data', (answer: string) => seen.push(answer));
    for (const text of ['a', 'b', 'c']) call.write(Buffer.from(text));
    call.end();
    await new Promise((resolve, reject) => call.once('end', resolve).once('error', reject));
    assert.deepEqual(seen, ['a', 'b', 'c']);
  });

  it('ends a watch at its time limit', async () => {
    const seen = await bare(world.address, { ':path': '/test.Test/Watch', 'grpc-timeout': '50m' }, [
      ...frame([Buffer.from('x')]),
    ]);
    assert.equal(seen['grpc-status'], String(status.DEADLINE_EXCEEDED));
  });

  const text = frame([Buffer.from('x')]);
  const cases: readonly [what: string, Record<string, string>, readonly Uint8Array[], object][] = [
    ['a method that there is not', { ':path': '/test.Test/None' }, text, { 'grpc-status': '12' }],
    ['no message', {}, [], { 'grpc-status': '3' }],
    ['half a message', {}, [Buffer.from([0, 0, 0, 0, 9, 1])], { 'grpc-status': '3' }],
    ['two messages', {}, [...text, ...text], { 'grpc-status': '3' }],
    [
      'an encoding that is unknown',
      { 'grpc-encoding': 'br' },
      [Buffer.from([1, 0, 0, 0, 1, 1])],
      { 'grpc-status': '12' },
    ],
    ['compression without its name', {}, [Buffer.from([1, 0, 0, 0, 1, 1])], { 'grpc-status': '3' }],
    [
      'what is no gzip',
      { 'grpc-encoding': 'gzip' },
      [Buffer.from([1, 0, 0, 0, 1, 1])],
      { 'grpc-status': '3' },
    ],
    ['a time limit that is none', { 'grpc-timeout': 'soon' }, text, { 'grpc-status': '3' }],
    ['a time limit of nothing', { 'grpc-timeout': '0m' }, text, { 'grpc-status': '4' }],
    ['another content type', { 'content-type': 'text/html' }, text, { ':status': 415 }],
    ['gRPC-Web', { 'content-type': 'application/grpc-web+proto' }, text, { ':status': 415 }],
    ['gRPC with JSON', { 'content-type': 'application/grpc+json' }, text, { ':status': 415 }],
    ['another HTTP method', { ':method': 'PUT' }, text, { ':status': 405 }],
  ];
  for (const [what, headers, body, expected] of cases) {
    it(`refuses ${what}`, async () => {
      const seen = await bare(world.address, headers, body);
      assert.deepEqual({ ...seen, ...expected }, seen);
    });
  }

  it('takes protobuf by each of its names', async () => {
    for (const type of ['application/grpc', 'application/grpc+proto', 'Application/GRPC; charset=utf-8']) {
      const seen = await bare(world.address, { 'content-type': type }, text);
      assert.equal(seen['grpc-status'], '0', type);
    }
  });

  it('counts the calls that are still to be answered, and no stream', async () => {
    await using own = await start();
    const session = connect(`http://${own.address}`);
    const open = (path: string) => {
      const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc' };
      const stream = session
        .request(headers)
        .on('error', () => undefined)
        .resume();
      return Object.assign(stream, { ended: new Promise((resolve) => stream.once('close', resolve)) });
    };
    const watch = open('/test.Test/Watch');
    watch.write(text[0]);
    await new Promise((resolve) => watch.once('response', resolve));
    assert.equal(own.transport.calls, 0);
    const [uploading, leaving] = [open('/test.Test/Echo'), open('/test.Test/Echo')];
    for (const call of [uploading, leaving]) call.write(Buffer.from([0, 0, 0]));
    await until('both have begun', () => own.transport.calls === 2);
    leaving.close(constants.NGHTTP2_CANCEL);
    await until('one is gone', () => own.transport.calls === 1);
    uploading.end(Buffer.from([0, 0]));
    await uploading.ended;
    await until('both are gone', () => own.transport.calls === 0);
    session.destroy();
  });

  it('finishes the calls that it has when it drains, and takes no new ones', async () => {
    await using own = await start();
    const asked = ask(own.client, 'Hold', Buffer.from('x'));
    await until('it is held', () => own.held.length === 1);
    const drained = own.transport.drain();
    const late = new Client(own.address, credentials.createInsecure());
    await assert.rejects(ask(late, 'Echo', Buffer.alloc(1)), { code: status.UNAVAILABLE });
    late.close();
    own.held[0]?.done(null, Buffer.from('done'));
    assert.equal((await asked).toString(), 'done');
    await drained;
  });

  it('outlives clients that break off', async () => {
    const session = connect(`http://${world.address}`);
    session.on('error', () => undefined);
    for (let index = 0; index < 50; index++) {
      const stream = session.request({
        ':method': 'POST',
        ':path': index % 2 === 0 ? '/test.Test/Echo' : '/test.Test/Each',
        'content-type': 'application/grpc',
      });
      stream.on('error', () => undefined);
      stream.write(Buffer.from([0, 0, 0, 1]));
      if (index % 3 === 0) stream.close(constants.NGHTTP2_CANCEL);
    }
    await new Promise((resolve) => session.ping(resolve));
    session.destroy();
    assert.equal((await ask(world.client, 'Echo', Buffer.from('still'))).toString(), 'still');
    await until('nothing is held', () => world.budget.held === 0);
  });
});
