import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { KubeClient } from '../kube-client/client.ts';
import { type Connection, connect } from '../kube-client/connection.ts';
import { silent } from '../kube-client/logger.ts';
import type { KubeObject } from '../kube-client/object.ts';
import { ScriptedApi } from '../kube-client/testing/scripted-api.ts';
import { until } from '../kube-client/testing/until.ts';
import { Caches } from './kube/caches.ts';
import { modelIndexes, podIndexes, serviceIndexes, versionIndexes } from './reconcile/indexes.ts';
import { versionChildName } from './resources/names.ts';
import { connectTriggers } from './triggers.ts';

/** One scripted server per collection, behind one address: each knows a single collection. */
const collections = [
  'models',
  'modelversions',
  'gpupools',
  'nodes',
  'namespaces',
  'pods',
  'deployments',
  'services',
  'serviceaccounts',
  'rolebindings',
  'poddisruptionbudgets',
  'httproutes',
  'grpcroutes',
] as const;
type Collection = (typeof collections)[number];

let apis: Record<Collection, ScriptedApi>;
let connections: Connection[];
let caches: Caches;
let hit: Set<string>;

beforeEach(async () => {
  apis = Object.fromEntries(collections.map((name) => [name, new ScriptedApi()])) as typeof apis;
  await Promise.all(Object.values(apis).map((api) => api.start()));
  // Whatever is no collection is asked of the first one.
  apis.models.standing.push(({ path }, response) => {
    if (path !== '/apis/gateway.networking.k8s.io/v1') return false;
    response.end(JSON.stringify({ resources: [{ kind: 'HTTPRoute' }, { kind: 'GRPCRoute' }] }));
    return true;
  });
  connections = [];
  hit = new Set();
});

afterEach(async () => {
  await caches.stop();
  await Promise.all(connections.map((connection) => connection.close?.()));
  await Promise.all(Object.values(apis).map((api) => api.stop()));
});

/** A client that asks the server of whichever collection a path names. */
function client(): KubeClient {
  const clients = Object.fromEntries(
    collections.map((name) => {
      const connection = connect({ server: `http://127.0.0.1:${apis[name].port}` });
      connections.push(connection);
      return [name, new KubeClient(connection)];
    }),
  );
  const first = clients['models']!;
  const pick = (plural: string) => clients[plural] ?? first;
  return new Proxy(first, {
    get(_, method) {
      if (method === 'list') {
        return (resource: { plural: string }, query: object) =>
          pick(resource.plural).list(resource as never, query);
      }
      if (method === 'raw') {
        return (verb: 'GET', path: string, options: object) =>
          pick(path.split('/').at(-1)!).raw(verb, path, options);
      }
      throw new Error(`informers do not call ${String(method)}`);
    },
  });
}

function put(collection: Collection, key: string, fields: Record<string, unknown> = {}): void {
  const [name, namespace] = key.split('/').reverse() as [string, string?];
  const { metadata = {}, ...rest } = fields as { metadata?: object };
  const object = { ...rest, metadata: { ...metadata } } as unknown as KubeObject;
  apis[collection].write(object, namespace ?? '', name);
}

async function connected(): Promise<void> {
  caches = new Caches({
    client: client(),
    logger: silent,
    indexes: { models: modelIndexes, versions: versionIndexes, pods: podIndexes, services: serviceIndexes },
    ownedSelector: 'app.kubernetes.io/managed-by=sluice',
    gatewayApi: true,
  });
  await caches.start();
  const isRouter = (pod: { metadata: { labels?: Readonly<Record<string, string>> } }) =>
    pod.metadata.labels?.['app.kubernetes.io/name'] === 'sluice-router';
  connectTriggers(caches, isRouter, {
    model: (key) => hit.add(`model ${key}`),
    pool: (name) => hit.add(`pool ${name}`),
    router: (namespace) => hit.add(`router ${namespace}`),
  });
  await until('all watches', () => Object.values(apis).every((api) => api.watchers === 1));
}

/** What a change makes worth a visit. */
async function after(change: () => void, expected: readonly string[]): Promise<void> {
  hit.clear();
  change();
  await until(`${expected} and not ${[...hit]}`, () => expected.every((target) => hit.has(target)), 3_000);
  assert.deepEqual([...hit].sort(), [...expected].sort());
}

const version = (model: string, pool?: string) => ({
  spec: { model, version: '1', placement: { ...(pool === undefined ? {} : { pool }), gpus: 1 } },
});

test('every change leads to a visit of what it may concern, and of nothing else', async () => {
  put('models', 'ns/vad');
  put('models', 'ns/other');
  put('models', 'elsewhere/vad');
  put('gpupools', 'a100');
  put('gpupools', 'cpu');
  put('modelversions', 'ns/vad-1', version('vad', 'a100'));
  put('namespaces', 'ns');
  await connected();
  assert.deepEqual(
    [...hit].sort(),
    [
      'model elsewhere/vad',
      'model ns/other',
      'model ns/vad',
      'pool a100',
      'pool cpu',
      'router elsewhere',
      'router ns',
    ],
    'at the start everything is worth a visit',
  );

  const ofVad = { metadata: { labels: { 'sluice.dev/model': 'vad', 'sluice.dev/version': '1' } } };
  const both = ['model ns/other', 'model ns/vad'];
  await after(() => put('models', 'ns/vad', { spec: { rollout: {} } }), ['model ns/vad']);
  await after(() => put('models', 'ns/new'), ['model ns/new', 'router ns']);
  await after(() => apis.models.remove('new', 'ns'), ['model ns/new', 'router ns']);
  await after(() => put('modelversions', 'ns/vad-1', version('vad', 'a100')), ['model ns/vad']);
  await after(() => put('modelversions', 'ns/lone', version('lone')), ['model ns/lone']);
  await after(() => put('gpupools', 'a100', { spec: 1 }), ['model ns/vad', 'pool a100']);
  await after(() => put('nodes', 'n1'), ['pool a100', 'pool cpu']);
  await after(() => put('pods', 'ns/p', { ...ofVad, status: { phase: 'Pending' } }), ['model ns/vad']);
  await after(
    () => put('pods', 'ns/p', { ...ofVad, spec: { nodeName: 'n1' } }),
    ['model ns/vad', 'pool a100', 'pool cpu'],
  );
  await after(() => put('pods', 'x/q', { spec: { nodeName: 'n1' } }), ['pool a100', 'pool cpu']);
  const router = { metadata: { labels: { 'app.kubernetes.io/name': 'sluice-router' } } };
  await after(() => put('pods', 'ns/sluice-router-0', router), both);
  await after(() => put('deployments', 'ns/some', ofVad), ['model ns/vad']);
  await after(() => put('deployments', 'ns/sluice-router', router), ['router ns']);
  await after(() => put('services', 'ns/some', ofVad), ['model ns/vad']);
  await after(() => put('httproutes', 'ns/vad', { metadata: { generation: 2 } }), ['model ns/vad']);
  const behindGateway = {
    spec: { endpoint: { provider: 'gateway' } },
    status: { endpoint: { provider: 'gateway' } },
  };
  await after(() => put('models', 'ns/vad', behindGateway), ['model ns/vad', 'router ns']);
  await after(() => put('serviceaccounts', 'ns/sluice-router', router), ['router ns']);
  await after(() => put('namespaces', 'ns', { metadata: { labels: { a: '1' } } }), both);
  await after(() => put('namespaces', 'fresh'), ['router fresh']);
});

test('an object of somebody else that stands where a child should concerns the model, also when it goes', async () => {
  put('models', 'ns/vad');
  put('modelversions', 'ns/vad-1', version('vad'));
  await connected();
  await after(() => put('services', 'ns/vad'), ['model ns/vad']);
  await after(() => apis.services.remove('vad', 'ns'), ['model ns/vad']);
  await after(() => put('deployments', `ns/${versionChildName('vad-1')}`), ['model ns/vad']);
});
