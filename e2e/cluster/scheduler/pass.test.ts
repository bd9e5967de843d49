import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Node, Pod, PodSpec } from '../controllers/machinery/kinds.ts';
import { at, node, ownedBy, pending, pod, replicaSet } from '../controllers/testing/objects.ts';
import { demandOf, shortOf, supplyOf } from './demand.ts';
import { type Decision, type Observed, pass } from './pass.ts';

const gpu = 'nvidia.com/gpu';
const gpuTaint = { key: gpu, value: 'present', effect: 'NoSchedule' };
const toleration = { key: gpu, operator: 'Exists' };

function look(nodes: readonly Node[], pods: readonly Pod[], more: Partial<Observed> = {}): Decision[] {
  return pass({
    nodes,
    pods,
    namespace: () => undefined,
    assumed: new Map(),
    parked: new Set(),
    isProtected: () => false,
    ...more,
  });
}

function requesting(
  requests: Record<string, string | number>,
  more: Partial<PodSpec> = {},
): Partial<PodSpec> {
  return { containers: [{ name: 'c', resources: { requests } }], ...more };
}

function onNode(name: string, nodeName: string, spec: Partial<PodSpec> = {}): Pod {
  return pod(name, { spec: { containers: [{ name: 'c' }], ...spec, nodeName } });
}

/** What was decided, briefly: `pod → node`, or the pod and why not. */
function tell(decisions: readonly Decision[]): string[] {
  return decisions.map((decision) => {
    const name = decision.pod.metadata.name;
    if (decision.kind === 'bind') return `${name} → ${decision.node}`;
    return decision.kind === 'gated' ? `${name} is gated` : `${name}: ${decision.message}`;
  });
}

const pool = [node('cpu'), node('g1', { [gpu]: '4' }, [gpuTaint]), node('g2', { [gpu]: '4' }, [gpuTaint])];

describe('why a pod fits nowhere is said as kube-scheduler says it', () => {
  const rows: readonly [string, Partial<PodSpec>, string][] = [
    [
      'too many GPUs',
      requesting({ [gpu]: 9 }, { tolerations: [toleration] }),
      '0/3 nodes are available: 3 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.',
    ],
    [
      'taints, and too little of two things',
      requesting({ cpu: '99', memory: '999Gi' }),
      '0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 2 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.',
    ],
    [
      'a selector that nothing fits',
      { nodeSelector: { a: 'b' } },
      "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
    ],
  ];
  for (const [name, spec, message] of rows) {
    test(name, () => assert.deepEqual(tell(look(pool, [pending('p', spec)])), [`p: ${message}`]));
  }

  test('no nodes', () => {
    assert.deepEqual(tell(look([], [pending('p')])), ['p: no nodes available to schedule pods']);
  });
});

describe('where a pod goes', () => {
  const labelled = (name: string, labels: Record<string, string>): Node => {
    const base = node(name);
    return { ...base, metadata: { ...base.metadata, labels: { ...base.metadata.labels, ...labels } } };
  };
  const nodes = [labelled('a', { disk: 'ssd', size: '4' }), labelled('b', { disk: 'hdd', size: '8' })];
  const affinity = (operator: string, key: string, values: string[]): Partial<PodSpec> => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
        },
      },
    },
  });
  const apart = {
    labelSelector: { matchLabels: { app: 'web' } },
    topologyKey: 'kubernetes.io/hostname',
  };
  const spread = (whenUnsatisfiable: string) => ({
    topologySpreadConstraints: [{ maxSkew: 1, whenUnsatisfiable, ...apart }],
  });
  const rows: readonly [string, Partial<PodSpec>, Pod[], string][] = [
    ['by label', { nodeSelector: { disk: 'hdd' } }, [], 'b'],
    ['by affinity', affinity('NotIn', 'disk', ['hdd']), [], 'a'],
    ['by a number', affinity('Gt', 'size', ['5']), [], 'b'],
    ['where more is free', {}, [onNode('x', 'a', requesting({ cpu: '3' }))], 'b'],
    ['where there is room for one more', {}, Array.from({ length: 10 }, (_, n) => onNode(`x${n}`, 'a')), 'b'],
    [
      'where its port is free',
      { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 80 }] }] },
      [onNode('x', 'a', { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 80 }] }] })],
      'b',
    ],
    [
      'away from those it must avoid',
      { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [apart] } } },
      [onNode('x', 'a')],
      'b',
    ],
    [
      'away from those it would rather avoid',
      {
        affinity: {
          podAntiAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: apart }],
          },
        },
      },
      [onNode('x', 'b')],
      'a',
    ],
    [
      'away from those that avoid it',
      {},
      [
        onNode('x', 'a', {
          affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [apart] } },
        }),
      ],
      'b',
    ],
    [
      'to those it must be with',
      { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [apart] } } },
      [onNode('x', 'b')],
      'b',
    ],
    ['evenly, because it must', spread('DoNotSchedule'), [onNode('x', 'a')], 'b'],
    ['evenly, if it can', spread('ScheduleAnyway'), [onNode('x', 'b')], 'a'],
  ];
  for (const [name, spec, there, expected] of rows) {
    test(name, () =>
      assert.deepEqual(tell(look(nodes, [...there, pending('p', spec)])), [`p → ${expected}`]),
    );
  }

  test('apart from its siblings', () => {
    const siblings = ['s1', 's2'].map((name) => pending(name, {}, ownedBy(replicaSet('web'))));
    assert.deepEqual(tell(look(nodes, siblings)), ['s1 → a', 's2 → b']);
  });

  test('not to a cordoned node', () => {
    const cordoned = nodes.map((one) => ({ ...one, spec: { unschedulable: one.metadata.name === 'a' } }));
    assert.deepEqual(tell(look(cordoned, [pending('p')])), ['p → b']);
  });
});

test('what one pod takes is gone for the next, also when the watch does not show it yet', () => {
  const spec = requesting({ cpu: '3' });
  const bound = pending('bound', spec);
  const decisions = look([node('a')], [bound, pending('p', spec)], {
    assumed: new Map([['uid-bound', 'a']]),
  });
  assert.equal(decisions.length, 1);
  assert.match(tell(decisions)[0] ?? '', /^p: 0\/1 nodes are available: 1 Insufficient cpu\./);
});

test('gated pods, those of other schedulers and those that are going are left alone', () => {
  const pods = [
    pending('gated', { schedulingGates: [{ name: 'x' }] }),
    pending('other', { schedulerName: 'other' }),
    pending('going', {}, { deletionTimestamp: at(0) }),
  ];
  assert.deepEqual(tell(look([node('a')], pods)), ['gated is gated']);
});

test('a pod that is known to fit nowhere is not looked at again', () => {
  const pods = [pending('known', requesting({ cpu: '9' })), pending('new', requesting({ cpu: '9' }))];
  const decisions = look([node('a')], pods, { parked: new Set(['uid-known']) });
  assert.deepEqual(
    decisions.map(({ pod: { metadata } }) => metadata.name),
    ['new'],
  );
});

describe('preemption', () => {
  const four = (priority: number, more: Partial<PodSpec> = {}) =>
    requesting({ [gpu]: 4 }, { priority, tolerations: [toleration], ...more });
  const victimsOf = (decisions: readonly Decision[]) =>
    decisions.map((one) =>
      one.kind === 'refuse' ? [one.nominate, ...one.victims.map(({ metadata }) => metadata.name)] : one.kind,
    );

  test('the least important pod makes room, and the message says only what was missing', () => {
    const decisions = look(pool, [
      onNode('low', 'g1', four(1)),
      onNode('mid', 'g2', four(5)),
      pending('high', four(9)),
    ]);
    assert.deepEqual(victimsOf(decisions), [['g1', 'low']]);
    assert.deepEqual(tell(decisions), ['high: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.']);
  });

  test('two that preempt in one pass take different nodes', () => {
    const decisions = look(pool, [
      onNode('low1', 'g1', four(1)),
      onNode('low2', 'g2', four(1)),
      pending('high1', four(9)),
      pending('high2', four(9)),
    ]);
    assert.deepEqual(
      victimsOf(decisions)
        .map(([nominated]) => nominated)
        .sort(),
      ['g1', 'g2'],
    );
  });

  test('no more pods go than must', () => {
    const small = (name: string, priority: number) =>
      onNode(name, 'g1', requesting({ [gpu]: 2 }, { priority }));
    const decisions = look(pool.slice(0, 2), [
      small('a', 3),
      small('b', 1),
      pending('high', requesting({ [gpu]: 2 }, { priority: 9, tolerations: [toleration] })),
    ]);
    assert.deepEqual(victimsOf(decisions), [['g1', 'b']]);
  });

  test('those a budget protects are spared where others will do', () => {
    const pods = [onNode('guarded', 'g1', four(1)), onNode('free', 'g2', four(2)), pending('high', four(9))];
    const isProtected = (one: Readonly<Pod>) => one.metadata.name === 'guarded';
    assert.deepEqual(victimsOf(look(pool, pods, { isProtected })), [['g2', 'free']]);
  });

  test('equals are never evicted, and a pod that may not preempt says so', () => {
    const there = [onNode('a', 'g1', four(9)), onNode('b', 'g2', four(9))];
    assert.deepEqual(tell(look(pool, [...there, pending('p', four(9))])), [
      'p: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.',
    ]);
    assert.match(
      tell(look(pool, [...there, pending('p', four(10, { preemptionPolicy: 'Never' }))]))[0] ?? '',
      /not eligible due to preemptionPolicy=Never\.$/,
    );
  });

  test('while its victims go, it waits, and nobody less important takes its place', () => {
    const low = onNode('low', 'g1', four(1));
    const leaving = { ...low, metadata: { ...low.metadata, deletionTimestamp: at(1) } };
    const high = { ...pending('high', four(9)), status: { phase: 'Pending', nominatedNodeName: 'g1' } };
    const decisions = look(pool.slice(0, 2), [leaving, high, pending('other', four(2))]);
    assert.deepEqual(victimsOf(decisions), [['g1'], [undefined]]);
    assert.match(tell(decisions)[0] ?? '', /not eligible due to a terminating pod on the nominated node\.$/);
    const afterwards = look(pool.slice(0, 2), [high, pending('other', four(2))]);
    assert.equal(tell(afterwards)[0], 'high → g1');
  });
});

test('a pod asks for its containers together, or for its hungriest init container', () => {
  const resources = (cpu: string) => ({ resources: { requests: { cpu } } });
  const one = pending('p', {
    initContainers: [
      { name: 'side', restartPolicy: 'Always', ...resources('500m') },
      { name: 'init', ...resources('3') },
    ],
    containers: [
      { name: 'a', ...resources('1') },
      { name: 'b', resources: { limits: { [gpu]: 1 } } },
    ],
    overhead: { cpu: '100m' },
  });
  assert.deepEqual(demandOf(one), { cpu: 3.6, [gpu]: 1, pods: 1 });
});

test('whatever pods there are, no node is ever overbooked, and none that fits is refused', () => {
  const pods = fc.array(
    fc.record({
      cpu: fc.integer({ min: 0, max: 5 }),
      gpus: fc.integer({ min: 0, max: 5 }),
      priority: fc.nat({ max: 3 }),
    }),
    { maxLength: 25 },
  );
  fc.assert(
    fc.property(pods, (wishes) => {
      const waiting = wishes.map(({ cpu, gpus, priority }, index) =>
        pending(
          `p${index}`,
          requesting({ cpu: String(cpu), [gpu]: gpus }, { priority, tolerations: [toleration] }),
        ),
      );
      const decisions = look(pool, waiting);
      assert.equal(decisions.length, waiting.length);
      const used = new Map(pool.map(({ metadata }) => [metadata.name ?? '', {} as Record<string, number>]));
      for (const decision of decisions) {
        if (decision.kind !== 'bind') continue;
        const sum = used.get(decision.node) ?? assert.fail('no such node');
        for (const [name, amount] of Object.entries(demandOf(decision.pod)))
          sum[name] = (sum[name] ?? 0) + amount;
      }
      for (const one of pool)
        assert.deepEqual(shortOf(used.get(one.metadata.name ?? '') ?? {}, supplyOf(one), {}), []);
      for (const decision of decisions) {
        if (decision.kind !== 'refuse' || decision.nominate !== undefined) continue;
        const nominated = decisions.some((one) => one.kind === 'refuse' && one.nominate !== undefined);
        if (nominated) continue;
        for (const one of pool) {
          const short = shortOf(
            demandOf(decision.pod),
            supplyOf(one),
            used.get(one.metadata.name ?? '') ?? {},
          );
          assert.notDeepEqual(short, [], `${decision.pod.metadata.name} would fit on ${one.metadata.name}`);
        }
      }
    }),
  );
});
