import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sameStatus } from './machinery/same-status.ts';
import { conditionsOf } from './namespace.ts';
import { pod, start } from './testing/objects.ts';

const told = (contents: Parameters<typeof conditionsOf>[0]) =>
  Object.fromEntries(
    conditionsOf(contents, start).map(({ type, status, message }) => [type, `${status}: ${message}`]),
  );

test('an empty namespace has nothing to wait for', () => {
  assert.deepEqual(told({ remaining: new Map(), failures: [] }), {
    NamespaceDeletionDiscoveryFailure: 'False: All resources successfully discovered',
    NamespaceDeletionContentFailure:
      'False: All content successfully deleted, may be waiting on finalization',
    NamespaceContentRemaining: 'False: All content successfully removed',
    NamespaceFinalizersRemaining: 'False: All content-preserving finalizers finished',
  });
});

test('what remains is counted, and so is what holds it', () => {
  const held = (name: string) => pod(name, { metadata: { finalizers: ['example.com/hold'] } });
  const remaining = new Map([
    ['pods', [held('a'), held('b')]],
    ['things.example.com', [pod('c')]],
  ]);
  const conditions = told({ remaining, failures: ['secrets: refused'] });
  assert.equal(
    conditions['NamespaceContentRemaining'],
    'True: Some resources are remaining: pods has 2 resource instances, things.example.com has 1 resource instances',
  );
  assert.equal(
    conditions['NamespaceFinalizersRemaining'],
    'True: Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances',
  );
  assert.equal(conditions['NamespaceDeletionContentFailure'], 'True: secrets: refused');
});

test('statuses say the same whether or not they name what is zero', () => {
  assert.ok(sameStatus({ replicas: 0, conditions: [] }, {}));
  assert.ok(sameStatus(undefined, { terminating: 0, uncountedTerminatedPods: {} }));
  assert.ok(sameStatus({ a: { x: 1, y: 2 } }, { a: { y: 2, x: 1 } }));
  assert.ok(!sameStatus({ replicas: 1 }, {}));
  assert.ok(!sameStatus({ conditions: [{ type: 'A' }] }, { conditions: [{ type: 'B' }] }));
});
