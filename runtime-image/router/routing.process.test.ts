/** A running router: which pod answers which request, and what answers say. */
import assert from 'node:assert/strict';
import type http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { call, connect, grpcLoad, httpLoad, request, until } from './testing/client.ts';
import type { Pod } from './testing/pod.ts';
import { firstPort, World } from './testing/world.ts';

let world: World;
let five: Pod;
let six: Pod;

before(async () => {
  world = await World.start();
  five = await world.pod('5.0.0');
  await world.pod('5.0.0');
  six = await world.pod('6.0.0');
  await world.split({ '5.0.0': 70, '6.0.0': 30 });
});
after(() => world.stop());

/** Four standard deviations of a share: one run in 16,000 fails by chance. */
function assertShare(counts: Record<string, number>, key: string, share: number): void {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const allowed = 4 * Math.sqrt((share * (1 - share)) / total);
  const found = (counts[key] ?? 0) / total;
  assert.ok(
    Math.abs(found - share) <= allowed,
    `${key}: ${found} of ${total}, expected ${share} ± ${allowed}`,
  );
}

describe('the split', () => {
  it('is exact for HTTP/1.1, and independent of the number of pods', async () => {
    const load = httpLoad(world.address, 16);
    await until(() => load.count >= 4000, '4000 requests', 20_000);
    const counts = await load.stop();
    assert.deepEqual(Object.keys(counts).sort(), ['200 5.0.0', '200 6.0.0']);
    assertShare(counts, '200 6.0.0', 0.3);
  });

  it('is exact for the calls of one gRPC connection', async () => {
    const load = grpcLoad(world.address, 16);
    await until(() => load.count >= 4000, '4000 calls', 20_000);
    const counts = await load.stop();
    assert.deepEqual(Object.keys(counts).sort(), ['0 5.0.0', '0 6.0.0']);
    assertShare(counts, '0 6.0.0', 0.3);
  });

  it('is the same over clear-text HTTP/2 without gRPC', async () => {
    const session = connect(world.address);
    try {
      const answer = await call(session, { 'content-type': 'application/json' });
      assert.equal(answer.headers[':status'], 200);
      assert.match(answer.body.toString(), /"version":"[56]\.0\.0"/);
    } finally {
      session.destroy();
    }
  });
});

describe('pinning', () => {
  for (const [how, path, headers] of [
    ['by path', '/v2/models/m/versions/6.0.0/infer', {}],
    ['by an escaped path', '/v2/models/m/versions/6%2E0%2E0/infer', {}],
    ['by header', '/v2/models/m/infer', { 'sluice-version': '6.0.0' }],
    ['by path before header', '/v2/models/m/versions/6.0.0', { 'sluice-version': '5.0.0' }],
  ] as const) {
    it(how, async () => {
      for (let i = 0; i < 20; i++) {
        const answer = await request(world.address, path, { headers });
        assert.equal(answer.headers['sluice-version'], '6.0.0');
        assert.equal(JSON.parse(answer.body).version, '6.0.0');
      }
      assert.equal(six.lastHeaders['sluice-version'], '6.0.0');
    });
  }

  it('by gRPC metadata', async () => {
    const session = connect(world.address);
    try {
      for (let i = 0; i < 20; i++) {
        const answer = await call(session, { 'sluice-version': '6.0.0' });
        assert.equal(answer.headers['sluice-version'], '6.0.0');
        assert.equal(answer.trailers['x-pod'], six.address);
      }
    } finally {
      session.destroy();
    }
  });

  for (const version of [
    '7.0.0',
    '',
    'a b',
    '5.0.0, 6.0.0',
    '"},{"x":"',
    '%[env(HOME)]',
    '6.0.0\u00fc',
    '../5.0.0',
  ]) {
    it(`to the unknown version ${JSON.stringify(version)} is refused with its name`, async () => {
      const answer = await request(world.address, '/v2/models/m/infer', {
        headers: { 'sluice-version': version },
      });
      assert.equal(answer.status, 404);
      const { error } = JSON.parse(answer.body);
      const shown = Buffer.from(version, 'latin1').toString('latin1');
      assert.match(error, /^version \S* is not served$/);
      assert.equal(unescapeLatin1(error.split(' ')[1]), shown);
      assert.equal(answer.headers['sluice-version'], undefined);
    });
  }

  it('to an unknown version is refused in gRPC terms', async () => {
    const session = connect(world.address);
    try {
      const answer = await call(session, { 'sluice-version': '7.0.0' });
      assert.equal(answer.status, 5);
      assert.equal(answer.headers[':status'], 200);
      assert.equal(answer.headers['content-type'], 'application/grpc');
      assert.equal(answer.headers['grpc-message'], 'version 7.0.0 is not served');
      assert.ok(answer.trailersOnly);
    } finally {
      session.destroy();
    }
  });
});

describe('what a client cannot do', () => {
  it('get a version believed that the pod made up', async () => {
    const { headers, body } = await request(world.address, '/v2/models/m/infer', { body: '{}' });
    assert.equal(headers['sluice-version'], JSON.parse(body).version);
  });

  it('hand the router its own marks', async () => {
    await request(world.address, '/v2/models/m/versions/5.0.0', { headers: { 'sluice-hop': '2' } });
    assert.equal(five.lastHeaders['sluice-hop'] ?? world.pods[1]?.lastHeaders['sluice-hop'], undefined);
  });

  it('choose by several headers', async () => {
    const answer = await request(world.address, '/', {
      headers: { 'sluice-version': ['6.0.0', 'nonsense'] },
    });
    assert.equal(answer.status, 404);
  });
});

describe('where nothing is to be found', () => {
  it('an unused port says so in JSON', async () => {
    const answer = await request(world.address, '/', { port: firstPort + 7 });
    assert.equal(answer.status, 404);
    assert.deepEqual(JSON.parse(answer.body), { error: `no model is served on port ${firstPort + 7}` });
  });

  it('an unused port says so in gRPC', async () => {
    const session = connect(world.address, firstPort + 7);
    try {
      const answer = await call(session);
      assert.deepEqual([answer.status, answer.trailersOnly], [14, true]);
    } finally {
      session.destroy();
    }
  });

  it('a model without a ready version says 503 and when to come again', async () => {
    await world.split({ '5.0.0': 70, '6.0.0': 30 }, []);
    try {
      const answer = await request(world.address, '/v2/models/m/infer', { body: '{}' });
      assert.equal(answer.status, 503);
      assert.equal(answer.headers['retry-after'], '1');
      assert.equal(typeof JSON.parse(answer.body).error, 'string');
      const pinned = await request(world.address, '/v2/models/m/versions/6.0.0/infer', { body: '{}' });
      assert.equal(pinned.status, 503);
      const session = connect(world.address);
      const grpc = await call(session);
      session.destroy();
      assert.deepEqual([grpc.status, grpc.headers[':status'], grpc.trailersOnly], [14, 200, true]);
    } finally {
      await world.split({ '5.0.0': 70, '6.0.0': 30 });
    }
  });
});

describe('streams', () => {
  it('carry messages both ways while they are open', async () => {
    const session = connect(world.address);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelStreamInfer',
      'content-type': 'application/grpc',
    });
    const received: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => received.push(chunk));
    for (let i = 1; i <= 3; i++) {
      stream.write(Buffer.from([0, 0, 0, 0, 1, i]));
      await until(() => Buffer.concat(received).length === 6 * i, `message ${i} comes back`);
    }
    const trailers = new Promise<http.IncomingHttpHeaders>((resolve) => stream.once('trailers', resolve));
    stream.end();
    assert.equal((await trailers)['grpc-status'], '0');
    session.destroy();
  });
});

function unescapeLatin1(text: string): string {
  return text
    .replace(/\+/g, ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
