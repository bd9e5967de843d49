import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { completeModel, completeVersion, defaultModelSpec, defaultVersionSpec } from '../api/defaults.ts';
import { milliseconds, readable } from '../api/duration.ts';
import { model, modelVersion, pool } from '../api/fixtures.ts';
import type { Model } from '../api/generated/model.ts';
import type { Node, Pod } from '../api/kubernetes.ts';
import { contentHash } from './content-hash.ts';
import { placementProblem } from './placement.ts';
import { policyOf } from './policy.ts';
import { decidePool } from './pool.ts';
import { compareVersions } from './version-order.ts';

describe('durations', () => {
  it('are read in milliseconds', () => {
    assert.deepEqual(
      ['0s', '500ms', '2s', '1m30s', '1h'].map(milliseconds),
      [0, 500, 2_000, 90_000, 3_600_000],
    );
  });
  it('are refused when they are none', () => {
    for (const text of ['', '5', 's', '1 s', '-1s', '1.5s', '1d'])
      assert.throws(() => milliseconds(text), RangeError);
  });
  it('are shown to people', () => {
    assert.deepEqual([850, 2_000, 12_300, 250_000, 600_000].map(readable), [
      '850 ms',
      '2 s',
      '12.3 s',
      '4 min 10 s',
      '10 min',
    ]);
  });
});

describe('versions', () => {
  const at = (version: string, createdAt = '2026-01-01T00:00:00Z') => ({ version, createdAt });
  it('are ordered by semver precedence, above names, then by age', () => {
    const given = ['nightly', '1.10.0', 'v2', '1.9.0', '2.0.0-rc.1', '1.10.0+b'].map((version) =>
      at(version),
    );
    assert.deepEqual(
      given.sort(compareVersions).map(({ version }) => version),
      ['nightly', '1.9.0', '1.10.0', '1.10.0+b', '2.0.0-rc.1', 'v2'],
    );
    assert.ok(compareVersions(at('blue', '2026-01-02T00:00:00Z'), at('green')) > 0);
  });
  it('are ordered totally', () => {
    const any = fc.record({
      version: fc.oneof(fc.constantFrom('1.0.0', '1.0', 'v1', '1.0.0-a', 'x'), fc.string({ minLength: 1 })),
      createdAt: fc.constantFrom('2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'),
    });
    fc.assert(
      fc.property(any, any, any, (a, b, c) => {
        assert.equal(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)) || 0);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) assert.ok(compareVersions(a, c) <= 0);
      }),
    );
  });
});

describe('the content hash', () => {
  it('does not depend on order, replicas, what they carry, or description', () => {
    const { spec } = modelVersion('6.0.0');
    const shuffled = Object.fromEntries(Object.entries(spec).reverse()) as unknown as typeof spec;
    const scaling = { targetConcurrency: 8 };
    assert.equal(contentHash({ ...shuffled, replicas: 9, scaling, description: 'x' }), contentHash(spec));
  });
  it('depends on the artifact, the server and the probes', () => {
    const base = modelVersion('6.0.0').spec;
    const others = [
      { ...base, artifact: { uri: 'https://elsewhere.example/m.onnx' } },
      { ...base, server: { ...base.server, env: [{ name: 'A', value: 'b' }] } },
      { ...base, probes: { ...base.probes, protocol: 'GRPC' as const } },
    ];
    assert.equal(new Set([base, ...others].map(contentHash)).size, 4);
  });
});

describe('the default policy', () => {
  it('is the one of the CRD', () => {
    assert.deepEqual(defaultModelSpec, filled(specOf('models')));
  });
  it('of a ModelVersion is the one of the CRD too', () => {
    const { server, placement, replicas, probes } = specOf('modelversions').properties;
    const fields = Object.entries({ server, placement, replicas, probes });
    assert.deepEqual(
      defaultVersionSpec,
      Object.fromEntries(fields.map(([name, field]) => [name, filled(field)])),
    );
  });
  it('fills in what an older CRD did not know', () => {
    const { analysis: _, ...rollout } = defaultModelSpec.rollout;
    const older = {
      ...model(),
      spec: { ...defaultModelSpec, serve: { split: [] }, rollout },
    } as unknown as Model;
    assert.deepEqual(completeModel(older).spec, { ...defaultModelSpec, serve: { split: [] } });
    assert.deepEqual(completeVersion(modelVersion('1')), modelVersion('1'));
  });
  it('is read in milliseconds and fractions', () => {
    assert.deepEqual(policyOf(defaultModelSpec), {
      strategy: 'canary',
      steps: [5, 25, 50].map((weight) => ({ weight, holdMs: 30_000, approval: false })),
      approval: false,
      analysis: { minRequests: 100, maxErrorIncrease: 0.01, onInconclusive: 'proceed' },
      onNewVersion: 'supersede',
      bakeMs: 600_000,
      unreadyForMs: 5_000,
      minReady: 0.5,
      startupDeadlineMs: 600_000,
    });
  });

  /** The schema of a kind's spec. */
  function specOf(plural: string) {
    const url = new URL(`../../crds/${plural}.sluice.dev.yaml`, import.meta.url);
    return parse(readFileSync(url, 'utf8')).spec.versions[0].schema.openAPIV3Schema.properties.spec;
  }

  /** What the API server makes of nothing: the default of a field, with the defaults inside it. */
  function filled(schema: { default?: unknown; properties?: Record<string, never> }): unknown {
    if (schema.properties === undefined || schema.default === undefined) return schema.default;
    const given = schema.default as Record<string, unknown>;
    const inner = Object.entries(schema.properties).map(([name, field]) => [
      name,
      given[name] ?? filled(field),
    ]);
    return Object.fromEntries(inner.filter(([, value]) => value !== undefined));
  }
});

describe('placementProblem', () => {
  const ask = (gpus: number, found = pool('a100', { resourceName: 'nvidia.com/gpu' })) => ({
    placement: { pool: 'a100', gpus },
    pool: found,
    namespaceLabels: { team: 'speech' },
  });
  it('lets a version go where it may', () => {
    assert.equal(placementProblem(ask(1)), undefined);
    assert.equal(placementProblem({ ...ask(0), placement: { gpus: 0 } }), undefined);
  });
  it('names the pool that is not there', () => {
    const problem = placementProblem({
      placement: { pool: 'h100', gpus: 1 },
      pool: undefined,
      namespaceLabels: {},
    });
    assert.equal(problem?.reason, 'PoolNotFound');
    assert.equal(problem.message, 'spec.placement.pool: there is no GPUPool "h100"');
  });
  it('keeps namespaces out that a pool is not for', () => {
    const reserved = pool('a100', {
      resourceName: 'nvidia.com/gpu',
      namespaces: { matchLabels: { team: 'vision' } },
    });
    assert.equal(placementProblem(ask(1, reserved))?.reason, 'PoolForbidden');
  });
  it('does not look for GPUs in a pool that has none', () => {
    assert.equal(placementProblem(ask(1, pool('a100')))?.reason, 'PoolWithoutGPUs');
  });
});

describe('decidePool', () => {
  const node = (name: string, gpus: number, more: Partial<Node> = {}): Node => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { accelerator: 'a100' } },
    status: {
      allocatable: { 'nvidia.com/gpu': String(gpus) },
      conditions: [{ type: 'Ready', status: 'True' }],
    },
    ...more,
  });
  const pod = (gpus: number, phase = 'Running'): Pod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c', resources: { requests: { 'nvidia.com/gpu': String(gpus) } } }] },
    status: { phase },
  });

  it('counts usable nodes and everybody’s pods', () => {
    const status = decidePool(
      {
        pool: pool('a100', { resourceName: 'nvidia.com/gpu' }),
        nodes: [
          node('a', 4),
          node('b', 4),
          node('cordoned', 4, { spec: { unschedulable: true } }),
          node('cpu', 0),
        ],
        podsOn: (name) => (name === 'a' ? [pod(1), pod(2), pod(4, 'Succeeded')] : []),
      },
      0,
    );
    assert.deepEqual(
      { nodes: status.nodes, capacity: status.capacity, allocated: status.allocated, free: status.free },
      { nodes: 2, capacity: 8, allocated: 3, free: 5 },
    );
    assert.equal(status.conditions?.[0]?.message, '2 nodes, 5 of 8 nvidia.com/gpu free');
  });

  it('is not ready without nodes', () => {
    const observed = {
      pool: pool('a100', { nodeSelector: { accelerator: 'h100' } }),
      nodes: [node('a', 4)],
      podsOn: () => [],
    };
    const ready = decidePool(observed, 0).conditions?.find((condition) => condition.type === 'Ready');
    assert.deepEqual([ready?.status, ready?.reason], ['False', 'NoNodes']);
  });
});
