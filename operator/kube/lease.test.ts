import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { KubeClient } from '../../kube-client/client.ts';
import { type Connection, connect } from '../../kube-client/connection.ts';
import { answer, ScriptedApi } from '../../kube-client/testing/scripted-api.ts';
import { until } from '../../kube-client/testing/until.ts';
import { systemClock } from '../engine/clock.ts';
import { NotLeading } from './fence.ts';
import { LeaderElector, type Lease, type LeaseOptions } from './lease.ts';

let api: ScriptedApi;
let connection: Connection;
let electors: LeaderElector[];

beforeEach(async () => {
  api = new ScriptedApi();
  await api.start();
  connection = connect({ server: `http://127.0.0.1:${api.port}` });
  electors = [];
});

afterEach(async () => {
  await Promise.all(electors.map((elector) => elector.stop()));
  await connection.close?.();
  await api.stop();
});

function candidate(identity: string, options: Partial<LeaseOptions> = {}): LeaderElector {
  const elector = new LeaderElector({
    client: new KubeClient(connection),
    namespace: 'ns',
    name: 'operator',
    identity,
    clock: systemClock,
    durationMs: 4_000,
    renewDeadlineMs: 1_000,
    retryMs: 50,
    ...options,
  });
  electors.push(elector);
  elector.start();
  return elector;
}

const lease = () => (api.objects.get('ns/operator') as Lease).spec!;
const writes = () => api.requests.filter(({ method }) => method === 'PUT').length;

test('one of two leads; the other takes over at once when the lease is given back', async () => {
  const a = candidate('a');
  await a.elected;
  assert.equal(lease().holderIdentity, 'a');
  assert.match(lease().renewTime!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  // A retry period that never comes, so that only the watch can tell.
  const b = candidate('b', { retryMs: 20_000, renewDeadlineMs: 30_000, durationMs: 60_000 });
  await until('b has looked', () => api.watchers > 0);
  assert.equal(b.leading, false);
  const given = performance.now();
  await a.stop();
  await b.elected;
  assert.ok(performance.now() - given < 10_000, `${performance.now() - given} ms`);
  assert.equal(lease().holderIdentity, 'b');
  assert.equal(lease().leaseTransitions, 1);
  assert.throws(() => a.check(), NotLeading);
  b.check();
});

test('a holder renews; a candidate waits for the whole duration of one that does not', async () => {
  const dead = { holderIdentity: 'dead', leaseDurationSeconds: 1, leaseTransitions: 7 };
  api.put('operator', dead);
  const started = performance.now();
  const a = candidate('a');
  await a.elected;
  assert.ok(performance.now() - started >= 1000, 'not before the duration has passed');
  assert.equal(lease().leaseTransitions, 8);
  const before = writes();
  await until('renewals', () => writes() >= before + 3);
  assert.equal(a.leading, true);
});

test('when it cannot renew, writing ends before the lease does', async () => {
  const a = candidate('a');
  await a.elected;
  const last = performance.now();
  for (let i = 0; i < 100; i++) {
    api.scripts.push((_, response) => {
      answer(response, 500, 'InternalError');
      return true;
    });
  }
  assert.match(await a.lost, /could not renew/);
  assert.ok(performance.now() - last < 4_000, 'before others may take it');
  assert.equal(a.signal.aborted, true);
  assert.throws(() => a.check(), NotLeading);
});

test('a server that does not answer at all counts as not renewed', async () => {
  const a = candidate('a');
  await a.elected;
  for (let i = 0; i < 100; i++) api.scripts.push(() => true);
  const started = performance.now();
  await a.lost;
  assert.ok(performance.now() - started < 4_000, 'before others may take it');
});

test('a lease that somebody else took is lost at the next look, and not given back for them', async () => {
  const a = candidate('a');
  await a.elected;
  api.put('operator', { ...lease(), holderIdentity: 'thief' });
  assert.match(await a.lost, /thief holds it/);
  await a.stop();
  assert.equal(lease().holderIdentity, 'thief');
});

test('of two that see a free lease, one wins', async () => {
  const patient = { durationMs: 60_000, renewDeadlineMs: 30_000 };
  const candidates = Array.from({ length: 5 }, (_, i) => candidate(`c${i}`, patient));
  await Promise.race(candidates.map((c) => c.elected));
  await until('a renewal', () => writes() >= 2);
  assert.equal(candidates.filter((c) => c.leading).length, 1);
});

test('limits that cannot keep one writer are refused', () => {
  assert.throws(() => candidate('x', { renewDeadlineMs: 4_000 }), /shorter than the lease/);
  assert.throws(() => candidate('x', { retryMs: 1_000 }), /shorter than the renew deadline/);
});
