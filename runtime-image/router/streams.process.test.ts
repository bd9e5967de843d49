/** A running router and connections that last: streams of gRPC, WebSockets, server-sent events. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { connect, until } from './testing/client.ts';
import { firstPort, World } from './testing/world.ts';

let world: World;

before(async () => {
  world = await World.start();
  for (const version of ['5.0.0', '5.0.0', '6.0.0']) await world.pod(version);
  await world.split({ '5.0.0': 100, '6.0.0': 0 });
});
after(() => world.stop());

const reload = () => world.agent.reload('a test');
const ours = (host = world.address) => `${host}:${firstPort}`;

/** A call with a stream of messages both ways. */
class Call {
  readonly #stream: http2.ClientHttp2Stream;
  #received = Buffer.alloc(0);
  readonly answered: Promise<http2.IncomingHttpHeaders>;
  readonly trailers: Promise<http2.IncomingHttpHeaders>;

  constructor(session: http2.ClientHttp2Session) {
    this.#stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelStreamInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.answered = new Promise((resolve, reject) => {
      this.#stream.once('response', resolve);
      this.#stream.once('error', reject);
    });
    this.trailers = new Promise((resolve, reject) => {
      this.#stream.once('trailers', resolve);
      this.#stream.once('error', reject);
    });
    for (const promise of [this.answered, this.trailers]) promise.catch(() => {});
    this.#stream.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
  }

  /** Sends a message and waits for its echo. */
  async say(byte: number): Promise<void> {
    const expected = this.#received.length + 6;
    this.#stream.write(Buffer.from([0, 0, 0, 0, 1, byte]));
    await until(() => this.#received.length >= expected, 'the echo');
    assert.equal(this.#received.at(-1), byte);
  }

  /** Ends it. @returns address of the pod that had it */
  async end(): Promise<string> {
    this.#stream.end();
    const trailers = await this.trailers;
    assert.equal(trailers['grpc-status'], '0');
    return String(trailers['x-pod']);
  }
}

describe('streams of gRPC', () => {
  it('of one connection are balanced, each by itself', async () => {
    const session = connect(world.address);
    const calls = Array.from({ length: 60 }, () => new Call(session));
    await Promise.all(calls.map((call) => call.say(1)));
    const pods = Map.groupBy(await Promise.all(calls.map((call) => call.end())), (address) => address);
    session.destroy();
    assert.equal(pods.size, 2);
    for (const its of pods.values()) assert.ok(its.length >= 10, `${its.length} of 60`);
  });

  it('stay where they are while weights change and HAProxy is reloaded', async () => {
    const session = connect(world.address);
    const call = new Call(session);
    await call.say(1);
    await world.split({ '5.0.0': 0, '6.0.0': 100 });
    await call.say(2);
    await reload();
    await call.say(3);
    const fresh = connect(world.address);
    const later = new Call(fresh);
    assert.equal((await later.answered)['sluice-version'], '6.0.0');
    await later.end();
    assert.equal((await call.answered)['sluice-version'], '5.0.0');
    assert.notEqual(await call.end(), world.pods[2]!.address);
    await world.split({ '5.0.0': 100, '6.0.0': 0 });
    session.destroy();
    fresh.destroy();
  });
});

describe('rules that change again and again under streams', () => {
  it('are taken together, shares wait for none of them, and no stream is cut off', async () => {
    const sessions: http2.ClientHttp2Session[] = [];
    const calls: Call[] = [];
    const rules = (count: number) => ({ policy: { timeouts: { responseMs: 60_000 + count } } });
    for (const count of [1, 2]) {
      const session = connect(world.address);
      sessions.push(session);
      const call = new Call(session);
      await call.say(1);
      calls.push(call);
      await world.split({ '5.0.0': 100, '6.0.0': 0 }, undefined, rules(count));
    }
    const reloads = () => world.events.filter(({ kind }) => kind === 'reload').length;
    const before = reloads();
    let settled = Promise.resolve();
    for (let count = 3; count < 33; count += 1) {
      const six = count % 2 === 0 ? 0 : 50;
      settled = world.split({ '5.0.0': 100 - six, '6.0.0': six }, undefined, rules(count));
      await until(() => world.agent.applied.routes[0]?.shares.length === (six === 0 ? 1 : 2), 'the share');
    }
    await settled;
    assert.equal(world.agent.applied.routes[0]?.policy?.timeouts?.responseMs, 60_032);
    assert.ok(reloads() - before <= 4, `${reloads() - before} reloads of 30 changes`);
    for (const call of calls) {
      await call.say(2);
      await call.end();
    }
    for (const session of sessions) session.destroy();
    await world.split({ '5.0.0': 100, '6.0.0': 0 });
  });
});

describe('a WebSocket', () => {
  const open = async (headers: Record<string, string> = {}) => {
    const socket = new WebSocket(`ws://${ours()}/v2/models/m/stream`, { headers });
    let version: unknown;
    socket.on('upgrade', (response) => {
      version = response.headers['sluice-version'];
    });
    await once(socket, 'open');
    const echo = async (data: string | Buffer) => {
      const answer = once(socket, 'message');
      socket.send(data);
      return (await answer)[0] as Buffer;
    };
    return { socket, version, echo };
  };

  it('carries messages of any size both ways, and ends cleanly', async () => {
    const { socket, version, echo } = await open();
    assert.equal(version, '5.0.0');
    assert.equal((await echo('hello')).toString(), 'hello');
    const large = Buffer.alloc(1 << 20, 7);
    assert.deepEqual(await echo(large), large);
    const closed = once(socket, 'close');
    socket.close(4000, 'enough');
    assert.equal((await closed)[0], 4000);
  });

  it('can be pinned', async () => {
    const { socket, version } = await open({ 'sluice-version': '6.0.0' });
    assert.equal(version, '6.0.0');
    socket.terminate();
  });

  it('goes on over a change of weights and a reload', async () => {
    const { socket, echo } = await open();
    await world.split({ '5.0.0': 0, '6.0.0': 100 });
    await reload();
    assert.equal((await echo('still here')).toString(), 'still here');
    assert.equal((await open()).version, '6.0.0');
    await world.split({ '5.0.0': 100, '6.0.0': 0 });
    socket.terminate();
  });

  it('ends after the silence that its Model allows', async () => {
    await world.split({ '5.0.0': 100, '6.0.0': 0 }, undefined, { policy: { timeouts: { idleMs: 200 } } });
    const { socket } = await open();
    await once(socket, 'close');
    await world.split({ '5.0.0': 100, '6.0.0': 0 });
  });

  it('to a model without pods is refused', async () => {
    await world.split({ '5.0.0': 100 }, []);
    const socket = new WebSocket(`ws://${ours()}/`);
    const [error] = await once(socket, 'error').catch((reason: unknown) => [reason]);
    assert.match(String(error), /503/);
    await world.split({ '5.0.0': 100, '6.0.0': 0 });
  });
});

describe('server-sent events', () => {
  it('arrive one by one, as they are sent', async () => {
    const request = http.get(`http://${ours()}/events`);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    assert.equal(response.headers['sluice-version'], '5.0.0');
    response.setEncoding('utf8');
    let received = '';
    response.on('data', (text: string) => {
      received += text;
    });
    const listens = () => world.pods.find((pod) => pod.emit('') > 0);
    await until(() => listens() !== undefined, 'a listener');
    for (const word of ['one', 'two', 'three']) {
      world.pods.forEach((pod) => {
        pod.emit(word);
      });
      await until(() => received.endsWith(`data: ${word}\n\n`), word);
    }
    await reload();
    listens()!.emit('after a reload');
    await until(() => received.endsWith('data: after a reload\n\n'), 'an event after a reload');
    request.destroy();
  });
});
