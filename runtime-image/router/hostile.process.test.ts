/** A running router and clients that mean harm. Whatever they do, nothing gets past the rules, and others are served. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { call, connect, grpcLoad, httpLoad, request, until } from './testing/client.ts';
import { fields, flag, frame, frameType, Http2Socket } from './testing/frames.ts';
import { podPorts } from './testing/pod.ts';
import { firstPort, World } from './testing/world.ts';

let world: World;

before(async () => {
  world = await World.start();
  await world.pod('5.0.0');
  await world.pod('6.0.0');
  await world.split({ '5.0.0': 100, '6.0.0': 0 });
});
after(() => world.stop());

/** The router drops this header from every request that it reads: a pod that sees it was reached past the router. */
const mark = 'sluice-hop: smuggled';
const hidden = `GET /hidden HTTP/1.1\r\nHost: a\r\n${mark}\r\n\r\n`;

afterEach(async () => {
  for (const pod of world.pods) assert.deepEqual([...pod.smuggled], []);
  const answer = await request(world.address, '/v2/models/m/infer', { body: '{}' });
  assert.deepEqual([answer.status, answer.headers['sluice-version']], [200, '5.0.0']);
  const session = connect(world.address);
  assert.equal((await call(session)).status, 0);
  session.destroy();
});

/** Sends bytes as they are, and returns what comes back until the connection ends or has been silent for a while. */
function raw(text: string, silenceMs = 150): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(firstPort, world.address);
    let received = '';
    socket.setTimeout(silenceMs, () => socket.destroy());
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
    socket.write(text, 'latin1');
  });
}

const post = (headers: string, body: string, version = '1.1') =>
  `POST /v2/models/m/infer HTTP/${version}\r\nHost: a\r\n${headers}\r\n\r\n${body}`;

it('a pod that is reached past the router says so', async () => {
  const [pod] = world.pods;
  const { smuggled } = pod!;
  await request(pod!.address, '/', { port: podPorts.http, headers: { 'sluice-hop': 'smuggled' } });
  assert.deepEqual([...smuggled], ['smuggled']);
  smuggled.clear();
});

describe('a request that hides another', () => {
  for (const [what, text] of [
    ['length and chunks', post('Content-Length: 5\r\nTransfer-Encoding: chunked', `0\r\n\r\n${hidden}`)],
    ['chunks and length', post('Transfer-Encoding: chunked\r\nContent-Length: 200', `0\r\n\r\n${hidden}`)],
    [
      'chunks in HTTP/1.0',
      post('Transfer-Encoding: chunked\r\nContent-Length: 4', `0\r\n\r\n${hidden}`, '1.0'),
    ],
    ['unknown encoding', post('Transfer-Encoding: xchunked', `0\r\n\r\n${hidden}`)],
    ['two encodings', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: x', `0\r\n\r\n${hidden}`)],
    ['chunks that are not the last', post('Transfer-Encoding: chunked, identity', `0\r\n\r\n${hidden}`)],
    ['a vertical tab', post('Transfer-Encoding: \x0bchunked\r\nContent-Length: 3', `0\r\n\r\n${hidden}`)],
    [
      'a space before the colon',
      post('Transfer-Encoding : chunked\r\nContent-Length: 3', `0\r\n\r\n${hidden}`),
    ],
    ['a folded line', post(`X-A: b\r\n ${mark}\r\nContent-Length: 0`, hidden)],
    ['a folded encoding', post('Transfer-Encoding:\r\n chunked\r\nContent-Length: 3', `0\r\n\r\n${hidden}`)],
    ['two lengths', post('Content-Length: 0\r\nContent-Length: 90', hidden)],
    ['a list of lengths', post('Content-Length: 0, 90', hidden)],
    ['a signed length', post('Content-Length: +0', hidden)],
    ['a negative length', post('Content-Length: -1', hidden)],
    ['a length in hexadecimal', post('Content-Length: 0x0', hidden)],
    ['a length without end', post('Content-Length: 99999999999999999999', hidden)],
    ['a chunk without end', post('Transfer-Encoding: chunked', `fffffffffffffffff\r\n${hidden}`)],
    ['a negative chunk', post('Transfer-Encoding: chunked', `-1\r\n${hidden}`)],
    [
      'a chunk that ends in a bare line feed',
      post('Transfer-Encoding: chunked', `1;a\nb\r\n0\r\n\r\n${hidden}`),
    ],
    ['a bare carriage return', post(`X-A: b\r${mark}\r\nContent-Length: 0`, '')],
    ['a NUL', post('X-A: b\0c\r\nContent-Length: 0', hidden)],
    ['a space in a name', post(`X A: b\r\nContent-Length: 0`, hidden)],
    ['no name', post(`: b\r\nContent-Length: 0`, hidden)],
    ['an expectation', post('Expect: 100-continue\r\nContent-Length: 0', hidden)],
    [
      'an upgrade that is none',
      post('Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0', hidden),
    ],
    [
      'an upgrade to HTTP/2',
      post('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA', hidden),
    ],
    [
      'a connection that drops headers',
      post(`Connection: sluice-version, host\r\nContent-Length: 0`, hidden),
    ],
    ['a path with a request in it', `GET /a HTTP/1.1\r\n${mark}\r\n x HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a method with a request in it', `GET /a HTTP/1.1\n${mark}\n\nX / HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['another host in the URI', `GET http://b/ HTTP/1.1\r\nHost: a\r\n${mark}\r\n\r\n`],
    ['a tunnel', `CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n${hidden}`],
    ['an address of somebody else', `PROXY TCP4 1.2.3.4 5.6.7.8 1 10001\r\n${hidden}`],
    ['a version of HTTP that is none', `GET / HTTP/3.7\r\nHost: a\r\n${mark}\r\n\r\n`],
    ['HTTP/0.9', `GET /\r\n${hidden}`],
  ] as const) {
    it(`behind ${what}`, async () => {
      const received = await raw(text);
      for (const [, status] of received.matchAll(/^HTTP\/1\.[01] (\d{3})/gm))
        assert.ok(
          ['100', '200', '400', '404', '405', '422', '426', '501', '502', '503'].includes(status!),
          received.slice(0, 300),
        );
    });
  }
});

describe('HTTP/2 that HTTP/1.1 could not say', () => {
  const pseudo = (path = '/v2/models/m/infer') =>
    [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', path],
      [':authority', 'a'],
    ] as const;
  const inside = `x\r\n${mark}`;

  for (const [what, list, body] of [
    ['a line in a value', [...pseudo(), ['x-a', inside]]],
    ['a line in a name', [...pseudo(), [`x-a: b\r\n${mark}\r\nx-b`, 'c']]],
    ['a line in the path', pseudo(`/ HTTP/1.1\r\n${mark}\r\n\r\n`)],
    ['a space in the path', pseudo('/ HTTP/1.1')],
    ['a line in the method', [[':method', `GET / HTTP/1.1\r\n${mark}\r\n\r\nGET`], ...pseudo().slice(1)]],
    ['a line in the authority', [...pseudo().slice(0, 3), [':authority', `a\r\n${mark}`]]],
    [
      'a line in the scheme',
      [
        [':method', 'GET'],
        [':scheme', `http://a/ HTTP/1.1\r\n${mark}\r\n\r\n`],
        [':path', '/'],
        [':authority', 'a'],
      ],
    ],
    ['an upper-case name', [...pseudo(), ['Sluice-Hop', 'smuggled']]],
    ["the router's mark", [...pseudo(), ['sluice-hop', 'smuggled']]],
    ['chunks', [...pseudo(), ['transfer-encoding', 'chunked']], `0\r\n\r\n${hidden}`],
    ['a length of nothing', [...pseudo(), ['content-length', '0']], hidden],
    ['a length that is too long', [...pseudo(), ['content-length', '5000']], hidden],
    [
      'two lengths',
      [...pseudo(), ['content-length', '0'], ['content-length', String(hidden.length)]],
      hidden,
    ],
    ['a connection header', [...pseudo(), ['connection', 'sluice-version']]],
    ['an upgrade', [...pseudo(), ['upgrade', 'websocket'], ['connection', 'upgrade']]],
    ['two paths', [...pseudo(), [':path', '/other']]],
    ['no path', [pseudo()[0], pseudo()[1]]],
    ['an unknown pseudo-header', [...pseudo(), [':version', 'x']]],
    ['a pseudo-header after others', [['x-a', 'b'], ...pseudo()]],
    ['a host of its own', [...pseudo(), ['host', `b\r\n${mark}`]]],
    ['a version with a line', [...pseudo(), ['sluice-version', `6.0.0\r\n${mark}`]]],
  ] as readonly (readonly [string, readonly (readonly [string, string])[], string?])[]) {
    for (const grpc of [false, true]) {
      it(`${what}${grpc ? ', as gRPC' : ''}`, async () => {
        const socket = new Http2Socket(world.address, firstPort);
        socket.request(
          1,
          grpc ? [...list, ['content-type', 'application/grpc']] : list,
          body === undefined ? undefined : Buffer.from(body),
        );
        const answered = () =>
          socket.closed ||
          [frameType.headers, frameType.reset, frameType.goaway].some((type) => socket.received[type]);
        await until(answered, 'an answer, or the end');
        socket.socket.destroy();
      });
    }
  }
});

describe('a flood', () => {
  /** Runs honest clients beside it, and asserts that each of their requests is answered. */
  async function servesOthers(flood: () => Promise<void>): Promise<void> {
    const loads = [httpLoad(world.address, 2), grpcLoad(world.address, 2)];
    await flood();
    const counts = loads.map((load) => load.count);
    await until(
      () => loads.every((load, index) => load.count > counts[index]! + 50),
      'others are served',
      30_000,
    );
    for (const load of loads) {
      const outcome = Object.keys(await load.stop());
      assert.equal(outcome.length, 1, outcome.join());
      assert.match(outcome[0]!, /^(200|0) 5\.0\.0$/);
    }
  }

  const open = (count: number) =>
    Array.from({ length: count }, () => new Http2Socket(world.address, firstPort));
  const path = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/v2/models/m/infer'],
    [':authority', 'a'],
  ] as const;
  const flushed = (socket: Http2Socket) =>
    until(() => socket.closed || socket.socket.writableLength === 0, 'all is sent or refused', 30_000);
  const end = (sockets: readonly Http2Socket[]) => {
    for (const { socket } of sockets) socket.destroy();
  };

  it('of requests that are reset at once', () =>
    servesOthers(async () => {
      const sockets = open(4);
      for (const socket of sockets) {
        for (let stream = 1; stream < 3000; stream += 2)
          socket.send(
            frame(frameType.headers, flag.endHeaders, stream, fields([...path])),
            frame(frameType.reset, 0, stream, Buffer.from([0, 0, 0, 8])),
          );
        await flushed(socket);
      }
      end(sockets);
      await until(() => world.pods.every((pod) => pod.open <= 8), 'pods are rid of them', 20_000);
    }));

  it('of headers that never end', () =>
    servesOthers(async () => {
      const sockets = open(4);
      for (const socket of sockets) {
        socket.send(frame(frameType.headers, 0, 1, fields([...path])));
        for (let i = 0; i < 200; i++)
          socket.send(frame(frameType.continuation, 0, 1, fields([[`x-${i}`, 'y'.repeat(1000)]])));
      }
      for (const socket of sockets) await until(() => socket.closed, 'the connection is refused', 20_000);
    }));

  it('of settings, pings and empty frames', () =>
    servesOthers(async () => {
      const sockets = open(4);
      for (const socket of sockets) {
        socket.send(frame(frameType.headers, flag.endHeaders, 1, fields([...path])));
        for (let i = 0; i < 3000; i++)
          socket.send(
            frame(frameType.settings, 0, 0),
            frame(frameType.ping, 0, 0, Buffer.alloc(8)),
            frame(frameType.data, 0, 1),
          );
        await flushed(socket);
      }
      end(sockets);
    }));

  it('of frames that are none', () =>
    servesOthers(async () => {
      const sockets = open(10);
      for (const [index, socket] of sockets.entries())
        socket.send(frame(index, 255, index, Buffer.alloc(index * 100, 255)), frame(frameType.headers, 4, 0));
      for (const socket of sockets) await until(() => socket.closed, 'the connection is refused', 20_000);
    }));

  it('of requests that are sent a byte at a time, and never whole: they are ended', () =>
    servesOthers(async () => {
      const ended: string[] = [];
      const sockets = Array.from({ length: 100 }, () => {
        const socket = createConnection(firstPort, world.address);
        let received = '';
        socket.on('data', (chunk) => {
          received += chunk.toString('latin1');
        });
        socket.on('error', () => {});
        socket.on('close', () => ended.push(received));
        socket.write('GET /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nX-Slow: ');
        return socket;
      });
      const drip = setInterval(() => {
        for (const socket of sockets) if (socket.writable) socket.write('x');
      }, 500);
      try {
        await until(() => ended.length === sockets.length, 'all are ended', 60_000);
      } finally {
        clearInterval(drip);
      }
      for (const text of ended) assert.match(text, /^HTTP\/1\.1 408 /);
    }));

  it('of bodies without end costs no memory', () =>
    servesOthers(async () => {
      const resident = () =>
        Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${world.agent.pid}/status`, 'utf8'))![1]);
      const before = resident();
      const chunk = Buffer.concat([
        Buffer.from('10000\r\n'),
        Buffer.alloc(0x10000, 120),
        Buffer.from('\r\n'),
      ]);
      const sockets = Array.from({ length: 10 }, () => {
        const socket = createConnection(firstPort, world.address);
        socket.on('error', () => {});
        socket.write(post('Transfer-Encoding: chunked', ''));
        return socket;
      });
      for (let i = 0; i < 100; i++) {
        for (const socket of sockets) {
          socket.write(chunk);
          await until(() => socket.writableLength < 1 << 20 || socket.destroyed, 'it is read', 20_000);
        }
      }
      const grown = resident() - before;
      for (const socket of sockets) socket.destroy();
      assert.ok(grown < 32 * 1024, `${grown} KiB for ${sockets.length * 100 * 64} KiB`);
    }));
});

describe('what is too large', () => {
  for (const [what, text] of [
    ['a header', `GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`],
    ['a path', `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a method', `${'X'.repeat(100_000)} / HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a number of headers', `GET / HTTP/1.1\r\nHost: a\r\n${'x: y\r\n'.repeat(200)}\r\n`],
  ] as const) {
    it(`${what} is refused`, async () => {
      assert.match(await raw(text, 2_000), /^HTTP\/1\.1 (400|414|431) /);
    });
  }

  it('fields of HTTP/2 are refused', async () => {
    const socket = new Http2Socket(world.address, firstPort);
    const huge = fields([
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'a'],
      ['x', 'y'.repeat(15_900)],
    ]);
    socket.send(frame(frameType.headers, flag.endHeaders | flag.endStream, 1, huge));
    await until(
      () =>
        socket.closed ||
        [frameType.headers, frameType.reset, frameType.goaway].some((type) => socket.received[type]),
      'an answer',
    );
    socket.socket.destroy();
  });
});
