import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { KubeClient } from './client.ts';
import { type Connection, connect } from './connection.ts';
import { type Activity, type Change, Informer, type InformerOptions } from './informer.ts';
import { type KubeObject, keyOf } from './object.ts';
import { resources } from './resources.ts';
import { answer, ScriptedApi } from './testing/scripted-api.ts';
import { until } from './testing/until.ts';

type Pod = KubeObject & { spec: unknown };

let api: ScriptedApi;
let connection: Connection;
let informers: Informer<Pod>[];

beforeEach(async () => {
  api = new ScriptedApi();
  await api.start();
  connection = connect({ server: `http://127.0.0.1:${api.port}` });
  informers = [];
});

afterEach(async () => {
  await Promise.all(informers.map((informer) => informer.stop()));
  await connection.close?.();
  await api.stop();
});

function informer(options: InformerOptions<Pod> = {}): Informer<Pod> {
  const created = new Informer<Pod>(new KubeClient(connection), resources.pods, {
    backOff: { baseMs: 2, capMs: 20 },
    ...options,
  });
  informers.push(created);
  return created;
}

/** What the server has, as the informer should hold it. */
function truth(): Map<string, string> {
  return new Map([...api.objects].map(([key, object]) => [key, object.metadata.resourceVersion!]));
}

function held(pods: Informer<Pod>): Map<string, string> {
  return new Map(pods.list().map((pod) => [keyOf(pod), pod.metadata.resourceVersion!]));
}

const same = (a: Map<string, string>, b: Map<string, string>) =>
  a.size === b.size && [...a].every(([key, version]) => b.get(key) === version);

test('it lists, then follows; objects have a type, no managedFields, and cannot be written to', async () => {
  api.put('a', { size: 1 });
  const pods = informer();
  const changes: Change<Pod>[] = [];
  pods.subscribe((change) => changes.push(change));
  pods.start();
  await pods.synced;
  assert.deepEqual(pods.get('ns/a'), {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', namespace: 'ns', uid: 'uid-1', resourceVersion: '101' },
    spec: { size: 1 },
  });
  assert.throws(() => {
    (pods.get('ns/a')!.spec as { size: number }).size = 2;
  }, TypeError);
  await until('a watch', () => api.watchers === 1);
  api.put('a', { size: 2 });
  api.put('b');
  api.remove('a');
  await until('events', () => changes.length === 4);
  assert.deepEqual(
    changes.map(({ key, now, before }) => [
      key,
      before?.metadata.resourceVersion,
      now?.metadata.resourceVersion,
    ]),
    [
      ['ns/a', undefined, '101'],
      ['ns/a', '101', '102'],
      ['ns/b', undefined, '103'],
      ['ns/a', '102', undefined],
    ],
  );
  assert.deepEqual(pods.list().map(keyOf), ['ns/b']);
});

test('a large collection comes in pages; a page token that expires starts the list again', async () => {
  for (let i = 0; i < 1200; i++) api.put(`p${i}`);
  let compacted = false;
  api.scripts.push((request) => {
    if (request.query.has('continue') && !compacted) {
      compacted = true;
      api.compact();
      api.put('late');
    }
    return false;
  });
  const pods = informer();
  pods.start();
  await pods.synced;
  assert.equal(pods.list().length, 1201);
  const lists = api.requests.filter((request) => !request.query.has('watch'));
  assert.equal(lists[0]!.query.get('limit'), '500');
  assert.ok(lists.filter((request) => !request.query.has('continue')).length >= 2, 'the list started again');
});

test('when tokens expire all the time, everything comes in one page', async () => {
  for (let i = 0; i < 600; i++) api.put(`p${i}`);
  api.scripts.push((request) => {
    if (request.query.has('continue')) api.compact();
    return false;
  });
  const pods = informer();
  pods.start();
  await pods.synced;
  assert.equal(pods.list().length, 600);
  assert.equal(
    api.requests
      .filter((r) => !r.query.has('watch'))
      .at(-1)!
      .query.has('limit'),
    false,
  );
});

test('bookmarks move the version from which it watches again', async () => {
  api.put('a');
  const pods = informer();
  pods.start();
  await until('a watch', () => api.watchers === 1);
  assert.equal(api.requests.at(-1)!.query.get('allowWatchBookmarks'), 'true');
  const seconds = Number(api.requests.at(-1)!.query.get('timeoutSeconds'));
  assert.ok(seconds >= 300 && seconds <= 600, `${seconds} s`);
  for (let i = 0; i < 5; i++) api.remove('of-another-kind');
  api.put('b');
  await until('b', () => pods.get('ns/b') !== undefined);
  api.bookmark();
  api.endWatches();
  await until('another watch', () => api.watchers === 1);
  assert.equal(api.requests.at(-1)!.query.get('resourceVersion'), api.version);
  assert.equal(api.requests.filter((request) => !request.query.has('watch')).length, 1, 'no second list');
});

for (const how of ['status', 'event'] as const) {
  test(`410 on watch (as ${how}) lists again, and tells of what was missed`, async () => {
    api.put('gone');
    api.put('changed', 1);
    api.put('replaced');
    api.put('same');
    const pods = informer();
    const changes: Change<Pod>[] = [];
    pods.start();
    await until('a watch', () => api.watchers === 1);
    pods.subscribe((change) => changes.push(change));
    changes.length = 0;
    const replacedUid = pods.get('ns/replaced')!.metadata.uid;
    api.stallWatches();
    api.remove('gone');
    api.put('changed', 2);
    api.remove('replaced');
    api.put('replaced');
    api.put('new');
    if (how === 'status') {
      api.compact();
      api.dropConnections();
    } else {
      api.scripts.push((request, response) => {
        if (!request.query.has('watch')) return false;
        response.end(
          '{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n',
        );
        return true;
      });
      api.dropConnections();
    }
    await until('the same state', () => same(held(pods), truth()));
    const seen = changes.map(({ key, now, before }) => `${before ? '-' : ''}${now ? '+' : ''}${key}`).sort();
    assert.deepEqual(seen, ['+ns/new', '+ns/replaced', '-+ns/changed', '-ns/gone', '-ns/replaced'].sort());
    const gone = changes.find(({ key, now }) => key === 'ns/replaced' && now === undefined)!;
    assert.equal(gone.before!.metadata.uid, replacedUid);
  });
}

test('a watch that falls silent is given up', async () => {
  const pods = informer({ inactivityMs: 60 });
  pods.start();
  await until('a watch', () => api.watchers === 1);
  api.stallWatches();
  api.put('a');
  await until('a', () => pods.get('ns/a') !== undefined);
});

test('bookmarks alone keep a watch alive', async () => {
  const pods = informer({ inactivityMs: 400 });
  pods.start();
  await until('a watch', () => api.watchers === 1);
  const started = performance.now();
  const timer = setInterval(() => api.bookmark(), 40);
  await until('longer than the limit', () => performance.now() - started > 900);
  clearInterval(timer);
  assert.equal(api.requests.filter((request) => request.query.has('watch')).length, 1);
});

test('429 is answered with the pause that the server asks for', async () => {
  let refused = 0;
  api.scripts.push((_, response) => {
    refused = performance.now();
    answer(response, 429, 'TooManyRequests', { 'retry-after': '0.3' });
    return true;
  });
  const pods = informer();
  pods.start();
  await pods.synced;
  assert.ok(performance.now() - refused >= 295, 'it waited');
});

test('it survives every kind of failure until the server is back', async () => {
  const codes = [500, 503, 403, 404, 400, 401, 401];
  for (const code of codes) {
    api.scripts.push((_, response) => {
      answer(response, code, 'Scripted');
      return true;
    });
  }
  api.scripts.push((_, response) => {
    response.end('{"items": [');
    return true;
  });
  api.scripts.push((_, response) => {
    response.destroy();
    return true;
  });
  const failures: Activity[] = [];
  const pods = informer({ observe: (activity) => failures.push(activity) });
  api.put('a');
  pods.start();
  await pods.synced;
  assert.ok(pods.get('ns/a'));
  assert.ok(failures.filter((activity) => activity === 'failure').length >= codes.length - 1);
});

test('a server that ends every watch at once is not asked in a hot loop', async () => {
  for (let i = 0; i < 100; i++) {
    api.scripts.push((request, response) => {
      if (!request.query.has('watch')) return false;
      response.end();
      return true;
    });
  }
  const pods = informer({ backOff: { baseMs: 40, capMs: 40 } });
  pods.start();
  await pods.synced;
  const started = performance.now();
  await until('300 ms', () => performance.now() - started > 300);
  const watches = api.requests.filter((request) => request.query.has('watch')).length;
  assert.ok(watches >= 2 && watches <= 20, `${watches} watches`);
});

test('a handler that throws is logged, and neither it nor others lose anything', async () => {
  const errors: string[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (message: string) => errors.push(message) };
  const pods = informer({ logger });
  const seen: string[] = [];
  pods.subscribe(({ key }) => {
    seen.push(`1 ${key}`);
    throw new Error('bad handler');
  });
  pods.subscribe(({ key }) => seen.push(`2 ${key}`));
  api.put('a');
  pods.start();
  await until('a watch', () => api.watchers === 1);
  api.put('b');
  await until('b', () => seen.length === 4);
  assert.deepEqual(seen, ['1 ns/a', '2 ns/a', '1 ns/b', '2 ns/b']);
  assert.equal(errors.length, 2);
  assert.match(errors[0]!, /bad handler/);
});

test('a late subscriber gets what is there; an ended subscription gets nothing', async () => {
  api.put('a');
  const pods = informer();
  pods.start();
  await until('a watch', () => api.watchers === 1);
  const seen: string[] = [];
  const others: string[] = [];
  const end = pods.subscribe(({ key }) => seen.push(key));
  pods.subscribe(({ key }) => others.push(key));
  assert.deepEqual(seen, ['ns/a']);
  end();
  api.put('b');
  await until('b', () => others.includes('ns/b'));
  assert.deepEqual(seen, ['ns/a']);
});

test('indexes follow every change', async () => {
  const pods = informer({ indexes: { color: (pod) => (pod.spec as { colors: string[] }).colors } });
  api.put('a', { colors: ['red', 'blue'] });
  api.put('b', { colors: ['red'] });
  pods.start();
  await until('a watch', () => api.watchers === 1);
  const names = (color: string) => pods.byIndex('color', color).map((pod) => pod.metadata.name);
  assert.deepEqual(names('red'), ['a', 'b']);
  api.put('a', { colors: ['green'] });
  api.remove('b');
  await until('the deletion', () => pods.list().length === 1);
  assert.deepEqual([names('red'), names('blue'), names('green')], [[], [], ['a']]);
  assert.throws(() => pods.byIndex('size', 'x'), /no index "size"/);
});

test('stopping before the first list rejects synced; stopping twice is fine', async () => {
  api.scripts.push(() => true);
  const pods = informer();
  pods.start();
  await until('the request', () => api.requests.length === 1);
  await pods.stop();
  await pods.stop();
  await assert.rejects(pods.synced, /stopped before it had synced/);
});

type Step =
  | { do: 'put' | 'remove'; name: string }
  | { do: 'wait'; ms: number }
  | { do: 'end' | 'cut' | 'drop' | 'stall' | 'compact' | 'gone' | 'bookmark' }
  | { do: 'refuse'; code: number };

const names = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('put' as const, 'remove' as const), name: names }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 12 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(...(['end', 'cut', 'drop', 'stall', 'compact', 'gone', 'bookmark'] as const)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('refuse' as const),
      code: fc.constantFrom(401, 410, 429, 500, 503),
    }),
  },
);

test('after any changes and faults it holds what the server holds, and its events tell that story', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 5, maxLength: 40 }), async (script) => {
      const server = new ScriptedApi();
      await server.start();
      const link = connect({ server: `http://127.0.0.1:${server.port}` });
      const pods = new Informer<Pod>(new KubeClient(link), resources.pods, {
        backOff: { baseMs: 1, capMs: 8 },
        inactivityMs: 80,
      });
      /** What somebody believes who only listens. */
      const believed = new Map<string, string>();
      const newest = new Map<string, number>();
      // A handler that throws is only logged.
      const complaints: string[] = [];
      pods.subscribe(({ key, now, before }) => {
        if (before?.metadata.resourceVersion !== believed.get(key))
          complaints.push(`${key}: before is not the last`);
        const version = Number((now ?? before)!.metadata.resourceVersion);
        if (version < (newest.get(key) ?? 0)) complaints.push(`${key} goes back in time`);
        newest.set(key, version);
        if (now === undefined) believed.delete(key);
        else believed.set(key, now.metadata.resourceVersion!);
      });
      let broken: unknown;
      pods.start();
      try {
        for (const step of script) await play(server, step);
        const expected = () =>
          new Map([...server.objects].map(([key, object]) => [key, object.metadata.resourceVersion!]));
        await until('the informer equals the server', () => same(held(pods), expected()), 5000);
        assert.ok(same(believed, expected()), 'the events told all of it');
        assert.deepEqual(complaints, []);
      } catch (error) {
        broken = error;
      }
      await pods.stop();
      await link.close?.();
      await server.stop();
      if (broken) throw broken;
    }),
    { numRuns: 60 },
  );
});

async function play(server: ScriptedApi, step: Step): Promise<void> {
  switch (step.do) {
    case 'put':
      return server.put(step.name, Math.random());
    case 'remove':
      return server.remove(step.name);
    case 'wait':
      await new Promise((resolve) => setTimeout(resolve, step.ms));
      return;
    case 'end':
      return server.endWatches();
    case 'cut':
      return server.cutWatches();
    case 'drop':
      return server.dropConnections();
    case 'stall':
      return server.stallWatches();
    case 'compact':
      return server.compact();
    case 'gone':
      return server.failWatches(410, 'Expired');
    case 'bookmark':
      return server.bookmark();
    case 'refuse':
      server.scripts.push((_, response) => {
        answer(response, step.code, 'Scripted', { 'retry-after': '0' });
        return true;
      });
  }
}
