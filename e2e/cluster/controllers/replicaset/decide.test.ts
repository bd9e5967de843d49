import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '../machinery/kinds.ts';
import { at, pending, pod, replicaSet, start } from '../testing/objects.ts';
import { decide, statusOf } from './decide.ts';

const names = (pods: readonly Readonly<Pod>[]) => pods.map(({ metadata }) => metadata.name);

test('missing pods are created; ended and leaving ones do not count', () => {
  const pods = [
    pod('runs'),
    pod('ended', { status: { phase: 'Failed' } }),
    pod('leaves', { metadata: { deletionTimestamp: at(1) } }),
  ];
  assert.deepEqual(decide(replicaSet('web', { replicas: 3 }), pods), { create: 2, remove: [] });
});

test('one that is being deleted does nothing', () => {
  const set = replicaSet('web', { replicas: 3 }, { deletionTimestamp: at(1) });
  assert.deepEqual(decide(set, []), { create: 0, remove: [] });
});

describe('the pod that is given up first is the one', () => {
  const cost = (value: string) => ({ annotations: { 'controller.kubernetes.io/pod-deletion-cost': value } });
  const restarts = (restartCount: number) => ({ containerStatuses: [{ name: 'c', restartCount }] });
  const rows: readonly [why: string, goes: Pod, stays: Pod][] = [
    ['without a node', pending('a'), pod('b')],
    ['that has not started', pod('a', { status: { phase: 'Pending' } }), pod('b')],
    ['that is not ready', pod('a', { ready: false }), pod('b')],
    ['that is said to cost less', pod('a', { metadata: cost('-5') }), pod('b', { metadata: cost('3') })],
    ['that became ready later', pod('a', { since: 50 }), pod('b', { since: 10 })],
    ['that restarted more', pod('a', { status: restarts(3) }), pod('b', { status: restarts(1) })],
    ['that is younger', pod('a', { metadata: { creationTimestamp: at(9) } }), pod('b')],
  ];
  for (const [why, goes, stays] of rows) {
    test(why, () => {
      for (const pods of [
        [goes, stays],
        [stays, goes],
      ]) {
        assert.deepEqual(names(decide(replicaSet('web', { replicas: 1 }), pods).remove), ['a']);
      }
    });
  }

  test('that shares its node with others', () => {
    const spec = { nodeName: 'crowded' };
    const pods = [pod('alone'), pod('x', { spec }), pod('y', { spec })];
    assert.deepEqual(names(decide(replicaSet('web', { replicas: 2 }), pods).remove), ['x']);
  });
});

describe('the status', () => {
  test('counts ready, available and terminating pods', () => {
    const set = replicaSet('web', { minReadySeconds: 10 });
    const pods = [
      pod('old', { since: -60 }),
      pod('young', { since: -4 }),
      pod('unready', { ready: false, metadata: { labels: { other: 'label' } } }),
      pod('leaves', { metadata: { deletionTimestamp: at(0) } }),
    ];
    const { status, requeueAfter } = statusOf(set, pods, undefined, start);
    assert.deepEqual(status, {
      replicas: 3,
      fullyLabeledReplicas: 2,
      readyReplicas: 2,
      availableReplicas: 1,
      terminatingReplicas: 1,
      observedGeneration: 1,
    });
    assert.equal(requeueAfter, 6000);
  });

  test('says why pods cannot be created, since when, and stops saying it', () => {
    const set = replicaSet('web');
    const failed = statusOf(set, [], { reason: 'FailedCreate', message: 'quota' }, start).status;
    const expected = {
      type: 'ReplicaFailure',
      status: 'True',
      reason: 'FailedCreate',
      message: 'quota',
      lastTransitionTime: at(0),
    };
    assert.deepEqual(failed.conditions, [expected]);
    const again = statusOf(
      { ...set, status: failed },
      [],
      { reason: 'FailedCreate', message: 'quota' },
      start + 5000,
    );
    assert.deepEqual(again.status.conditions, [expected]);
    assert.equal(statusOf({ ...set, status: failed }, [], undefined, start).status.conditions, undefined);
  });
});
