import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeProtobuf } from './protobuf.ts';

/** A message from its fields: a number as a varint, anything else with its length before it. */
function message(...fields: readonly (readonly [number, number | string | Uint8Array])[]): Buffer {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)]);
      const bytes = Buffer.from(value);
      return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return Buffer.from([...bytes, Number(rest)]);
}

function body(apiVersion: string, kind: string, raw: Buffer): Buffer {
  return Buffer.concat([Buffer.from('k8s\0'), message([1, message([1, apiVersion], [2, kind])], [2, raw])]);
}

test('a Secret as Helm writes it', () => {
  const metadata = message(
    [1, 'sh.helm.release.v1.sluice.v1'],
    [3, 'sluice-system'],
    [5, ''],
    [11, message([1, 'owner'], [2, 'helm'])],
  );
  const secret = message([1, metadata], [2, message([1, 'release'], [2, 'H4sI'])], [3, 'helm.sh/release.v1']);
  assert.deepEqual(decodeProtobuf(body('v1', 'Secret', secret)), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'sh.helm.release.v1.sluice.v1', namespace: 'sluice-system', labels: { owner: 'helm' } },
    data: { release: Buffer.from('H4sI').toString('base64') },
    type: 'helm.sh/release.v1',
  });
});

test('zero is kept where it means something, and is no value where it means none', () => {
  // spec: replicas is optional, minReadySeconds isn't; an emptyDir says something by being there.
  const volume = message([1, 'tmp'], [2, message([2, ''])]);
  const pod = message([1, volume], [2, message([1, 'c'], [6, message([2, 0], [3, 8080])])], [4, 0]);
  const spec = message([1, 0], [3, message([2, pod])], [5, 0]);
  const deployment = decodeProtobuf(body('apps/v1', 'Deployment', message([2, spec])));
  assert.deepEqual(deployment['spec'], {
    replicas: 0,
    template: {
      spec: {
        volumes: [{ name: 'tmp', emptyDir: {} }],
        containers: [{ name: 'c', ports: [{ containerPort: 8080 }] }],
        terminationGracePeriodSeconds: 0,
      },
    },
  });
});

test('times, quantities, numbers or texts, negative numbers', () => {
  const options = decodeProtobuf(body('v1', 'DeleteOptions', message([1, -1], [4, 'Background'])));
  assert.equal(options['gracePeriodSeconds'], -1);
  const quota = message([2, message([1, message([1, 'cpu'], [2, message([1, '1500m'])])])]);
  assert.deepEqual(decodeProtobuf(body('v1', 'ResourceQuota', quota))['spec'], { hard: { cpu: '1500m' } });
  const budget = message([2, message([1, message([1, 1], [2, 0], [3, '50%'])])]);
  assert.deepEqual(decodeProtobuf(body('policy/v1', 'PodDisruptionBudget', budget))['spec'], {
    minAvailable: '50%',
  });
  const lease = message([2, message([4, message([1, 1_700_000_000], [2, 123_456_000])])]);
  assert.deepEqual(decodeProtobuf(body('coordination.k8s.io/v1', 'Lease', lease))['spec'], {
    renewTime: '2023-11-14T22:13:20.123456Z',
  });
});

test('whatever arrives is decoded or refused with a reason, and nothing else happens', () => {
  assert.throws(() => decodeProtobuf(Buffer.from('{}')), RangeError);
  assert.throws(() => decodeProtobuf(body('v1', 'Nonsense', message())), /Nonsense/);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom('Secret', 'Pod', 'Service'),
      (bytes, kind) => {
        try {
          decodeProtobuf(body('v1', kind, Buffer.from(bytes)));
        } catch (error) {
          assert.ok(error instanceof RangeError || error instanceof SyntaxError, String(error));
        }
      },
    ),
  );
});
