import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { answer } from '../../kube-client/testing/scripted-api.ts';
import type { DesiredObject, KubernetesObject } from '../api/kubernetes.ts';
import { RetryError, TerminalError } from '../engine/errors.ts';
import { Rejected } from '../reconcile/ports.ts';
import { NotLeading } from './fence.ts';
import { aModel, TestFence, TestWorld } from './testing.ts';
import { KubeWriter } from './writer.ts';

let world: TestWorld;
let fence: TestFence;
let writer: KubeWriter;
let cached: Map<string, KubernetesObject>;

beforeEach(async () => {
  world = new TestWorld();
  fence = new TestFence();
  cached = new Map();
  const client = await world.start();
  writer = new KubeWriter({
    client,
    fence,
    logger: world.logger,
    find: (kind, key) => cached.get(`${kind} ${key}`),
  });
});

afterEach(() => world.stop());

const deployment: DesiredObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {
    name: 'd',
    namespace: 'speech',
    labels: { a: '1' },
    ownerReferences: [{ apiVersion: 'v', kind: 'k', name: 'n', uid: 'o' }],
  },
  spec: { replicas: 2 },
};

/** Answers the next call as a server that keeps what was applied. */
function accept(metadata: Record<string, unknown>): KubernetesObject {
  const object = {
    ...deployment,
    metadata: { ...deployment.metadata, uid: 'u', ...metadata },
  } as KubernetesObject;
  world.api.scripts.push(({ body }, response) => {
    const { annotations } = (JSON.parse(body) as KubernetesObject).metadata;
    // The caller holds this very object: it becomes what a cache would show afterwards.
    Object.assign(object.metadata, { annotations });
    response.end(JSON.stringify(object));
    return true;
  });
  return object;
}

function refuse(code: number, reason: string, message = reason, causes: object[] = []): void {
  world.api.scripts.push((_, response) => {
    response.writeHead(code, { 'retry-after': '3' });
    response.end(JSON.stringify({ kind: 'Status', code, reason, message, details: { causes } }));
    return true;
  });
}

test('apply is server-side, forced, and by our field manager', async () => {
  accept({ generation: 1, resourceVersion: '1' });
  await writer.apply(deployment, undefined);
  const [request] = world.api.requests;
  assert.equal(request!.method, 'PATCH');
  assert.equal(request!.path, '/apis/apps/v1/namespaces/speech/deployments/d');
  assert.equal(`${request!.query}`, 'fieldManager=sluice&force=true');
  assert.equal(request!.headers['content-type'], 'application/apply-patch+yaml');
  const { metadata, ...rest } = JSON.parse(request!.body) as DesiredObject;
  const { annotations, ...others } = metadata;
  assert.deepEqual({ ...rest, metadata: others }, deployment);
  assert.match(annotations!['sluice.dev/applied']!, /^[0-9a-f]{32}$/);
});

test('what is still as it was applied is not written again, though its status changes', async () => {
  const observed = accept({ generation: 1, resourceVersion: '1' });
  await writer.apply(deployment, undefined);
  await writer.apply(deployment, observed);
  await writer.apply(deployment, { ...observed, metadata: { ...observed.metadata, resourceVersion: '99' } });
  assert.equal(world.api.requests.length, 1);
});

const drifts: readonly [string, Record<string, unknown>][] = [
  ['somebody took a label away', { labels: {} }],
  ['somebody changed a label', { labels: { a: '2' } }],
  ['somebody took its owner away', { ownerReferences: [] }],
];
for (const [what, metadata] of drifts) {
  test(`it is written again when ${what}`, async () => {
    const observed = accept({ generation: 1, resourceVersion: '1' });
    await writer.apply(deployment, undefined);
    accept({ generation: 3 });
    await writer.apply(deployment, { ...observed, metadata: { ...observed.metadata, ...metadata } });
    assert.equal(world.api.requests.length, 2);
  });
}

test('it is written again when somebody changed its spec, also when it was applied by a former process', async () => {
  const observed = accept({ generation: 1, resourceVersion: '1' });
  await writer.apply(deployment, undefined);
  const successor = new KubeWriter({
    client: world.client(),
    fence,
    logger: world.logger,
    find: () => undefined,
  });
  await successor.apply(deployment, {
    ...observed,
    spec: { replicas: 2, paused: false },
  } as KubernetesObject);
  assert.equal(world.api.requests.length, 1, 'what the server has filled in is no change');
  const changed = { ...observed, spec: { replicas: 5 } } as KubernetesObject;
  accept({ generation: 3 });
  await successor.apply(deployment, { ...changed, metadata: { ...observed.metadata, generation: 2 } });
  accept({ generation: 4 });
  await writer.apply(deployment, { ...changed, metadata: { ...observed.metadata, generation: 2 } });
  assert.equal(world.api.requests.length, 3);
});

test('a value that the server writes in another way is no change', async () => {
  const observed = accept({ generation: 1, resourceVersion: '1' });
  const wanted = { ...deployment, spec: { replicas: '2' } };
  await writer.apply(wanted, undefined);
  await writer.apply(wanted, observed);
  assert.equal(world.api.requests.length, 1);
});

test('a field that is wanted no more is taken away', async () => {
  const observed = accept({ generation: 1, resourceVersion: '1' });
  await writer.apply({ ...deployment, spec: { replicas: 2, paused: true } }, undefined);
  accept({ generation: 2 });
  await writer.apply(deployment, { ...observed, spec: { replicas: 2, paused: true } } as KubernetesObject);
  assert.equal(world.api.requests.length, 2);
});

test('it is written again when it is gone, or when something else is wanted', async () => {
  const observed = accept({ generation: 1 });
  await writer.apply(deployment, undefined);
  accept({ generation: 1 });
  await writer.apply(deployment, undefined);
  accept({ generation: 2 });
  await writer.apply({ ...deployment, spec: { replicas: 3 } }, observed);
  assert.equal(world.api.requests.length, 3);
});

test('kinds that count no generations are compared by resource version, and looked up if the caller has no view', async () => {
  const account = { ...deployment, apiVersion: 'v1', kind: 'ServiceAccount', spec: { replicas: '2' } };
  const observed = accept({ resourceVersion: '5' });
  await writer.apply(account, undefined);
  cached.set('ServiceAccount speech/d', observed);
  await writer.apply(account, undefined);
  assert.equal(world.api.requests.length, 1);
  cached.set('ServiceAccount speech/d', {
    ...observed,
    metadata: { ...observed.metadata, resourceVersion: '6' },
  });
  accept({ resourceVersion: '7' });
  await writer.apply(account, undefined);
  assert.equal(world.api.requests.length, 2);
});

test('a status is replaced with the version that was read, and only when it differs', async () => {
  world.api.write(aModel() as never, 'speech', 'vad');
  const model = {
    ...world.api.objects.get('speech/vad')!,
    status: { phase: 'A', list: [1] },
  } as unknown as ReturnType<typeof aModel>;
  await writer.writeStatus(model, { list: [1], phase: 'A', absent: undefined });
  assert.equal(world.api.requests.length, 0);
  await writer.writeStatus(model, { phase: 'B' });
  assert.deepEqual(world.calls(), ['PUT /apis/sluice.dev/v1alpha1/namespaces/speech/models/vad/status']);
  assert.deepEqual((world.api.objects.get('speech/vad') as { status?: unknown }).status, { phase: 'B' });
  await assert.rejects(writer.writeStatus(model, { phase: 'C' }), RetryError);
  assert.deepEqual((world.api.objects.get('speech/vad') as { status?: unknown }).status, { phase: 'B' });
});

test('a status of which the server does not keep all is not sent again until the object or the status changes', async () => {
  type Stored = ReturnType<typeof aModel> & { status?: object };
  world.api.write(aModel() as never, 'speech', 'vad');
  /** Answers the next call as a server whose CRD does not know `fresh`. */
  const prune = () =>
    world.api.scripts.push(({ body }, response) => {
      const { status, ...object } = JSON.parse(body) as Stored & { status: Record<string, unknown> };
      world.api.write({ ...object, status: { phase: status['phase'] } } as never, 'speech', 'vad');
      response.end(JSON.stringify(world.api.objects.get('speech/vad')));
      return true;
    });
  const write = (status: object) =>
    writer.writeStatus(world.api.objects.get('speech/vad') as unknown as Stored, status);
  prune();
  await write({ phase: 'B', fresh: 1 });
  await write({ phase: 'B', fresh: 1 });
  assert.equal(world.api.requests.length, 1);
  assert.match(
    world.warnings.join('\n'),
    /^the API server does not keep all of the status of a Model: .*CRDs/,
  );
  prune();
  await write({ phase: 'B', fresh: 2 });
  assert.equal(world.api.requests.length, 2);
  await write({ phase: 'B', fresh: 2 });
  assert.equal(world.api.requests.length, 2);
  const { status: _, ...object } = world.api.objects.get('speech/vad') as unknown as Stored;
  world.api.write({ ...object, status: { phase: 'X' } } as never, 'speech', 'vad');
  // With newer CRDs all of it is kept.
  await write({ phase: 'B', fresh: 2 });
  await write({ phase: 'B', fresh: 2 });
  assert.equal(world.api.requests.length, 3);
  assert.equal(world.warnings.length, 1);
});

test("the status of what is gone is nobody's business", async () => {
  await writer.writeStatus(aModel(), { phase: 'B' });
});

test('create leaves what exists alone; delete takes this very object and nothing else', async () => {
  const { resourceVersion: _, ...metadata } = aModel().metadata;
  const model = { ...aModel(), metadata };
  await writer.create(model as unknown as DesiredObject);
  await writer.create({ ...model, spec: { other: true } } as unknown as DesiredObject);
  assert.deepEqual((world.api.objects.get('speech/vad') as { spec?: unknown }).spec, {});
  await writer.delete(aModel('vad', { uid: 'of-its-predecessor' }));
  assert.equal(world.api.objects.size, 1);
  const uid = world.api.objects.get('speech/vad')!.metadata.uid!;
  await writer.delete(aModel('vad', { uid }));
  assert.equal(world.api.objects.size, 0);
  await writer.delete(aModel('vad', { uid }));
});

const failures: readonly [number, string, string, object[], new (message: string) => Error][] = [
  [422, 'Invalid', 'spec.x: too long', [], Rejected],
  [400, 'BadRequest', 'no such field', [], Rejected],
  [403, 'Forbidden', 'exceeded quota: gpu', [], Rejected],
  [403, 'Forbidden', 'pods "p" is forbidden: violates PodSecurity', [], Rejected],
  [
    403,
    'Forbidden',
    'namespace speech is being terminated',
    [{ reason: 'NamespaceTerminating' }],
    RetryError,
  ],
  [403, 'Forbidden', 'User "x" cannot patch resource "deployments" in API group "apps"', [], RetryError],
  [404, 'NotFound', 'namespaces "speech" not found', [], RetryError],
  [409, 'Conflict', 'changed', [], RetryError],
  [429, 'TooManyRequests', 'slow down', [], RetryError],
  [500, 'InternalError', 'oops', [], RetryError],
  [503, 'ServiceUnavailable', 'away', [], RetryError],
  [405, 'MethodNotAllowed', 'no', [], TerminalError],
];
for (const [code, reason, message, causes, type] of failures) {
  test(`${code} ${message} is a ${type.name}`, async () => {
    refuse(code, reason, message, causes);
    await assert.rejects(writer.apply(deployment, undefined), (error) => {
      assert.ok(error instanceof type, String(error));
      assert.ok(error.message.includes(message));
      assert.ok(error.cause !== undefined);
      if (code === 429) assert.equal((error as unknown as RetryError).afterMs, 3000);
      return true;
    });
  });
}

test('a kind that the operator has no business with is refused before any call', async () => {
  await assert.rejects(writer.apply({ ...deployment, kind: 'Secret' }, undefined), TerminalError);
  assert.equal(world.api.requests.length, 0);
});

test('without the lease nothing is written, and what is under way ends', async () => {
  world.api.scripts.push(() => true);
  const pending = writer.apply(deployment, undefined);
  pending.catch(() => {});
  while (world.api.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  fence.close();
  await assert.rejects(pending);
  const model = aModel();
  for (const write of [
    () => writer.apply(deployment, undefined),
    () => writer.create(deployment),
    () => writer.delete(model),
    () => writer.writeStatus(model, { phase: 'B' }),
  ]) {
    await assert.rejects(write(), NotLeading);
  }
  assert.equal(world.api.requests.length, 1);
});

test('a lease that is lost between the call and its sending is told as such, and nothing is sent', async () => {
  let asked = 0;
  const lost = {
    signal: new AbortController().signal,
    check() {
      asked += 1;
      if (asked > 1) throw new NotLeading();
    },
  };
  const late = new KubeWriter({
    client: world.client(),
    fence: lost,
    logger: world.logger,
    find: () => undefined,
  });
  await assert.rejects(late.apply(deployment, undefined), NotLeading);
  assert.equal(world.api.requests.length, 0);
});

test('a server that is away is worth another try', async () => {
  world.api.scripts.push((_, response) => {
    response.destroy();
    return true;
  });
  await assert.rejects(writer.apply(deployment, undefined), RetryError);
  world.api.scripts.push((_, response) => {
    answer(response, 404, 'NotFound');
    return true;
  });
  await assert.rejects(writer.create(deployment), RetryError);
});
