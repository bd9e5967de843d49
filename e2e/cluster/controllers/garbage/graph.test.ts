import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject, ObjectMeta } from '../../../../kube-client/object.ts';
import { resources } from '../../../../kube-client/resources.ts';
import { at } from '../testing/objects.ts';
import { Graph, judge, type Vertex } from './graph.ts';

function object(name: string, owners: readonly string[] = [], more: ObjectMeta = {}): Vertex {
  const ownerReferences = owners.map((owner) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: owner,
    uid: `uid-${owner}`,
    blockOwnerDeletion: true,
  }));
  const metadata = { name, namespace: 'ns', uid: `uid-${name}`, ownerReferences, ...more };
  const value: KubeObject = { apiVersion: 'v1', kind: 'ConfigMap', metadata };
  return { resource: resources.configmaps, object: value };
}

function graphOf(...vertices: readonly Vertex[]): Graph {
  const graph = new Graph();
  for (const vertex of vertices) graph.put(vertex);
  return graph;
}

const going = (finalizer: string): ObjectMeta => ({ deletionTimestamp: at(0), finalizers: [finalizer] });
const gone = () => true;
const unknown = () => false;

describe('what becomes of an object', () => {
  const child = object('child', ['a']);
  const shared = object('shared', ['a', 'b']);
  const rows: readonly [string, Vertex, Graph, () => boolean, object][] = [
    ['no owners: it stays', object('free'), graphOf(), gone, { kind: 'keep' }],
    ['its owner lives: it stays', child, graphOf(child, object('a')), gone, { kind: 'keep' }],
    ['its owner is not known yet: it stays', child, graphOf(child), unknown, { kind: 'keep' }],
    ['its owner is gone: it goes', child, graphOf(child), gone, { kind: 'delete', policy: 'Background' }],
    [
      'one of two owners is gone: it leaves that one',
      shared,
      graphOf(shared, object('b')),
      gone,
      { kind: 'unlink', references: ['uid-a'] },
    ],
    [
      'its owner waits for it: it goes',
      child,
      graphOf(child, object('a', [], going('foregroundDeletion'))),
      gone,
      { kind: 'delete', policy: 'Background' },
    ],
    [
      'its owner waits for it, and it has dependents itself: it waits for them too',
      child,
      graphOf(child, object('a', [], going('foregroundDeletion')), object('grandchild', ['child'])),
      gone,
      { kind: 'delete', policy: 'Foreground' },
    ],
    [
      'it is on its way out already',
      object('child', ['a'], { deletionTimestamp: at(0) }),
      graphOf(),
      gone,
      { kind: 'keep' },
    ],
    [
      'the last dependent is gone: it may go',
      object('a', [], going('foregroundDeletion')),
      graphOf(),
      gone,
      { kind: 'finish' },
    ],
  ];
  for (const [name, vertex, graph, isAbsent, verdict] of rows) {
    test(name, () => assert.deepEqual(judge(vertex, graph, isAbsent), verdict));
  }

  test('dependents are waited for, or let go', () => {
    const waiting = object('a', [], going('foregroundDeletion'));
    assert.deepEqual(judge(waiting, graphOf(waiting, child), gone), { kind: 'wait', dependents: [child] });
    const orphaning = object('a', [], going('orphan'));
    assert.deepEqual(judge(orphaning, graphOf(orphaning, child), gone), {
      kind: 'orphan',
      dependents: [child],
    });
  });

  test('an owner in another namespace is no owner', () => {
    const elsewhere = object('a', [], { namespace: 'other' });
    assert.deepEqual(judge(child, graphOf(child, elsewhere), unknown), {
      kind: 'delete',
      policy: 'Background',
    });
  });
});

test('the graph follows changed references and forgets what is gone', () => {
  const graph = graphOf(object('a'), object('b'), object('child', ['a']));
  const dependents = (uid: string) =>
    graph.dependentsOf(uid).map(({ object: { metadata } }) => metadata.name);
  assert.deepEqual(dependents('uid-a'), ['child']);
  graph.put(object('child', ['b']));
  assert.deepEqual(dependents('uid-a'), []);
  assert.deepEqual(dependents('uid-b'), ['child']);
  graph.delete('uid-child');
  assert.deepEqual(dependents('uid-b'), []);
});
