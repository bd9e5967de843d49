import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, ownedBy, pod, replicaSet } from '../testing/objects.ts';
import { claim } from './claim.ts';
import { isEmpty, matches } from './selector.ts';

test('labels match selectors', () => {
  const labels = { app: 'web', tier: '3' };
  const requirement = (operator: string, key: string, ...values: string[]) => ({
    matchExpressions: [{ key, operator, values }],
  });
  assert.ok(matches({ matchLabels: { app: 'web' } }, labels));
  assert.ok(!matches({ matchLabels: { app: 'web', other: 'x' } }, labels));
  assert.ok(matches(requirement('In', 'app', 'api', 'web'), labels));
  assert.ok(matches(requirement('NotIn', 'absent', 'x'), labels));
  assert.ok(!matches(requirement('NotIn', 'app', 'web'), labels));
  assert.ok(matches(requirement('Exists', 'app'), labels));
  assert.ok(matches(requirement('DoesNotExist', 'absent'), labels));
  assert.ok(matches(requirement('Gt', 'tier', '2'), labels));
  assert.ok(!matches(requirement('Lt', 'tier', '3'), labels));
  assert.ok(!matches(requirement('Nonsense', 'app'), labels));
});

test('an empty selector matches everything, none nothing', () => {
  assert.ok(matches({}, undefined));
  assert.ok(!matches(undefined, { app: 'web' }));
  assert.ok(isEmpty({ matchLabels: {} }));
  assert.ok(isEmpty(undefined));
});

test('an owner keeps, adopts and releases, and takes nothing from another', () => {
  const owner = replicaSet('mine');
  const mine = pod('mine', { metadata: { ...ownedBy(owner), labels: { app: 'web' } } });
  const strayed = pod('strayed', { metadata: { ...ownedBy(owner), labels: {} } });
  const orphan = pod('orphan');
  const leaving = pod('leaving', { metadata: { deletionTimestamp: at(0) } });
  const theirs = pod('theirs', { metadata: { ...ownedBy(replicaSet('theirs')), labels: { app: 'web' } } });
  const all = [mine, strayed, orphan, leaving, theirs];
  assert.deepEqual(claim(owner, owner.spec.selector, all), {
    owned: [mine],
    adopt: [orphan],
    release: [strayed],
  });
  const going = replicaSet('mine', {}, { deletionTimestamp: at(1) });
  assert.deepEqual(claim(going, going.spec.selector, all), {
    owned: [mine, strayed],
    adopt: [],
    release: [],
  });
});
