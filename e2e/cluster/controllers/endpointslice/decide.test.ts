import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { EndpointSlice, Pod, Service } from '../machinery/kinds.ts';
import { at, node, pod, service, stored } from '../testing/objects.ts';
import { decide, maxEndpoints } from './decide.ts';

const nodeOf = () => undefined;

function withAddress(name: string, address: string, more: Parameters<typeof pod>[1] = {}): Pod {
  return pod(name, { ...more, status: { podIP: address, podIPs: [{ ip: address }], ...more.status } });
}

/** Lets plans come true until there is nothing to do; returns the slices. */
function settle(
  wanted: Service,
  pods: readonly Pod[],
  slices: readonly EndpointSlice[] = [],
): EndpointSlice[] {
  let now = [...slices];
  for (let round = 0; round < 5; round++) {
    const plan = decide(wanted, pods, now, nodeOf);
    if (plan.create.length + plan.update.length + plan.remove.length === 0) return now;
    now = now
      .filter((slice) => !plan.remove.includes(slice))
      .map((slice) => plan.update.find((one) => one.metadata.name === slice.metadata.name) ?? slice);
    now.push(...plan.create.map((slice, index) => stored(slice, `slice-${round}-${index}-${now.length}`)));
  }
  return assert.fail('it never settled');
}

describe('conditions of an endpoint', () => {
  const going = { metadata: { deletionTimestamp: at(1) } };
  const rows: readonly [string, Pod, Partial<Service['spec']>, object][] = [
    ['ready', withAddress('a', '10.0.0.1'), {}, { ready: true, serving: true, terminating: false }],
    [
      'not ready',
      withAddress('a', '10.0.0.1', { ready: false }),
      {},
      { ready: false, serving: false, terminating: false },
    ],
    [
      'going, still serving',
      withAddress('a', '10.0.0.1', going),
      {},
      { ready: false, serving: true, terminating: true },
    ],
    [
      'going, not serving',
      withAddress('a', '10.0.0.1', { ready: false, ...going }),
      {},
      { ready: false, serving: false, terminating: true },
    ],
    [
      'published in any case',
      withAddress('a', '10.0.0.1', { ready: false }),
      { publishNotReadyAddresses: true },
      { ready: true, serving: false, terminating: false },
    ],
  ];
  for (const [name, one, spec, conditions] of rows) {
    test(name, () => {
      assert.deepEqual(settle(service(spec), [one])[0]?.endpoints[0]?.conditions, conditions);
    });
  }
});

test('a slice is its Service’s: labels, owner, ports, node, zone and target', () => {
  const spec = {
    clusterIP: 'None',
    ports: [{ name: 'grpc', port: 81, targetPort: 'g', appProtocol: 'kubernetes.io/h2c' }],
  };
  const one = withAddress('a', '10.0.0.1', {
    spec: {
      containers: [{ name: 'c', ports: [{ name: 'g', containerPort: 8081 }] }],
      hostname: 'h',
      subdomain: 'web',
    },
  });
  const zoned = {
    ...node('node-1'),
    metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'z' } },
  };
  const { create } = decide(service(spec, { labels: { team: 'x' } }), [one], [], () => zoned);
  assert.equal(create.length, 1);
  const [slice] = create;
  assert.deepEqual(slice?.metadata.labels, {
    team: 'x',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    'service.kubernetes.io/headless': '',
  });
  assert.equal(slice?.metadata.ownerReferences?.[0]?.uid, 'uid-web');
  assert.deepEqual(slice?.ports, [
    { name: 'grpc', port: 8081, protocol: 'TCP', appProtocol: 'kubernetes.io/h2c' },
  ]);
  assert.deepEqual(slice?.endpoints, [
    {
      addresses: ['10.0.0.1'],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', namespace: 'ns', name: 'a', uid: 'uid-a' },
      nodeName: 'node-1',
      zone: 'z',
      hostname: 'h',
    },
  ]);
});

test('pods that ended or have no address yet are not there; without pods one empty slice stays', () => {
  const ended = withAddress('a', '10.0.0.1', { status: { phase: 'Succeeded' } });
  const early = pod('b', { status: { podIP: '' } });
  const slices = settle(service(), [ended, early]);
  assert.equal(slices.length, 1);
  assert.deepEqual(slices[0]?.endpoints, []);
  assert.deepEqual(
    settle(service(), [], settle(service(), [withAddress('a', '10.0.0.1')])).map(
      ({ endpoints }) => endpoints,
    ),
    [[]],
  );
});

test('pods whose named port differs are in slices of their own', () => {
  const spec = { ports: [{ name: 'http', port: 80, targetPort: 'web' }] };
  const listening = (name: string, address: string, containerPort: number) =>
    withAddress(name, address, {
      spec: { containers: [{ name: 'c', ports: [{ name: 'web', containerPort }] }] },
    });
  const slices = settle(service(spec), [listening('a', '10.0.0.1', 1), listening('b', '10.0.0.2', 2)]);
  assert.deepEqual(slices.map(({ ports }) => ports?.[0]?.port).sort(), [1, 2]);
});

test('a change of one pod changes one slice and keeps the order of the others', () => {
  const pods = ['1', '2', '3'].map((n) => withAddress(`p${n}`, `10.0.0.${n}`));
  const before = settle(service(), pods);
  const next = pods.map((one) =>
    one.metadata.name === 'p2' ? withAddress('p2', '10.0.0.2', { ready: false }) : one,
  );
  const plan = decide(service(), next, before, nodeOf);
  assert.deepEqual([plan.create.length, plan.update.length, plan.remove.length], [0, 1, 0]);
  assert.deepEqual(
    plan.update[0]?.endpoints.map(({ addresses }) => addresses[0]),
    ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
  );
});

test('whatever pods come and go, every pod is in exactly one slice, no slice is too long, and it comes to rest', () => {
  const crowd = fc.uniqueArray(fc.nat({ max: 300 }), { maxLength: 250 });
  fc.assert(
    fc.property(fc.array(crowd, { minLength: 1, maxLength: 4 }), (crowds) => {
      let slices: EndpointSlice[] = [];
      for (const numbers of crowds) {
        const pods = numbers.map((n) =>
          withAddress(`p${n}`, `10.0.${n >> 8}.${n & 255}`, { ready: n % 3 > 0 }),
        );
        slices = settle(service(), pods, slices);
        const uids = slices.flatMap(({ endpoints }) => endpoints.map(({ targetRef }) => targetRef?.uid));
        assert.deepEqual(uids.toSorted(), pods.map(({ metadata }) => metadata.uid).toSorted());
        assert.ok(slices.every(({ endpoints }) => endpoints.length <= maxEndpoints));
      }
    }),
    { numRuns: 30 },
  );
});
