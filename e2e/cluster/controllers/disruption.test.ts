import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statusOf } from './disruption.ts';
import type { PodDisruptionBudget } from './machinery/kinds.ts';
import { at, pod, start } from './testing/objects.ts';

function budget(
  spec: Partial<PodDisruptionBudget['spec']>,
  disruptedPods?: Record<string, string>,
): PodDisruptionBudget {
  const status = disruptedPods && {
    disruptionsAllowed: 0,
    currentHealthy: 0,
    desiredHealthy: 0,
    expectedPods: 0,
    disruptedPods,
  };
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'b', namespace: 'ns', generation: 2 },
    spec: { selector: { matchLabels: { app: 'web' } }, ...spec },
    ...(status ? { status } : {}),
  };
}

test('how many pods may be disturbed', () => {
  const pods = [pod('a'), pod('b'), pod('c', { ready: false }), pod('d')];
  const rows: readonly [Partial<PodDisruptionBudget['spec']>, number, allowed: number, desired: number][] = [
    [{ maxUnavailable: 1 }, 4, 0, 3],
    [{ maxUnavailable: 2 }, 4, 1, 2],
    [{ maxUnavailable: '50%' }, 4, 1, 2],
    [{ minAvailable: 2 }, 4, 1, 2],
    [{ minAvailable: '75%' }, 4, 0, 3],
    [{ maxUnavailable: 1 }, 0, 0, 0],
  ];
  for (const [spec, expected, allowed, desired] of rows) {
    const status = statusOf(budget(spec), pods, expected, start);
    assert.deepEqual(
      [status.disruptionsAllowed, status.desiredHealthy],
      [allowed, desired],
      JSON.stringify(spec),
    );
    assert.equal(status.conditions?.[0]?.status, allowed > 0 ? 'True' : 'False');
  }
});

test('an eviction that was allowed counts until its pod is going, or it took too long', () => {
  const pods = [pod('a'), pod('b'), pod('c')];
  const spec = { maxUnavailable: 1 };
  assert.equal(statusOf(budget(spec, { a: at(0) }), pods, 3, start).disruptionsAllowed, 0);
  const late = statusOf(budget(spec, { a: at(0) }), pods, 3, start + 120_001);
  assert.deepEqual([late.disruptionsAllowed, late.disruptedPods], [1, undefined]);
});
