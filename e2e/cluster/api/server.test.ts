import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { expireEvents } from './expiry.ts';
import { type ApiObject, asObject, asString, at, type Json, type JsonObject } from './json.ts';
import { Store } from './store/store.ts';
import { startTestServer, type TestServer } from './testing.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
  await server.ask('POST', '/api/v1/namespaces', { metadata: { name: 'n' } });
  await server.ask('POST', '/api/v1/namespaces/n/serviceaccounts', { metadata: { name: 'default' } });
});
after(() => server.stop());

const maps = '/api/v1/namespaces/n/configmaps';
const pods = '/api/v1/namespaces/n/pods';
const merge = { type: 'application/merge-patch+json' };

function map(name: string, data: JsonObject = {}, metadata: JsonObject = {}): JsonObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata }, data };
}

function pod(name: string, spec: JsonObject = {}): JsonObject {
  return { metadata: { name }, spec: { containers: [{ name: 'c', image: 'x:1' }], ...spec } };
}

async function revision(): Promise<string> {
  const { body } = await server.ask('GET', `${maps}?limit=1`);
  return asString(at(body, 'metadata', 'resourceVersion'));
}

describe('writes', () => {
  test('an older resourceVersion is a conflict; none overwrites', async () => {
    await server.ask('POST', maps, map('w1', { a: '1' }));
    const stale = await server.ask('PUT', `${maps}/w1`, map('w1', {}, { resourceVersion: '1' }));
    assert.equal(stale.code, 409);
    assert.match(stale.text, /the object has been modified; please apply your changes to the latest version/);
    assert.equal((await server.ask('PUT', `${maps}/w1`, map('w1', { a: '2' }))).code, 200);
  });

  test('a write that changes nothing keeps the resourceVersion', async () => {
    const made = await server.ask('POST', maps, map('w2', { a: '1' }));
    const again = await server.ask('PUT', `${maps}/w2`, made.body);
    assert.deepEqual(again.body, made.body);
  });

  test('a dry run stores nothing', async () => {
    assert.equal((await server.ask('POST', `${maps}?dryRun=All`, map('dry'))).code, 201);
    assert.equal((await server.ask('GET', `${maps}/dry`)).code, 404);
  });

  test('unknown and double fields: warned of, or refused when validation is strict', async () => {
    const body = '{"metadata":{"name":"w3"},"data":{"a":"1","a":"2"},"bogus":1}';
    const warned = await server.ask('POST', maps, body);
    assert.equal(warned.code, 201);
    assert.match(
      String(warned.headers['warning']),
      /unknown field \\"bogus\\".*duplicate field \\"data.a\\"/,
    );
    const strict = await server.ask('POST', `${maps}?fieldValidation=Strict`, body.replace('w3', 'w4'));
    assert.equal(strict.code, 400);
    assert.match(
      strict.text,
      /strict decoding error: unknown field \\"bogus\\", duplicate field \\"data.a\\"/,
    );
  });

  test('the generation follows the spec, not the status', async () => {
    const path = '/apis/apps/v1/namespaces/n/deployments';
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
    const spec = { selector: { matchLabels: { a: 'b' } }, template };
    await server.ask('POST', path, { metadata: { name: 'g' }, spec });
    await server.ask('PATCH', `${path}/g/status`, { status: { replicas: 3 }, spec: { replicas: 9 } }, merge);
    const status = await server.ask('GET', `${path}/g`);
    assert.equal(at(status.body, 'metadata', 'generation'), 1);
    assert.equal(at(status.body, 'status', 'replicas'), 3);
    assert.equal(at(status.body, 'spec', 'replicas'), 1);
    await server.ask('PATCH', `${path}/g`, { spec: { replicas: 2 }, status: { replicas: 8 } }, merge);
    const changed = await server.ask('GET', `${path}/g`);
    assert.equal(at(changed.body, 'metadata', 'generation'), 2);
    assert.equal(at(changed.body, 'status', 'replicas'), 3);
  });

  test('invalid objects name the field and the reason', async () => {
    const refused = await server.ask('POST', pods, {
      metadata: { name: 'bad' },
      spec: { containers: [{ name: 'UP' }] },
    });
    assert.equal(refused.code, 422);
    const causes = at(refused.body, 'details', 'causes') as JsonObject[];
    assert.deepEqual(
      causes.map((cause) => cause['field']),
      ['spec.containers[0].name', 'spec.containers[0].image'],
    );
  });
});

describe('deletion', () => {
  test('finalizers hold an object until they are gone', async () => {
    await server.ask('POST', maps, map('d1', {}, { finalizers: ['a.b/c'] }));
    const held = await server.ask('DELETE', `${maps}/d1`);
    assert.ok(at(held.body, 'metadata', 'deletionTimestamp'));
    const added = await server.ask(
      'PATCH',
      `${maps}/d1`,
      { metadata: { finalizers: ['a.b/c', 'd.e/f'] } },
      merge,
    );
    assert.equal(added.code, 422);
    await server.ask('PATCH', `${maps}/d1`, { metadata: { finalizers: null } }, merge);
    assert.equal((await server.ask('GET', `${maps}/d1`)).code, 404);
  });

  test('a pod on a node gets its grace period; grace 0 ends it', async () => {
    await server.ask('POST', pods, pod('d2', { nodeName: 'x', terminationGracePeriodSeconds: 7 }));
    const leaving = await server.ask('DELETE', `${pods}/d2`);
    assert.equal(at(leaving.body, 'metadata', 'deletionGracePeriodSeconds'), 7);
    assert.equal((await server.ask('GET', `${pods}/d2`)).code, 200);
    await server.ask('DELETE', `${pods}/d2`, { gracePeriodSeconds: 0 });
    assert.equal((await server.ask('GET', `${pods}/d2`)).code, 404);
  });

  test('preconditions and propagation', async () => {
    await server.ask('POST', maps, map('d3'));
    assert.equal((await server.ask('DELETE', `${maps}/d3`, { preconditions: { uid: 'other' } })).code, 409);
    const waiting = await server.ask('DELETE', `${maps}/d3`, { propagationPolicy: 'Foreground' });
    assert.deepEqual(at(waiting.body, 'metadata', 'finalizers'), ['foregroundDeletion']);
  });

  test('nothing new in a namespace on its way out; it goes when it is finalized', async () => {
    await server.ask('POST', '/api/v1/namespaces', { metadata: { name: 'out' } });
    const going = await server.ask('DELETE', '/api/v1/namespaces/out');
    assert.equal(at(going.body, 'status', 'phase'), 'Terminating');
    const late = await server.ask('POST', '/api/v1/namespaces/out/configmaps', map('late'));
    assert.equal(late.code, 403);
    assert.match(late.text, /because it is being terminated/);
    await server.ask('PUT', '/api/v1/namespaces/out/finalize', {
      metadata: { name: 'out' },
      spec: { finalizers: [] },
    });
    assert.equal((await server.ask('GET', '/api/v1/namespaces/out')).code, 404);
  });
});

describe('lists and watches', () => {
  test('pages are one moment; a forgotten one is 410', async () => {
    for (const name of ['p1', 'p2', 'p3'])
      await server.ask('POST', maps, map(name, {}, { labels: { page: 'x' } }));
    const first = await server.ask('GET', `${maps}?labelSelector=page&limit=2`);
    await server.ask('DELETE', `${maps}/p3`);
    const token = encodeURIComponent(asString(at(first.body, 'metadata', 'continue')));
    const second = await server.ask('GET', `${maps}?labelSelector=page&limit=2&continue=${token}`);
    assert.deepEqual(
      (second.body['items'] as JsonObject[]).map((each) => at(each, 'metadata', 'name')),
      ['p3'],
    );
    server.faults.compact();
    await server.ask('POST', maps, map('p4'));
    assert.equal((await server.ask('GET', `${maps}?labelSelector=page&limit=2&continue=${token}`)).code, 410);
  });

  test('a watch tells what enters, changes and leaves its selection', async () => {
    const watch = await server.watch(`${maps}?watch=1&labelSelector=sel&resourceVersion=${await revision()}`);
    await server.ask('POST', maps, map('s1'));
    await server.ask('PATCH', `${maps}/s1`, { metadata: { labels: { sel: 'y' } } }, merge);
    await server.ask('PATCH', `${maps}/s1`, { data: { a: 'b' } }, merge);
    await server.ask('PATCH', `${maps}/s1`, { metadata: { labels: null } }, merge);
    const types = [(await watch.next()).type, (await watch.next()).type, (await watch.next()).type];
    assert.deepEqual(types, ['ADDED', 'MODIFIED', 'DELETED']);
    watch.stop();
  });

  test('a watch resumes where it was, and gets 410 when that is forgotten', async () => {
    const from = await revision();
    await server.ask('POST', maps, map('r1'));
    const watch = await server.watch(`${maps}?watch=1&resourceVersion=${from}`);
    assert.equal(at((await watch.next()).object, 'metadata', 'name'), 'r1');
    watch.stop();
    server.faults.compact();
    const late = await server.watch(`${maps}?watch=1&resourceVersion=${from}`);
    const { type, object } = await late.next();
    assert.equal(type, 'ERROR');
    assert.equal(object['code'], 410);
    await late.ended;
  });

  test('streaming lists end with a marked bookmark', async () => {
    const query = 'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const watch = await server.watch(`${maps}?${query}&fieldSelector=metadata.name%3Dr1`);
    assert.equal((await watch.next()).type, 'ADDED');
    const { type, object } = await watch.next();
    assert.equal(type, 'BOOKMARK');
    assert.equal(asObject(at(object, 'metadata', 'annotations'))['k8s.io/initial-events-end'], 'true');
    watch.stop();
  });

  test('a watch ends after timeoutSeconds', async () => {
    const watch = await server.watch(`${maps}?watch=1&timeoutSeconds=1&labelSelector=none`);
    await watch.ended;
  });
});

describe('who may do what', () => {
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  let token: string;

  before(async () => {
    await server.ask('POST', '/api/v1/namespaces/n/serviceaccounts', { metadata: { name: 'robot' } });
    const rules = [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['mine'], verbs: ['get'] }];
    await server.ask('POST', `${rbac}/namespaces/n/roles`, { metadata: { name: 'reader' }, rules });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' };
    const subjects = [{ kind: 'ServiceAccount', name: 'robot', namespace: 'n' }];
    await server.ask('POST', `${rbac}/namespaces/n/rolebindings`, {
      metadata: { name: 'robot' },
      roleRef,
      subjects,
    });
    const request = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 600 },
    };
    const issued = await server.ask('POST', '/api/v1/namespaces/n/serviceaccounts/robot/token', request);
    token = asString(at(issued.body, 'status', 'token'));
    await server.ask('POST', maps, map('mine'));
  });

  test('a service account reads what its role names, and nothing else', async () => {
    assert.equal((await server.ask('GET', `${maps}/mine`, undefined, { token })).code, 200);
    const refused = await server.ask('GET', `${maps}/other`, undefined, { token });
    assert.equal(refused.code, 403);
    assert.match(
      asString(refused.body['message']),
      /configmaps "other" is forbidden: User "system:serviceaccount:n:robot" cannot get resource "configmaps" in API group "" in the namespace "n"/,
    );
  });

  test('nobody grants what they do not have', async () => {
    const giver = [{ apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles'], verbs: ['create'] }];
    await server.ask('POST', `${rbac}/clusterroles`, { metadata: { name: 'giver' }, rules: giver });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'giver' };
    const subjects = [{ kind: 'User', name: 'eve', apiGroup: 'rbac.authorization.k8s.io' }];
    await server.ask('POST', `${rbac}/clusterrolebindings`, { metadata: { name: 'eve' }, roleRef, subjects });
    const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }];
    const body = { metadata: { name: 'more' }, rules };
    const refused = await server.ask('POST', `${rbac}/namespaces/n/roles`, body, {
      token: server.tokenFor('eve'),
    });
    assert.equal(refused.code, 403);
    assert.match(refused.text, /is attempting to grant RBAC permissions not currently held/);
  });

  test('aggregated roles gather their parts', async () => {
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };
    const subjects = [{ kind: 'Group', name: 'viewers', apiGroup: 'rbac.authorization.k8s.io' }];
    await server.ask('POST', `${rbac}/clusterrolebindings`, {
      metadata: { name: 'viewers' },
      roleRef,
      subjects,
    });
    const headers = { 'impersonate-user': 'bob', 'impersonate-group': 'viewers' };
    const ask = (path: string) => server.ask('GET', path, undefined, { headers });
    const things = '/apis/things.example/v1/namespaces/n/things';
    assert.equal((await ask(maps)).code, 200);
    assert.equal((await ask(things)).code, 403);
    await server.ask('POST', `${rbac}/clusterroles`, {
      metadata: { name: 'view-things', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
      rules: [{ apiGroups: ['things.example'], resources: ['things'], verbs: ['list'] }],
    });
    assert.equal((await ask(things)).code, 404);
  });

  test('a token of a deleted account is worth nothing', async () => {
    await server.ask('DELETE', '/api/v1/namespaces/n/serviceaccounts/robot');
    assert.equal((await server.ask('GET', `${maps}/mine`, undefined, { token })).code, 401);
  });
});

describe('admission of pods', () => {
  test('gives them an account, its token, a priority and tolerations', async () => {
    const { body } = await server.ask('POST', pods, pod('a1', { priorityClassName: 'system-node-critical' }));
    assert.equal(at(body, 'spec', 'serviceAccountName'), 'default');
    assert.equal(at(body, 'spec', 'priority'), 2_000_001_000);
    assert.match(JSON.stringify(at(body, 'spec', 'volumes')), /kube-root-ca\.crt/);
    assert.equal((at(body, 'spec', 'tolerations') as Json[]).length, 2);
  });

  test('enforces Pod Security by the label of the namespace', async () => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await server.ask('POST', '/api/v1/namespaces', { metadata: { name: 'strict', labels } });
    await server.ask('POST', '/api/v1/namespaces/strict/serviceaccounts', { metadata: { name: 'default' } });
    const refused = await server.ask('POST', '/api/v1/namespaces/strict/pods', pod('a2'));
    assert.equal(refused.code, 403);
    assert.match(
      refused.text,
      /violates PodSecurity \\"restricted:latest\\": allowPrivilegeEscalation != false/,
    );
    const securityContext = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
    const tight = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
    const containers = [{ name: 'c', image: 'x', securityContext: tight }];
    const good = await server.ask(
      'POST',
      '/api/v1/namespaces/strict/pods',
      pod('a3', { securityContext, containers }),
    );
    assert.equal(good.code, 201);
  });

  test('evictions ask the disruption budgets', async () => {
    const labelled = { ...pod('e1', { nodeName: 'x' }), metadata: { name: 'e1', labels: { budget: 'b' } } };
    await server.ask('POST', pods, labelled);
    await server.ask('PATCH', `${pods}/e1/status`, { status: { phase: 'Running' } }, merge);
    const spec = { minAvailable: 1, selector: { matchLabels: { budget: 'b' } } };
    const budgets = '/apis/policy/v1/namespaces/n/poddisruptionbudgets';
    await server.ask('POST', budgets, { metadata: { name: 'b' }, spec });
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'e1' } };
    assert.equal((await server.ask('POST', `${pods}/e1/eviction`, eviction)).code, 429);
    await server.ask('PATCH', `${budgets}/b/status`, { status: { disruptionsAllowed: 1 } }, merge);
    assert.equal((await server.ask('POST', `${pods}/e1/eviction`, eviction)).code, 201);
  });
});

describe('services', () => {
  const services = '/api/v1/namespaces/n/services';
  const spec = { ports: [{ port: 80 }] };

  test('get an address that stays, none when headless, and never one that is taken', async () => {
    const made = await server.ask('POST', services, { metadata: { name: 's1' }, spec });
    const address = asString(at(made.body, 'spec', 'clusterIP'));
    assert.match(address, /^10\.96\./);
    const replaced = await server.ask('PUT', `${services}/s1`, {
      metadata: { name: 's1' },
      spec: { ports: [{ port: 81 }] },
    });
    assert.equal(at(replaced.body, 'spec', 'clusterIP'), address);
    const taken = await server.ask('POST', services, {
      metadata: { name: 's2' },
      spec: { ...spec, clusterIP: address },
    });
    assert.equal(taken.code, 422);
    assert.match(taken.text, /provided IP is already allocated/);
    const headless = await server.ask('POST', services, {
      metadata: { name: 's3' },
      spec: { ...spec, clusterIP: 'None' },
    });
    assert.deepEqual(at(headless.body, 'spec', 'clusterIPs'), ['None']);
  });
});

describe('custom resources', () => {
  const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const properties = {
    spec: { type: 'object', properties: { size: { type: 'integer', default: 3 } } },
    status: { type: 'object', properties: { size: { type: 'integer' } } },
  };
  const version = (name: string, storage: boolean) => ({
    name,
    served: true,
    storage,
    schema: { openAPIV3Schema: { type: 'object', properties } },
    subresources: {
      status: {},
      scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' },
    },
    additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
  });
  const crd: JsonObject = {
    metadata: { name: 'boxes.example.dev' },
    spec: {
      group: 'example.dev',
      scope: 'Namespaced',
      names: { kind: 'Box', plural: 'boxes', shortNames: ['bx'] },
      versions: [version('v1', true), version('v1beta1', false)],
    },
  };
  const boxes = '/apis/example.dev/v1/namespaces/n/boxes';

  test('are served as soon as they are defined, in every version, until the definition goes', async () => {
    const made = await server.ask('POST', definitions, crd);
    assert.equal(made.code, 201);
    assert.match(JSON.stringify(at(made.body, 'status', 'conditions')), /"Established","status":"True"/);
    const box = await server.ask('POST', boxes, { metadata: { name: 'b', finalizers: ['x.y/z'] }, spec: {} });
    assert.equal(at(box.body, 'spec', 'size'), 3);
    const other = await server.ask('GET', '/apis/example.dev/v1beta1/namespaces/n/boxes/b');
    assert.equal(other.body['apiVersion'], 'example.dev/v1beta1');
    const scaled = await server.ask('PATCH', `${boxes}/b/scale`, { spec: { replicas: 5 } }, merge);
    assert.equal(at(scaled.body, 'spec', 'replicas'), 5);
    const table = await server.ask('GET', boxes, undefined, {
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
    });
    assert.deepEqual((table.body['rows'] as JsonObject[])[0]!['cells'], ['b', 5]);

    await server.ask('DELETE', `${definitions}/boxes.example.dev`);
    const held = await server.ask('GET', `${boxes}/b`);
    assert.ok(at(held.body, 'metadata', 'deletionTimestamp'), 'objects are deleted with their definition');
    const watch = await server.watch(
      `${definitions}?watch=1&fieldSelector=metadata.name%3Dboxes.example.dev`,
    );
    await server.ask('PATCH', `${boxes}/b`, { metadata: { finalizers: null } }, merge);
    let event = await watch.next();
    while (event.type !== 'DELETED') event = await watch.next();
    watch.stop();
    assert.equal((await server.ask('GET', boxes)).code, 404);
  });

  test('an invalid definition is refused with the place', async () => {
    const bad = structuredClone(crd);
    const [first] = (bad['spec'] as { versions: JsonObject[] }).versions;
    const rules = [{ rule: 'self.spec.nope > 1' }];
    first!['schema'] = { openAPIV3Schema: { type: 'object', properties, 'x-kubernetes-validations': rules } };
    const refused = await server.ask('POST', definitions, bad);
    assert.equal(refused.code, 422);
    assert.match(
      refused.text,
      /openAPIV3Schema\.x-kubernetes-validations\[0\]\.rule.*undefined field 'nope'/,
    );
  });
});

describe('faults', () => {
  test('refuse, by verb and resource, as often as they are told', async () => {
    const match = { verb: 'create', resource: 'configmaps' };
    server.faults.add({ match, action: { type: 'status', code: 429, retryAfterSeconds: 2 }, times: 1 });
    const refused = await server.ask('POST', maps, map('f1'));
    assert.equal(refused.code, 429);
    assert.equal(refused.headers['retry-after'], '2');
    assert.equal((await server.ask('POST', maps, map('f1'))).code, 201);
  });

  test('lose the answer after the write is done', async () => {
    server.faults.add({
      match: { verb: 'create', resource: 'configmaps' },
      action: { type: 'dropAnswer' },
      times: 1,
    });
    await assert.rejects(server.ask('POST', maps, map('f2')));
    assert.equal((await server.ask('GET', `${maps}/f2`)).code, 200);
  });

  test('drop the connection before anything is done', async () => {
    server.faults.add({
      match: { verb: 'create', resource: 'configmaps' },
      action: { type: 'drop' },
      times: 1,
    });
    await assert.rejects(server.ask('POST', maps, map('f3')));
    assert.equal((await server.ask('GET', `${maps}/f3`)).code, 404);
  });

  test('freeze a watch, so that its client sees the past, then the present', async () => {
    const watch = await server.watch(`${maps}?watch=1&resourceVersion=${await revision()}`);
    server.faults.freezeWatches({ resource: 'configmaps' });
    await server.ask('POST', maps, map('f4'));
    let seen = false;
    const event = watch.next().then((value) => {
      seen = true;
      return value;
    });
    await server.ask('GET', `${maps}/f4`);
    assert.equal(seen, false);
    server.faults.thawWatches();
    assert.equal(at((await event).object, 'metadata', 'name'), 'f4');
    watch.stop();
  });

  test('cut running watches', async () => {
    const watch = await server.watch(`${maps}?watch=1&resourceVersion=${await revision()}`);
    server.faults.closeWatches({ resource: 'configmaps' }, true);
    await watch.ended;
  });
});

describe('what is kept', () => {
  test('events go an hour after they last changed', () => {
    const store = new Store();
    const event = (name: string, lastTimestamp: string): ApiObject => ({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace: 'n', creationTimestamp: '2026-01-01T00:00:00Z' },
      lastTimestamp,
    });
    store.bucket('/events').put('n/old', event('old', '2026-01-01T00:10:00Z'));
    store.bucket('/events').put('n/new', event('new', '2026-01-01T00:50:00Z'));
    expireEvents(store, Date.parse('2026-01-01T01:20:00Z'));
    assert.deepEqual([...store.bucket('/events').items.keys()], ['n/new']);
  });

  test('defaults that a definition gains show in objects written before, and watches end with it', async () => {
    const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    const crd = (size: JsonObject): JsonObject => {
      const openAPIV3Schema = {
        type: 'object',
        properties: { spec: { type: 'object', properties: { size } } },
      };
      const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }];
      const names = { kind: 'Jar', plural: 'jars' };
      return {
        metadata: { name: 'jars.example.dev' },
        spec: { group: 'example.dev', scope: 'Namespaced', names, versions },
      };
    };
    const jars = '/apis/example.dev/v1/namespaces/n/jars';
    await server.ask('POST', definitions, crd({ type: 'integer' }));
    await server.ask('POST', jars, { metadata: { name: 'j' }, spec: {} });
    await server.ask('PATCH', `${definitions}/jars.example.dev`, crd({ type: 'integer', default: 7 }), merge);
    const shown = await server.ask('GET', `${jars}/j`);
    assert.equal(at(shown.body, 'spec', 'size'), 7);
    const watch = await server.watch(`${jars}?watch=1`);
    await server.ask('DELETE', `${definitions}/jars.example.dev`);
    await watch.ended;
  });
});
