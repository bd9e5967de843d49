import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Node, Taint } from '../machinery/kinds.ts';
import { at, node, pod, start } from '../testing/objects.ts';
import { evictionTime, staleConditions, taintsOf } from './decide.ts';

function inState(status: 'True' | 'False' | 'Unknown', more: Partial<Node['spec']> = {}): Node {
  const base = node('n');
  return { ...base, spec: { ...base.spec, ...more }, status: { conditions: [{ type: 'Ready', status }] } };
}

test('of a silent node nothing is known any more, and that is said once', () => {
  const heard = node('n');
  assert.equal(staleConditions(heard, start, 40_000, start + 40_000), undefined);
  const conditions = staleConditions(heard, start, 40_000, start + 40_001);
  const ready = conditions?.find(({ type }) => type === 'Ready');
  assert.equal(ready?.status, 'Unknown');
  assert.equal(ready?.reason, 'NodeStatusUnknown');
  assert.equal(ready?.lastHeartbeatTime, at(0));
  const silent = { ...heard, status: { conditions: conditions ?? [] } };
  assert.equal(staleConditions(silent, start, 40_000, start + 90_000), undefined);
});

describe('taints follow the conditions', () => {
  const keys = (taints: Taint[] | undefined) => taints?.map(({ key, effect }) => `${key}:${effect}`);
  const rows: readonly [string, Node, string[] | undefined][] = [
    ['ready', inState('True'), undefined],
    [
      'not ready',
      inState('False'),
      ['node.kubernetes.io/not-ready:NoSchedule', 'node.kubernetes.io/not-ready:NoExecute'],
    ],
    [
      'silent',
      inState('Unknown'),
      ['node.kubernetes.io/unreachable:NoSchedule', 'node.kubernetes.io/unreachable:NoExecute'],
    ],
    ['never reported', { ...node('n'), status: {} }, ['node.kubernetes.io/not-ready:NoSchedule']],
    ['cordoned', inState('True', { unschedulable: true }), ['node.kubernetes.io/unschedulable:NoSchedule']],
    [
      'well again',
      inState('True', {
        taints: [
          { key: 'mine', effect: 'NoSchedule' },
          { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' },
        ],
      }),
      ['mine:NoSchedule'],
    ],
  ];
  for (const [name, one, expected] of rows) {
    test(name, () => assert.deepEqual(keys(taintsOf(one, start)), expected));
  }
});

describe('a pod has to leave', () => {
  const taint: Taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: at(0) };
  const tolerating = (tolerationSeconds?: number) =>
    pod('p', {
      spec: {
        tolerations: [
          {
            key: taint.key,
            operator: 'Exists',
            effect: 'NoExecute',
            ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
          },
        ],
      },
    });
  const now = start + 10_000;
  const rows: readonly [string, number | undefined, Taint[], ReturnType<typeof pod>][] = [
    ['at once, if it does not tolerate', now, [taint], pod('p')],
    ['after its time', start + 300_000, [taint], tolerating(300)],
    ['never, if it tolerates without limit', undefined, [taint], tolerating()],
    [
      'never, for a taint that only keeps new ones away',
      undefined,
      [{ ...taint, effect: 'NoSchedule' }],
      pod('p'),
    ],
  ];
  for (const [name, due, taints, one] of rows) {
    test(name, () => assert.equal(evictionTime(one, taints, now), due));
  }
});
