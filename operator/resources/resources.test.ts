import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { model, modelVersion, pool } from '../api/fixtures.ts';
import { versionChildName } from './names.ts';
import { routerObjects } from './router.ts';
import { modelService, versionService } from './services.ts';
import { type VersionConfig, versionDeployment } from './version-deployment.ts';

const runtime = {
  image: 'registry.example/sluice/runtime:1',
  pullPolicy: 'IfNotPresent',
  pullSecrets: ['registry'],
  logLevel: 'info',
} as const;
const config: VersionConfig = {
  runtime,
  artifacts: {
    schemes: ['file', 'pvc'],
    privateHosts: ['store.internal:9000'],
    endpoints: { s3: 'https://store.internal:9000' },
    maxBytes: 1024,
  },
  defaultResources: { requests: { cpu: '250m', memory: '256Mi' }, limits: { memory: '1Gi' } },
};

/** The parts of a Deployment that the tests look at. */
interface Built {
  readonly spec: {
    readonly replicas: number;
    readonly selector: { readonly matchLabels: Record<string, string> };
    readonly template: {
      readonly metadata: { readonly labels: Record<string, string> };
      readonly spec: PodSpec;
    };
  };
}
interface PodSpec extends Record<string, unknown> {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}
interface Container extends Record<string, unknown> {
  readonly name: string;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
}

const build = (version = modelVersion('6.0.0'), gpuPool?: ReturnType<typeof pool>, replicas = 2): Built =>
  versionDeployment(
    { version, contentHash: 'abc', replicas, ...(gpuPool === undefined ? {} : { pool: gpuPool }) },
    config,
  ) as unknown as Built;

const envValue = ({ env }: Container, name: string): string | undefined =>
  env.find((variable) => variable.name === name)?.value;

/** What Pod Security `restricted` of Kubernetes asks of a pod. */
function assertRestricted(pod: PodSpec): void {
  const allowedVolumes = [
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ];
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) assert.equal(pod[field], undefined);
  for (const volume of pod['volumes'] as Record<string, unknown>[]) {
    const { name: _name, ...sources } = volume;
    for (const source of Object.keys(sources)) assert.ok(allowedVolumes.includes(source), source);
  }
  const security = pod['securityContext'] as Record<string, unknown>;
  assert.equal(security['runAsNonRoot'], true);
  assert.notEqual(security['runAsUser'], 0);
  assert.deepEqual(security['seccompProfile'], { type: 'RuntimeDefault' });
  for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
    const own = container['securityContext'] as Record<string, unknown>;
    assert.equal(own['allowPrivilegeEscalation'], false);
    assert.deepEqual(own['capabilities'], { drop: ['ALL'] });
    assert.notEqual(own['privileged'], true);
  }
}

describe('names of children', () => {
  it('fit a Service and tell everything apart that differs', () => {
    assert.match(versionChildName('vad-6.0.0'), /^vad-6-0-0-[0-9a-f]{8}$/);
    assert.notEqual(versionChildName('vad-6.0.0'), versionChildName('vad-6-0-0'));
    const name = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,198}[a-z0-9])?$/);
    fc.assert(
      fc.property(name, (given) => {
        assert.match(versionChildName(given), /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/);
      }),
    );
  });
});

describe('the Deployment of a version', () => {
  it('is restricted, and so is the router', () => {
    assertRestricted(build().spec.template.spec);
    assertRestricted(build(modelVersion('6.0.0', { server: foreign() })).spec.template.spec);
    const objects = routerObjects('speech', [model()], {
      runtime,
      replicas: 2,
      resources: {},
      graceSeconds: 60,
      clusterRole: 'sluice-router',
    });
    const router = objects.find((object) => object.kind === 'Deployment') as unknown as Built;
    assertRestricted(router.spec.template.spec);
  });

  it('selects its own pods, and keeps the selector when the content changes', () => {
    const { spec } = build();
    for (const [key, value] of Object.entries(spec.selector.matchLabels)) {
      assert.equal(spec.template.metadata.labels[key], value);
    }
    assert.deepEqual(spec.selector.matchLabels, { 'sluice.dev/model': 'vad', 'sluice.dev/version': '6.0.0' });
  });

  it('fetches with the policy of the operator and the credentials of the namespace', () => {
    const version = modelVersion('6.0.0', {
      artifact: { uri: 'https://store/m.onnx', sha256: 'f'.repeat(64), credentials: { secretName: 'store' } },
    });
    const pod = build(version).spec.template.spec;
    const fetch = pod.initContainers![0]!;
    assert.equal(envValue(fetch, 'SLUICE_ARTIFACT_SHA256'), 'f'.repeat(64));
    assert.equal(envValue(fetch, 'SLUICE_ARTIFACT_SCHEMES'), 'file,pvc');
    assert.equal(envValue(fetch, 'SLUICE_ARTIFACT_PRIVATE_HOSTS'), 'store.internal:9000');
    assert.deepEqual((pod['volumes'] as unknown[]).at(-1), {
      name: 'credentials',
      secret: { secretName: 'store', optional: true },
    });
    const server = pod.containers[0]!;
    assert.ok(!JSON.stringify(server).includes('credentials'), 'the server does not see them');
    assert.equal(envValue(fetch, 'SLUICE_ARTIFACT_ENDPOINTS'), 's3=https://store.internal:9000');
    assert.equal(envValue(fetch, 'SLUICE_ARTIFACT_MAX_BYTES'), '1024');
  });

  it('mounts claims of the namespace for fetch alone: the one an artifact lies on, and the cache', () => {
    const pod = build(
      modelVersion('6.0.0', {
        artifact: { uri: 'pvc://models/vad/6.onnx', files: [{ path: 'weights.bin' }] },
        artifactCache: { claimName: 'cache' },
      }),
    ).spec.template.spec;
    const fetch = pod.initContainers![0]!;
    assert.deepEqual((pod['volumes'] as unknown[]).slice(-2), [
      { name: 'cache', persistentVolumeClaim: { claimName: 'cache' } },
      { name: 'claim', persistentVolumeClaim: { claimName: 'models', readOnly: true } },
    ]);
    assert.deepEqual((fetch['volumeMounts'] as unknown[]).slice(-2), [
      { name: 'cache', mountPath: '/var/lib/sluice/cache', readOnly: false },
      { name: 'claim', mountPath: '/var/lib/sluice/claim', readOnly: true },
    ]);
    assert.equal(envValue(fetch, 'SLUICE_CACHE_DIR'), '/var/lib/sluice/cache');
    assert.equal(envValue(fetch, 'SLUICE_CLAIM_DIR'), '/var/lib/sluice/claim');
    assert.equal(envValue(fetch, 'SLUICE_ARTIFACT_FILES'), '[{"path":"weights.bin"}]');
    assert.ok(envValue(fetch, 'SLUICE_ARTIFACT_OWNER'), 'what is remembered is for this version');
    assert.doesNotMatch(JSON.stringify(pod.containers), /"(cache|claim)"/);
  });

  it('does not wait for a claim that it may not read', () => {
    const forbidden = versionDeployment(
      {
        version: modelVersion('6.0.0', { artifact: { uri: 'pvc://models/6.onnx' } }),
        contentHash: 'abc',
        replicas: 1,
      },
      { ...config, artifacts: { ...config.artifacts, schemes: ['s3'] } },
    );
    assert.doesNotMatch(JSON.stringify(forbidden), /persistentVolumeClaim/);
  });

  it('goes where its pool is', () => {
    const version = modelVersion('6.0.0', {
      placement: { pool: 'a100', gpus: 2, priorityClassName: 'batch' },
    });
    const a100 = pool('a100', {
      resourceName: 'nvidia.com/gpu',
      nodeSelector: { accelerator: 'a100' },
      tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
      runtimeClassName: 'nvidia',
    });
    const pod = build(version, a100).spec.template.spec;
    assert.deepEqual(
      [pod['nodeSelector'], pod['runtimeClassName'], pod['priorityClassName']],
      [{ accelerator: 'a100' }, 'nvidia', 'batch'],
    );
    assert.deepEqual(pod.containers[0]!['resources'], {
      requests: { cpu: '250m', memory: '256Mi', 'nvidia.com/gpu': '2' },
      limits: { memory: '1Gi', 'nvidia.com/gpu': '2' },
    });
    assert.equal(envValue(pod.containers[0]!, 'SLUICE_GPUS'), '2');
  });

  it('leaves a drill to the user and everything else of Sluice to the operator', () => {
    const env = [
      { name: 'SLUICE_DRILL', value: 'unready-after=5s' },
      { name: 'TEAM', value: 'speech' },
    ];
    const server = { ...modelVersion('7').spec.server, env };
    const container = build(modelVersion('7.0.0', { server })).spec.template.spec.containers[0]!;
    assert.equal(envValue(container, 'SLUICE_DRILL'), 'unready-after=5s');
    assert.equal(envValue(container, 'SLUICE_MODEL'), 'vad');
    const names = container.env.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length, 'no name twice: the last one would win');
  });

  it('tells the server what to verify, and how much to do at once', () => {
    const artifact = { uri: 'https://store/m.onnx', sha256: 'f'.repeat(64) };
    const server = {
      ...modelVersion('6').spec.server,
      batching: { maxSize: 32, maxDelay: '2ms' },
      workers: 2,
      provider: 'cpu' as const,
      tune: { latency: '20ms' },
    };
    const container = build(modelVersion('6.0.0', { artifact, server })).spec.template.spec.containers[0]!;
    const names = ['ARTIFACT_SHA256', 'BATCH_SIZE', 'BATCH_DELAY', 'WORKERS', 'PROVIDER', 'GPUS', 'TUNE'];
    assert.deepEqual(
      names.map((name) => envValue(container, `SLUICE_${name}`)),
      ['f'.repeat(64), '32', '2ms', '2', 'cpu', undefined, '20ms'],
    );
  });

  it('lets a foreign server drain, and does not pass it our arguments', () => {
    const pod = build(modelVersion('6.0.0', { server: foreign() })).spec.template.spec;
    const container = pod.containers[0]!;
    assert.equal(container['image'], 'triton:1');
    assert.deepEqual(container['args'], ['--model', '/m']);
    assert.deepEqual(container['lifecycle'], { preStop: { sleep: { seconds: 5 } } });
    assert.equal(pod['terminationGracePeriodSeconds'], 35);
  });

  it('has a sidecar that asks for golden answers, for any server, when there are some', () => {
    const golden = [
      {
        inputs: [{ name: 'x', datatype: 'BYTES' as const, shape: [1], data: ['$(POD_NAME)'] }],
        expect: [{ name: 'y', min: 0 }],
      },
    ];
    const { probes } = modelVersion('6.0.0').spec;
    const version = modelVersion('6.0.0', { server: foreign(), probes: { ...probes, golden } });
    const pod = build(version).spec.template.spec;
    assertRestricted(pod);
    const sidecar = pod.containers.find(({ name }) => name === 'golden')!;
    assert.equal(sidecar['image'], runtime.image);
    assert.equal(
      envValue(sidecar, 'SLUICE_GOLDEN_REQUESTS'),
      JSON.stringify(golden).replace('$(', '$$$$('),
      'nothing is expanded in it',
    );
    assert.equal(build().spec.template.spec.containers.length, 1);
  });

  it('probes over gRPC when asked to', () => {
    const version = modelVersion('6.0.0');
    const probes = { ...version.spec.probes, protocol: 'GRPC' as const };
    const container = build(modelVersion('6.0.0', { probes })).spec.template.spec.containers[0]!;
    assert.deepEqual(container['readinessProbe'], {
      grpc: { port: 8081, service: '' },
      periodSeconds: 2,
      timeoutSeconds: 2,
      failureThreshold: 2,
    });
  });

  const foreign = () => ({ ...modelVersion('6').spec.server, image: 'triton:1', args: ['--model', '/m'] });
});

describe('Services', () => {
  it('lead to a version’s pods without an address, and to a model’s port on the routers', () => {
    const headless = versionService(modelVersion('6.0.0')) as unknown as { spec: Record<string, unknown> };
    assert.equal(headless.spec['clusterIP'], 'None');
    const service = modelService(model(), 10_007) as unknown as {
      spec: { ports: { port: number; targetPort: number }[] };
    };
    assert.deepEqual(
      service.spec.ports.map(({ port, targetPort }) => [port, targetPort]),
      [
        [8080, 10_007],
        [8081, 10_007],
      ],
    );
  });

  it('of a version say what a pod can carry, if that is known, and its pods do not', () => {
    const version = modelVersion('6.0.0', { scaling: { targetConcurrency: 8 } });
    assert.equal(versionService(version).metadata.labels?.['sluice.dev/target-concurrency'], '8');
    assert.equal(
      versionService(modelVersion('6.0.0')).metadata.labels?.['sluice.dev/target-concurrency'],
      undefined,
    );
    const { template } = build(version).spec;
    assert.equal(
      template.metadata.labels['sluice.dev/target-concurrency'],
      undefined,
      'a change restarts no pod',
    );
  });

  it('of a model are not taken for a version by routers', () => {
    assert.equal(modelService(model(), 10_000).metadata.labels?.['sluice.dev/model'], undefined);
  });
});

describe('the router', () => {
  it('belongs to all Models of its namespace and is controlled by none', () => {
    const second = { ...model(), metadata: { ...model().metadata, name: 'asr', uid: 'uid-asr' } };
    for (const object of routerObjects('speech', [model(), second], {
      runtime,
      replicas: 2,
      resources: {},
      graceSeconds: 60,
      clusterRole: 'sluice-router',
    })) {
      assert.deepEqual(
        object.metadata.ownerReferences?.map(({ name, controller }) => [name, controller]),
        [
          ['asr', undefined],
          ['vad', undefined],
        ],
      );
    }
  });
});
