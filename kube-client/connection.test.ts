import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { KubeClient } from './client.ts';
import { type Connection, connect, loadConnection } from './connection.ts';
import { isConflict, isNetwork, KubeError } from './errors.ts';
import { loadAccess } from './kubeconfig.ts';
import { resources } from './resources.ts';
import { certificates } from './testing/certificates.ts';
import { answer, ScriptedApi } from './testing/scripted-api.ts';

const { one, two } = certificates;
let folder: string;
let cleanup: (() => Promise<unknown> | undefined)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-kube-'));
  cleanup = [];
});

afterEach(async () => {
  for (const end of cleanup.reverse()) await end();
  rmSync(folder, { recursive: true });
});

async function serve(tls?: { cert: string; key: string }): Promise<ScriptedApi> {
  const api = new ScriptedApi(tls);
  await api.start();
  cleanup.push(() => api.stop());
  return api;
}

function use(connection: Connection): KubeClient {
  cleanup.push(() => connection.close?.());
  return new KubeClient(connection);
}

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

function kubeconfig(cluster: object, user: object, name = 'config'): string {
  const config = {
    'current-context': 'here',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'team' } }],
  };
  return file(name, JSON.stringify(config));
}

test('a kubeconfig with certificates in place, a token file relative to it, and a namespace', async () => {
  const api = await serve(one);
  file('token', 'first\n');
  const connection = loadConnection({
    kubeconfig: kubeconfig(
      {
        server: `https://127.0.0.1:${api.port}/`,
        'certificate-authority-data': Buffer.from(one.cert).toString('base64'),
      },
      { tokenFile: 'token', as: 'somebody' },
    ),
  });
  assert.equal(connection.namespace, 'team');
  await use(connection).list(resources.pods);
  assert.equal(api.requests[0]!.headers['authorization'], 'Bearer first');
  assert.equal(api.requests[0]!.headers['impersonate-user'], 'somebody');
});

test('connections are shared by requests', async () => {
  const api = await serve(one);
  const client = use(connect({ server: `https://127.0.0.1:${api.port}`, ca: { data: one.cert } }));
  for (let i = 0; i < 50; i++) await client.list(resources.pods);
  assert.ok(api.connections <= 2, `${api.connections} connections for 50 requests`);
});

test('a renewed token is read at once after 401, and the call succeeds', async () => {
  const api = await serve();
  const path = file('token', 'old');
  const client = use(connect({ server: `http://127.0.0.1:${api.port}`, token: { file: path } }));
  await client.list(resources.pods);
  file('token', 'new');
  api.scripts.push((request, response) => {
    if (request.headers['authorization'] !== 'Bearer old') return false;
    answer(response, 401, 'Unauthorized');
    return true;
  });
  await client.list(resources.pods);
  assert.deepEqual(
    api.requests.map((request) => request.headers['authorization']),
    ['Bearer old', 'Bearer old', 'Bearer new'],
  );
});

test('401 with the newest token is an error, not a loop', async () => {
  const api = await serve();
  for (let i = 0; i < 9; i++) {
    api.scripts.push((_, response) => {
      answer(response, 401, 'Unauthorized');
      return true;
    });
  }
  const client = use(connect({ server: `http://127.0.0.1:${api.port}`, token: { data: 'x' } }));
  await assert.rejects(client.list(resources.pods), { code: 401, reason: 'Unauthorized' });
  assert.equal(api.requests.length, 2);
});

test('a rotated CA is read again when the server is no longer trusted', async () => {
  const ca = file('ca.crt', one.cert);
  const first = await serve(one);
  const { port } = first;
  const client = use(connect({ server: `https://127.0.0.1:${port}`, ca: { file: ca } }));
  await client.list(resources.pods);
  await first.stop();
  const second = new ScriptedApi(two);
  await second.start(port);
  cleanup.push(() => second.stop());
  await assert.rejects(client.list(resources.pods), (error) => isNetwork(error));
  file('ca.crt', two.cert);
  await client.list(resources.pods);
  assert.equal(second.requests.length, 1);
});

test('a certificate of another name is refused, unless that name is asked for or nothing is checked', async () => {
  const api = await serve(one);
  const server = `https://localhost:${api.port}`;
  const ca = { data: one.cert };
  await assert.rejects(use(connect({ server, ca })).list(resources.pods), { code: 0 });
  await use(connect({ server, ca, serverName: 'api.test' })).list(resources.pods);
  await use(connect({ server, insecure: true })).list(resources.pods);
});

test('a user with an exec plugin gets its token through client-node', async () => {
  const api = await serve();
  const credential = {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token: 'made' },
  };
  const script = `process.stdout.write(${JSON.stringify(JSON.stringify(credential))})`;
  const connection = loadConnection({
    kubeconfig: kubeconfig(
      { server: `http://127.0.0.1:${api.port}` },
      {
        exec: {
          apiVersion: 'client.authentication.k8s.io/v1',
          command: process.execPath,
          args: ['-e', script],
        },
      },
    ),
  });
  await use(connection).list(resources.pods);
  assert.equal(api.requests[0]!.headers['authorization'], 'Bearer made');
});

test('KUBECONFIG may name several files; the first to name an entry wins', () => {
  const first = kubeconfig({ server: 'https://first' }, { token: 'a' }, 'first');
  const second = kubeconfig({ server: 'https://second' }, { username: 'x', password: 'y' }, 'second');
  assert.deepEqual(loadAccess(undefined, { KUBECONFIG: `${first}:${second}` }), {
    server: 'https://first',
    namespace: 'team',
    token: { data: 'a' },
  });
  assert.deepEqual(loadAccess(second), {
    server: 'https://second',
    namespace: 'team',
    basic: { username: 'x', password: 'y' },
  });
});

test('a configuration that cannot work is refused with what is wrong', () => {
  const config = (text: string) => () => loadAccess(file('bad', text));
  assert.throws(() => loadAccess(join(folder, 'absent')), /cannot read kubeconfig .*absent/);
  assert.throws(config('a: [b'), /cannot read kubeconfig .*bad/);
  assert.throws(config('{}'), /no context of current-context in .*bad: it is not set/);
  assert.throws(config('{"current-context": "x"}'), /"x" is not defined/);
  assert.throws(() => loadAccess(kubeconfig({}, {})), /has no server/);
  assert.throws(() => loadAccess(undefined, { HOME: folder }), /no Kubernetes API configured/);
});

test('calls go to the right place with the right body, and errors say what the server said', async () => {
  const api = await serve();
  const client = use(connect({ server: `http://127.0.0.1:${api.port}/prefix` }));
  const reply = (code: number, body: unknown) =>
    api.scripts.push((_, response) => {
      response.writeHead(code, { 'content-type': 'application/json', 'retry-after': '2' });
      response.end(JSON.stringify(body));
      return true;
    });
  reply(200, { ok: 1 });
  const options = { fieldManager: 'me', force: true, subresource: 'status' };
  assert.deepEqual(await client.apply(resources.deployments, 'ns', 'd', { a: 1 }, options), { ok: 1 });
  reply(200, {});
  await client.patch(resources.nodes, undefined, 'n', [], { type: 'json' });
  reply(200, {});
  await client.delete(resources.pods, 'ns', 'p', {
    preconditions: { uid: 'u' },
    propagationPolicy: 'Foreground',
  });
  reply(409, { kind: 'Status', code: 409, reason: 'Conflict', message: 'changed meanwhile' });
  const error = await client.replace(resources.pods, 'ns', 'p', {}).catch(KubeError.from);
  assert.deepEqual(
    api.requests.map(({ method, path, query, headers, body }) => [
      method,
      path,
      `${query}`,
      headers['content-type'],
      body,
    ]),
    [
      [
        'PATCH',
        '/prefix/apis/apps/v1/namespaces/ns/deployments/d/status',
        'fieldManager=me&force=true',
        'application/apply-patch+yaml',
        '{"a":1}',
      ],
      ['PATCH', '/prefix/api/v1/nodes/n', '', 'application/json-patch+json', '[]'],
      [
        'DELETE',
        '/prefix/api/v1/namespaces/ns/pods/p',
        '',
        'application/json',
        '{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u"},"propagationPolicy":"Foreground"}',
      ],
      ['PUT', '/prefix/api/v1/namespaces/ns/pods/p', '', 'application/json', '{}'],
    ],
  );
  assert.ok(error instanceof KubeError && isConflict(error));
  assert.equal(error.message, 'PUT /api/v1/namespaces/ns/pods/p: 409 changed meanwhile');
  assert.equal(error.retryAfterMs, 2000);
});

test('a name cannot reach another path', async () => {
  const api = await serve();
  const client = use(connect({ server: `http://127.0.0.1:${api.port}` }));
  for (const name of ['..', '.', ''])
    await assert.rejects(client.get(resources.pods, 'ns', name), /is no name/);
  await assert.rejects(client.get(resources.pods, undefined, 'p'), /Pod p needs a namespace/);
  api.scripts.push((_, response) => {
    answer(response, 404, 'NotFound');
    return true;
  });
  await assert.rejects(client.get(resources.pods, 'ns', '../../secrets/x?a=b'), { code: 404 });
  assert.equal(api.requests[0]!.path, '/api/v1/namespaces/ns/pods/..%2F..%2Fsecrets%2Fx%3Fa%3Db');
});

test('a GET whose connection was closed meanwhile is repeated; a write is not', async () => {
  const api = await serve();
  const client = use(connect({ server: `http://127.0.0.1:${api.port}` }));
  const drop = () =>
    api.scripts.push((_, response) => {
      response.destroy();
      return true;
    });
  drop();
  await client.list(resources.pods);
  drop();
  await assert.rejects(client.create(resources.pods, 'ns', {}), { code: 0, reason: 'Network' });
  assert.deepEqual(
    api.requests.map((request) => request.method),
    ['GET', 'GET', 'POST'],
  );
});

test('a signal ends a call at once', async () => {
  const api = await serve();
  const client = use(connect({ server: `http://127.0.0.1:${api.port}` }));
  const abort = new AbortController();
  api.scripts.push(() => {
    abort.abort();
    return true;
  });
  await assert.rejects(client.get(resources.pods, 'ns', 'p', { signal: abort.signal }), {
    code: 0,
    reason: 'Aborted',
  });
});

test('a guard is asked when the request is written, not when the call is made', async () => {
  const api = await serve(one);
  const client = use(connect({ server: `https://127.0.0.1:${api.port}`, ca: { data: one.cert } }));
  let open = true;
  const guard = () => {
    if (!open) throw new Error('not any more');
  };
  const pending = client.create(resources.pods, 'ns', {}, { guard });
  open = false;
  await assert.rejects(pending, { code: 0, message: /not any more/ });
  assert.deepEqual(api.requests, []);
  open = true;
  await client.create(resources.pods, 'ns', {}, { guard }).catch(() => {});
  assert.equal(api.requests.length, 1);
});
