/** A running router that does more than share: what users stay with, what routes lead to, what clients may not choose. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Policy } from './policy.ts';
import { call, connect, httpLoad, request, until } from './testing/client.ts';
import { firstPort, World } from './testing/world.ts';

let world: World;
/** A second router of the same namespace, with other processes, threads and slots. */
let twin: World;

before(async () => {
  world = await World.start();
  twin = await World.start({ threads: 1 });
  for (const version of ['5.0.0', '6.0.0', '7.0.0']) await world.pod(version);
});
after(async () => {
  await twin.stop();
  await world.stop();
});

const infer = '/v2/models/m/infer';

/** Which version answers a request with the headers, on a connection of its own: one that idles over a reload is late. */
async function versionFor(
  headers: Readonly<Record<string, string>>,
  { router = world, path = infer }: { router?: World; path?: string } = {},
): Promise<string> {
  const answer = await request(router.address, path, { headers, body: '{}' });
  assert.equal(answer.status, 200, answer.body);
  assert.equal(answer.headers['sluice-version'], JSON.parse(answer.body).version);
  return String(answer.headers['sluice-version']);
}

const reloads = () => world.events.filter((event) => event.kind === 'reload').length;

async function share(candidate: number, policy: Policy, routed: readonly string[] = []): Promise<void> {
  await world.split({ '5.0.0': 100 - candidate, '6.0.0': candidate }, undefined, { policy, routed });
}

const users = Array.from({ length: 200 }, (_, index) => `user-${index}`);

describe('a sticky header', () => {
  const policy: Policy = { sticky: { header: 'x-user-id' } };
  const candidates = async (router = world) => {
    const found = new Set<string>();
    for (const user of users)
      if ((await versionFor({ 'x-user-id': user }, { router })) === '6.0.0') found.add(user);
    return found;
  };

  it('keeps every user on the candidate while its share grows, without a reload', async () => {
    await share(0, policy);
    const before = reloads();
    let on = new Set<string>();
    for (const weight of [0, 5, 25, 50, 100]) {
      await share(weight, policy);
      const now = await candidates();
      assert.ok(
        [...on].every((user) => now.has(user)),
        `at ${weight} %`,
      );
      const expected = (users.length * weight) / 100;
      assert.ok(
        Math.abs(now.size - expected) <= 5 * Math.sqrt(users.length * 0.25),
        `${now.size} of ${expected}`,
      );
      on = now;
    }
    assert.equal(on.size, users.length);
    assert.equal(reloads(), before);
  });

  it('means the same to every router, and after a restart', async () => {
    await share(30, policy);
    const here = await candidates();
    await twin.set(
      [
        {
          name: 'other',
          uid: 'a',
          port: firstPort + 1,
          generation: 1,
          traffic: [{ version: '9', weight: 100 }],
        },
      ],
      [],
    );
    await twin.split({ '5.0.0': 70, '6.0.0': 30 }, world.pods, { policy });
    assert.deepEqual(await candidates(twin), here);
    process.kill(world.agent.pid!, 'SIGKILL');
    await until(() => versionFor({}).then(Boolean, () => false), 'HAProxy is back');
    assert.deepEqual(await candidates(), here);
  });

  it('is for gRPC too', async () => {
    await share(50, policy);
    const session = connect(world.address);
    try {
      for (const user of users.slice(0, 40)) {
        const answer = await call(session, { 'x-user-id': user });
        assert.equal(answer.headers['sluice-version'], await versionFor({ 'x-user-id': user }));
      }
    } finally {
      session.destroy();
    }
  });

  it('leaves requests without it, or with an empty one, to chance', async () => {
    await share(50, policy);
    for (const headers of [{}, { 'x-user-id': '' }]) {
      const load = httpLoad(world.address, 4, { headers });
      await until(() => load.count >= 200, 'requests');
      const counts = await load.stop();
      assert.deepEqual(Object.keys(counts).sort(), ['200 5.0.0', '200 6.0.0']);
    }
  });

  it('does not stand against a pin', async () => {
    await share(0, policy);
    assert.equal(await versionFor({ 'x-user-id': 'a', 'sluice-version': '6.0.0' }), '6.0.0');
  });

  it('falls to another version while its own has no pod', async () => {
    await share(50, policy);
    await world.split({ '5.0.0': 50, '6.0.0': 50 }, world.pods.slice(0, 1), { policy });
    for (const user of users.slice(0, 30)) assert.equal(await versionFor({ 'x-user-id': user }), '5.0.0');
  });
});

describe('a sticky cookie', () => {
  const policy: Policy = { sticky: { cookie: 'affinity' } };
  const first = (headers: Readonly<Record<string, string>> = {}) =>
    request(world.address, infer, { headers, body: '{}' });

  it('is given to whoever has none, and keeps him where he is', async () => {
    await share(50, policy);
    const seen = new Set<string>();
    for (let i = 0; i < 30; i++) {
      const answer = await first();
      const [cookie = '', ...others] = answer.headers['set-cookie'] ?? [];
      assert.deepEqual(others, []);
      assert.match(cookie, /^affinity=[0-9a-f-]{36}; Path=\/; HttpOnly; SameSite=Lax$/);
      const [pair] = cookie.split(';');
      const version = String(answer.headers['sluice-version']);
      seen.add(version);
      for (let k = 0; k < 5; k++) {
        const next = await first({ cookie: `a=b; ${pair}` });
        assert.equal(next.headers['sluice-version'], version);
        assert.equal(next.headers['set-cookie'], undefined);
      }
    }
    assert.equal(seen.size, 2);
  });

  it('is Secure where TLS was ended before', async () => {
    const [cookie] = (await first({ 'x-forwarded-proto': 'https' })).headers['set-cookie'] ?? [];
    assert.match(cookie ?? '', /; HttpOnly; SameSite=Lax; Secure$/);
  });

  it('is not given to those who chose a version, and not over gRPC', async () => {
    assert.equal((await first({ 'sluice-version': '6.0.0' })).headers['set-cookie'], undefined);
    const session = connect(world.address);
    try {
      assert.equal((await call(session)).headers['set-cookie'], undefined);
    } finally {
      session.destroy();
    }
  });

  for (const value of ['', '"', 'x'.repeat(8000), '%0d%0aset-cookie:%20a=b', '\u00ff', 'a=b=c']) {
    it(`with the value ${JSON.stringify(value.slice(0, 30))} from a client is as good as another`, async () => {
      const answer = await first({ cookie: `affinity=${value}` });
      assert.equal(answer.status, 200);
      if (value !== '') assert.equal(answer.headers['set-cookie'], undefined);
    });
  }
});

describe('routes', () => {
  const policy: Policy = {
    routes: [
      { headers: [{ name: 'x-tenant', value: 'beta' }], version: '7.0.0' },
      {
        headers: [{ name: 'X-Tenant', value: 'two "words"; # \\ %[x]' }],
        prefix: '/v2/models/m',
        version: '6.0.0',
      },
      { headers: [], prefix: '/trial/', version: '7.0.0' },
      { headers: [], prefix: '/trial', version: '6.0.0' },
    ],
  };
  before(() => share(0, policy, ['6.0.0', '7.0.0']));

  for (const [what, headers, path, version] of [
    ['a header', { 'x-tenant': 'beta' }, infer, '7.0.0'],
    ['a header, in any case of its name', { 'X-TENANT': 'beta' }, infer, '7.0.0'],
    ['not another value', { 'x-tenant': 'Beta' }, infer, '5.0.0'],
    ['not a longer value', { 'x-tenant': 'beta2' }, infer, '5.0.0'],
    ['a value of any characters, and a path', { 'x-tenant': 'two "words"; # \\ %[x]' }, infer, '6.0.0'],
    ['not one of the two', { 'x-tenant': 'two "words"; # \\ %[x]' }, '/elsewhere', '5.0.0'],
    ['a path', {}, '/trial', '7.0.0'],
    ['a path below it', {}, '/trial/a/b?c=d', '7.0.0'],
    ['not a longer name', {}, '/trials', '5.0.0'],
    ['a pin before a route', { 'x-tenant': 'beta', 'sluice-version': '6.0.0' }, infer, '6.0.0'],
  ] as const) {
    it(`by ${what}`, async () => {
      for (let i = 0; i < 5; i++) assert.equal(await versionFor(headers, { path }), version);
    });
  }

  it('by gRPC metadata', async () => {
    const session = connect(world.address);
    try {
      assert.equal((await call(session, { 'x-tenant': 'beta' })).headers['sluice-version'], '7.0.0');
      assert.equal((await call(session)).headers['sluice-version'], '5.0.0');
    } finally {
      session.destroy();
    }
  });

  it('fall to the shares while the version may have no requests, or has no pod', async () => {
    const before = reloads();
    await share(0, policy, ['6.0.0']);
    assert.equal(await versionFor({ 'x-tenant': 'beta' }), '5.0.0', 'not named in the status');
    await world.split({ '5.0.0': 100, '6.0.0': 0 }, world.pods.slice(0, 2), { policy, routed: ['7.0.0'] });
    assert.equal(await versionFor({ 'x-tenant': 'beta' }), '5.0.0', 'no pod');
    await share(0, policy, ['7.0.0']);
    assert.equal(await versionFor({ 'x-tenant': 'beta' }), '7.0.0');
    assert.equal(reloads(), before, 'versions come and go without a reload');
  });

  it('lose no request to a version that dies', async () => {
    const doomed = await world.pod('8.0.0');
    const routes = [{ headers: [{ name: 'x-tenant', value: 'doomed' }], version: '8.0.0' }];
    await world.split({ '5.0.0': 100 }, undefined, { policy: { routes }, routed: ['8.0.0'] });
    assert.equal(await versionFor({ 'x-tenant': 'doomed' }), '8.0.0');
    await doomed.kill();
    assert.equal(await versionFor({ 'x-tenant': 'doomed' }), '5.0.0');
    world.pods.splice(world.pods.indexOf(doomed), 1);
  });
});

describe('a model whose rules change', () => {
  it('is reloaded under load, and no client notices', async () => {
    await world.split({ '5.0.0': 100 });
    const load = httpLoad(world.address, 8);
    const before = reloads();
    for (const policy of [
      { sticky: { header: 'x-a' } },
      { sticky: { header: 'x-a' }, pinning: 'disabled' },
      { timeouts: { responseMs: 30_000 } },
      undefined,
    ] as const) {
      const from = load.count;
      await world.split({ '5.0.0': 100 }, undefined, policy ? { policy } : {});
      await until(() => load.count > from + 100, 'load goes on');
    }
    assert.deepEqual(Object.keys(await load.stop()), ['200 5.0.0']);
    assert.equal(reloads(), before + 4);
  });

  it('leaves the other models as they are', async () => {
    const other = {
      name: 'other',
      uid: 'uid-o',
      port: firstPort + 3,
      generation: 1,
      stable: '6.0.0',
      traffic: [{ version: '6.0.0', weight: 100 }],
    };
    const model = {
      name: 'm',
      uid: 'uid-m',
      port: firstPort,
      generation: 1,
      stable: '5.0.0',
      traffic: [{ version: '5.0.0', weight: 100 }],
      policy: { pinning: 'disabled' as const },
    };
    const theirs = { ...world.pods[1]!.endpoint, model: 'other' };
    await world.set([model, other], [...world.pods, theirs]);
    const answer = await request(world.address, '/', {
      port: firstPort + 3,
      headers: { 'sluice-version': '6.0.0' },
    });
    assert.deepEqual([answer.status, answer.headers['sluice-version']], [200, '6.0.0']);
    assert.equal(await versionFor({ 'sluice-version': '6.0.0' }), '5.0.0');
  });
});

describe('pinning that is disabled', () => {
  before(() => share(0, { pinning: 'disabled' }));

  it('ignores the header, over HTTP and gRPC', async () => {
    assert.equal(await versionFor({ 'sluice-version': '6.0.0' }), '5.0.0');
    assert.equal(world.pods[0]!.lastHeaders['sluice-version'], undefined);
    const session = connect(world.address);
    try {
      assert.equal((await call(session, { 'sluice-version': '6.0.0' })).headers['sluice-version'], '5.0.0');
    } finally {
      session.destroy();
    }
  });

  it('refuses the path', async () => {
    const answer = await request(world.address, '/v2/models/m/versions/6.0.0/infer', { body: '{}' });
    assert.equal(answer.status, 404);
    assert.deepEqual(JSON.parse(answer.body), {
      error: 'versions of this model cannot be chosen by clients',
    });
  });
});

describe('timeouts', () => {
  it('end what does not answer in time, and nothing else', async () => {
    const [slow] = world.pods;
    slow!.delayMs = 2_000;
    try {
      await share(0, { timeouts: { responseMs: 100 } });
      const answer = await request(world.address, infer, { body: '{}' });
      assert.equal(answer.status, 504);
      assert.equal(typeof JSON.parse(answer.body).error, 'string');
      const session = connect(world.address);
      const grpc = await call(session);
      session.destroy();
      assert.deepEqual([grpc.status, grpc.headers[':status']], [4, 200]);
      slow!.delayMs = 300;
      await share(0, { timeouts: { responseMs: 20_000 } });
      assert.equal(await versionFor({}), '5.0.0');
    } finally {
      slow!.delayMs = 0;
    }
  });
});
