/** Every field of the specs, changed and changed back (Acto): the end is as if nothing had been, and a bad state blocks nothing. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { defaultModelSpec } from '../api/defaults.ts';
import { modelVersion, pool } from '../api/fixtures.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import type { ModelVersionSpec } from '../api/generated/model-version.ts';
import { World } from './testing/world.ts';

const seconds = (count: number): number => count * 1_000;
const { rollout, rollback, retention, endpoint } = defaultModelSpec;
const gateway = { responseHeader: true, httpRoute: { parentRefs: [{ name: 'nobody' }] } };
const { server, probes, placement } = modelVersion('5.0.0').spec;

/** Values of each field of a Model's spec: others, at the bounds, and such as cannot be fulfilled. */
const ofModel: Record<string, readonly Partial<ModelSpec>[]> = {
  'serve.version': [{ serve: { version: '4.0.0' } }, { serve: { version: '9.9.9' } }],
  'serve.split': [
    {
      serve: {
        split: [
          { version: '4.0.0', weight: 1 },
          { version: '5.0.0', weight: 9_999 },
        ],
      },
    },
    {
      serve: {
        split: [
          { version: '4.0.0', weight: 0 },
          { version: '5.0.0', weight: 1 },
        ],
      },
    },
    { serve: { split: [{ version: '9.9.9', weight: 1 }] } },
  ],
  'rollout.strategy': [
    { rollout: { ...rollout, strategy: 'blueGreen' } },
    { rollout: { ...rollout, strategy: 'immediate' } },
  ],
  'rollout.steps': [
    { rollout: { ...rollout, steps: [{ weight: 1, hold: '0s' }] } },
    { rollout: { ...rollout, steps: [{ weight: 100, hold: '168h', approval: true }] } },
  ],
  'rollout.approval': [{ rollout: { ...rollout, approval: true } }],
  'rollout.analysis': [
    { rollout: { ...rollout, analysis: { minRequests: 0, maxErrorIncrease: 0, onInconclusive: 'hold' } } },
    {
      rollout: {
        ...rollout,
        analysis: { minRequests: 1e9, maxErrorIncrease: 0.9, onInconclusive: 'rollback' },
      },
    },
    { rollout: { ...rollout, analysis: { ...rollout.analysis, latency: { quantile: 0.5, maxRatio: 1 } } } },
  ],
  'rollout.onNewVersion': [{ rollout: { ...rollout, onNewVersion: 'queue' } }],
  'rollout.bake': [{ rollout: { ...rollout, bake: '0s' } }, { rollout: { ...rollout, bake: '168h' } }],
  'rollback.unreadyFor': [
    { rollback: { ...rollback, unreadyFor: '0s' } },
    { rollback: { ...rollback, unreadyFor: '1h' } },
  ],
  'rollback.minReady': [
    { rollback: { ...rollback, minReady: '0%' } },
    { rollback: { ...rollback, minReady: '100%' } },
  ],
  'rollback.startupDeadline': [
    { rollback: { ...rollback, startupDeadline: '1s' } },
    { rollback: { ...rollback, startupDeadline: '24h' } },
  ],
  'retention.warm': [{ retention: { ...retention, warm: 0 } }, { retention: { ...retention, warm: 10 } }],
  'retention.keep': [{ retention: { ...retention, keep: 0 } }, { retention: { ...retention, keep: 100 } }],
  'retention.parkAfter': [
    { retention: { ...retention, parkAfter: '0s' } },
    { retention: { ...retention, parkAfter: '720h' } },
  ],
  routes: [
    { routes: [{ match: { path: { prefix: '/beta' } }, version: '4.0.0' }] },
    { routes: [{ match: { headers: [{ name: 'x-user', value: '1' }] }, version: '9.9.9' }] },
  ],
  'sticky.header': [{ sticky: { header: 'x-user' } }],
  'sticky.cookie': [{ sticky: { cookie: 'user' } }],
  pinning: [{ pinning: 'disabled' }],
  'timeouts.response': [{ timeouts: { response: '1s' } }],
  'timeouts.idle': [{ timeouts: { idle: '24h' } }],
  'endpoint.provider': [{ endpoint: { ...endpoint, provider: 'gateway', gateway } }],
  'endpoint.keepFormer': [{ endpoint: { ...endpoint, keepFormer: '0s' } }],
  'endpoint.gateway': [{ endpoint: { ...endpoint, gateway } }],
};

/** The same for the ModelVersion that serves; what is immutable cannot be changed. */
const ofVersion: Record<string, readonly Partial<ModelVersionSpec>[]> = {
  description: [{ description: '' }, { description: 'x'.repeat(1_024) }],
  replicas: [{ replicas: 1 }, { replicas: 4 }, { replicas: 1_000 }],
  'scaling.targetConcurrency': [
    { scaling: { targetConcurrency: 1 } },
    { scaling: { targetConcurrency: 1_000_000 } },
    { scaling: {} },
  ],
  'artifactCache.claimName': [{ artifactCache: { claimName: 'nobody-made-it' } }],
  'server.image': [{ server: { ...server, image: 'registry.invalid/nobody:1' } }],
  'server.args': [{ server: { ...server, args: ['--nonsense'] } }],
  'server.provider': [{ server: { ...server, provider: 'tensorrt' } }],
  'server.tune': [{ server: { ...server, tune: { latency: '1ms' } } }],
  'server.env': [
    { server: { ...server, env: [] } },
    { server: { ...server, env: [{ name: 'A', value: '' }] } },
  ],
  'server.ports': [{ server: { ...server, ports: { http: 1_024, grpc: 65_535, metrics: 1_025 } } }],
  'server.threads': [{ server: { ...server, threads: 256 } }],
  'server.workers': [{ server: { ...server, workers: 64 } }],
  'server.batching': [{ server: { ...server, batching: { maxSize: 4_096, maxDelay: '10s' } } }],
  'server.gracePeriod': [{ server: { ...server, gracePeriod: '1h' } }],
  'placement.pool': [{ placement: { ...placement, pool: 'nowhere', gpus: 64 } }],
  'placement.gpus': [{ placement: { ...placement, gpus: 64 } }],
  'placement.resources': [
    { placement: { ...placement, resources: {} } },
    { placement: { ...placement, resources: { requests: { cpu: '1m' }, limits: { memory: '1Ei' } } } },
  ],
  'placement.priorityClassName': [{ placement: { ...placement, priorityClassName: 'nobody-knows' } }],
  'probes.protocol': [{ probes: { ...probes, protocol: 'GRPC' } }],
  'probes.golden': [
    { probes: { ...probes, golden: [] } },
    {
      probes: {
        ...probes,
        golden: [
          { inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: ['y'.repeat(200_000)] }], expect: [] },
        ],
      },
    },
  ],
  'probes.goldenPeriod': [{ probes: { ...probes, goldenPeriod: '1s' } }],
  'probes.startup': [{ probes: { ...probes, startup: { deadline: '1s' } } }],
  'probes.readiness': [{ probes: { ...probes, readiness: { period: '5m', failureThreshold: 100 } } }],
};

/** The same for the GPUPool that the versions are in. */
const ofPool: Record<string, readonly Partial<GPUPool['spec']>[]> = {
  resourceName: [{ resourceName: 'nvidia.com/mig-1g.10gb' }],
  nodeSelector: [{ nodeSelector: { nobody: 'has-it' } }],
  tolerations: [{ tolerations: [{ operator: 'Exists' }] }],
  runtimeClassName: [{ runtimeClassName: 'nobody-knows' }],
  'namespaces.matchLabels': [{ namespaces: { matchLabels: { nobody: 'has-it' } } }],
  whenFull: [{ whenFull: 'wait' }, { whenFull: 'swap' }],
};

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string }[];
}

/** Fields of a spec that can be changed, and those within them, as `a` and `a.b`. */
function fieldsOf(plural: string): string[] {
  const file = new URL(`../../crds/${plural}.sluice.dev.yaml`, import.meta.url);
  const { spec } = parse(readFileSync(file, 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
  };
  const fields = spec.versions[0]!.schema.openAPIV3Schema.properties!['spec']!.properties!;
  return Object.entries(fields)
    .filter(([, field]) => !field['x-kubernetes-validations']?.some(({ rule }) => rule === 'self == oldSelf'))
    .flatMap(([name, { properties }]) =>
      properties === undefined ? [name] : Object.keys(properties).map((inner) => `${name}.${inner}`),
    );
}

it('no field is left out', () => {
  assert.deepEqual(Object.keys(ofModel).sort(), fieldsOf('models').sort());
  assert.deepEqual(Object.keys(ofVersion).sort(), fieldsOf('modelversions').sort());
  assert.deepEqual(Object.keys(ofPool).sort(), fieldsOf('gpupools').sort());
});

/** 5.0.0 serves, 4.0.0 is warm behind it. */
function settledWorld(spec: Partial<ModelVersionSpec> = {}): World {
  const world = new World({ serve: { version: '5.0.0' } });
  world.add('4.0.0', spec);
  world.add('5.0.0', spec);
  world.pools.set('a100', pool('a100', { resourceName: 'nvidia.com/gpu' }));
  world.configure({ serve: { version: '4.0.0' } });
  world.run(seconds(10));
  world.configure({ serve: { version: '5.0.0' } });
  world.run(seconds(1_000));
  assert.equal(world.model?.status?.stable, '5.0.0');
  return world;
}

/** What a person would compare: who serves what, in which state, with how many pods. */
function picture(world: World) {
  return {
    traffic: world.model?.status?.traffic,
    candidate: world.model?.status?.candidate,
    latched: world.model?.status?.latched,
    conditions: ['Ready', 'Servable', 'Promoted', 'Reconciling', 'Stalled'].map((type) =>
      world.condition(type),
    ),
    versions: [...world.versions].map(([version, { replicas }]) => [
      version,
      replicas,
      world.condition('Ready', version),
    ]),
  };
}

/** Long enough for every deadline and every bake of the defaults. */
const longEnough = seconds(3_000);

describe('each field of a Model, changed and changed back', () => {
  for (const [field, values] of Object.entries(ofModel)) {
    for (const value of values) {
      it(`${field}: ${JSON.stringify(value)}`, () => {
        const world = settledWorld();
        const before = picture(world);
        const { spec } = world.model!;
        world.configure(value);
        world.run(longEnough);
        assert.equal(world.condition('Servable'), 'True Serving', 'clients are served meanwhile');
        world.specify(spec);
        world.run(longEnough);
        assert.deepEqual(picture(world), before);
      });
    }
  }
});

describe('each field of the GPUPool, changed and changed back', () => {
  for (const [field, values] of Object.entries(ofPool)) {
    for (const value of values) {
      it(`${field}: ${JSON.stringify(value)}`, () => {
        const world = settledWorld({ placement: { pool: 'a100', gpus: 1 } });
        world.places = world.placed;
        const before = picture(world);
        const { spec } = world.pools.get('a100')!;
        world.pools.set('a100', pool('a100', { ...spec, ...value }));
        world.add('6.0.0', { placement: { pool: 'a100', gpus: 1 } });
        world.run(longEnough);
        assert.equal(world.condition('Servable'), 'True Serving', 'clients are served meanwhile');
        world.remove('6.0.0');
        world.pools.set('a100', pool('a100', spec));
        world.run(longEnough);
        assert.deepEqual(picture(world), before);
      });
    }
  }
});

describe('each field of the ModelVersion that serves, changed and changed back', () => {
  for (const [field, values] of Object.entries(ofVersion)) {
    for (const [index, value] of values.entries()) {
      it(`${field}, value ${index + 1}`, () => {
        const world = settledWorld();
        const before = picture(world);
        const { spec } = world.versions.get('5.0.0')!.object;
        world.respecify('5.0.0', { ...spec, ...value });
        world.run(longEnough);
        assert.equal(world.condition('Servable'), 'True Serving', 'clients are served meanwhile');
        world.respecify('5.0.0', spec);
        world.run(longEnough);
        assert.deepEqual(picture(world), before);
      });
    }
  }

  for (const broken of ['crashing', 'starting'] as const) {
    it(`by one whose pods are ${broken}, past every deadline`, () => {
      const world = settledWorld();
      const before = picture(world);
      const { spec } = world.versions.get('5.0.0')!.object;
      world.respecify('5.0.0', { ...spec, server: { ...server, threads: 3 } });
      world.pods('5.0.0', broken, broken);
      for (let visit = 0; visit < 40; visit += 1) {
        world.now += seconds(60);
        world.ack();
        world.settle();
        assert.equal(world.weight('4.0.0') + world.weight('5.0.0'), 100);
      }
      assert.equal(world.weight('4.0.0'), 100, 'the warm one answers');
      world.respecify('5.0.0', spec);
      world.pods('5.0.0', 'ready', 'ready');
      world.run(longEnough);
      assert.deepEqual(picture(world), before);
    });
  }
});
