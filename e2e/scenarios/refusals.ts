/** What the API refuses at once: each case names the field and the reason, as a person with kubectl sees them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest } from './harness/kubectl.ts';
import { model, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';

type Object_ = Record<string, unknown>;

/** A copy of `object` with one field, named by its path, set to a value or (undefined) taken away. */
function having(object: Manifest, path: string, value: unknown): Manifest {
  const copy = structuredClone(object) as Object_;
  const parts = path.split('.');
  let at = copy;
  for (const part of parts.slice(0, -1)) {
    at[part] ??= {};
    at = at[part] as Object_;
  }
  if (value === undefined) delete at[parts.at(-1)!];
  else at[parts.at(-1)!] = value;
  return copy;
}

const good = version({ version: '1.0.0' });
const refused: readonly [string, Manifest, RegExp][] = [
  [
    'a model that names no Service',
    having(good, 'spec.model', 'Bad_Name'),
    /spec\.model: Invalid value: "Bad_Name"/,
  ],
  ['no artifact', having(good, 'spec.artifact', undefined), /spec\.artifact: Required value/],
  [
    'a version called latest',
    having(good, 'spec.version', 'latest'),
    /spec\.version: .*latest is what a Model's serve\.version says/,
  ],
  [
    'an artifact by ftp',
    having(good, 'spec.artifact.uri', 'ftp://x/y'),
    /spec\.artifact\.uri: Invalid value/,
  ],
  [
    'a password in the URI',
    having(good, 'spec.artifact.uri', 'https://a:b@x/y'),
    /spec\.artifact\.uri: .*must not hold a user name or password/,
  ],
  [
    'a folder above in the URI',
    having(good, 'spec.artifact.uri', 's3://models/a/../b.onnx'),
    /spec\.artifact\.uri: .*must not have \. or \.\. as a part of its path/,
  ],
  [
    'keys in the URI',
    having(good, 'spec.artifact.uri', 's3://key:secret@models/x'),
    /spec\.artifact\.uri: .*must not hold a user name or password/,
  ],
  [
    'two workers of one WebGPU device',
    having(having(good, 'spec.server.provider', 'webgpu'), 'spec.server.workers', 2),
    /spec\.server\.workers: .*provider webgpu has one device for the whole process, so workers can only be 1/,
  ],
  [
    'a file above all folders',
    having(good, 'spec.artifact.uri', 'file:///../../etc/passwd'),
    /spec\.artifact\.uri: .*must not have \. or \.\. as a part of its path/,
  ],
  [
    'a folder above at the end of the URI',
    having(good, 'spec.artifact.uri', 'file:///../..'),
    /spec\.artifact\.uri: .*must not have \. or \.\. as a part of its path/,
  ],
  [
    'a bucket without a key',
    having(good, 'spec.artifact.uri', 's3://models'),
    /spec\.artifact\.uri: .*has to look like s3:\/\/bucket\/key/,
  ],
  [
    'a claim that leads elsewhere',
    having(good, 'spec.artifact.uri', 'pvc://other/../claim/model.onnx'),
    /spec\.artifact\.uri: .*must not have \. or \.\. as a part of its path/,
  ],
  [
    "another namespace's Secret",
    having(good, 'spec.artifact.credentials', { secretName: 'other/store' }),
    /spec\.artifact\.credentials\.secretName: Invalid value/,
  ],
  [
    'files beside an archive',
    having(good, 'spec.artifact', { uri: 'https://x/y.tar.gz', files: [{ path: 'weights.bin' }] }),
    /spec\.artifact\.files: .*files is for single files/,
  ],
  [
    'files that nothing verifies beside one that is',
    having(good, 'spec.artifact.files', [{ path: 'weights.bin' }]),
    /spec\.artifact\.files: .*every one of files needs a sha256/,
  ],
  [
    'a file outside of the folder',
    having(good, 'spec.artifact.files', [{ path: '../weights.bin', sha256: '0'.repeat(64) }]),
    /spec\.artifact\.files\[0\]\.path: Invalid value/,
  ],
  ['a short checksum', having(good, 'spec.artifact.sha256', 'abc'), /spec\.artifact\.sha256: Invalid value/],
  [
    'GPUs without a pool',
    having(good, 'spec.placement.gpus', 1),
    /spec\.placement\.pool: .*placement\.pool is required when placement\.gpus is above 0/,
  ],
  [
    'no replicas',
    having(good, 'spec.replicas', 0),
    /spec\.replicas: Invalid value: 0: .*greater than or equal to 1/,
  ],
  ['replicas that are no number', having(good, 'spec.replicas', 'two'), /spec\.replicas/],
  [
    'an environment that loads code',
    having(good, 'spec.server.env', [{ name: 'NODE_OPTIONS', value: '-r x' }]),
    /spec\.server\.env\[0\]\.name: .*may not be set/,
  ],
  [
    'one port twice',
    having(good, 'spec.server.ports', { http: 9000, grpc: 9000 }),
    /spec\.server\.ports: .*must differ/,
  ],
  ['a misspelt field', having(good, 'spec.replica', 2), /unknown field "spec\.replica"/],
  [
    'a share above 100',
    having(model(), 'spec.rollout.steps', [{ weight: 101, hold: '1s' }]),
    /spec\.rollout\.steps\[0\]\.weight: Invalid value: 101/,
  ],
  [
    'steps that fall',
    having(model(), 'spec.rollout.steps', [
      { weight: 50, hold: '1s' },
      { weight: 20, hold: '1s' },
    ]),
    /spec\.rollout\.steps: .*weights of steps must increase/,
  ],
  [
    'a hold without a unit',
    having(model(), 'spec.rollout.steps', [{ weight: 5, hold: '30' }]),
    /spec\.rollout\.steps\[0\]\.hold: Invalid value: "30"/,
  ],
  [
    'two ways to serve',
    having(model(), 'spec.serve', { version: 'latest', split: [{ version: '1', weight: 1 }] }),
    /spec\.serve: /,
  ],
  [
    'a split of nothing',
    having(model(), 'spec.serve', { split: [{ version: '1', weight: 0 }] }),
    /spec\.serve\.split: .*at least one weight/,
  ],
  [
    'two keys to stay by',
    having(model(), 'spec.sticky', { header: 'a', cookie: 'b' }),
    /spec\.sticky: .*exactly one of header and cookie/,
  ],
  [
    'a header of the router to stay by',
    having(model(), 'spec.sticky', { header: 'Sluice-Version' }),
    /spec\.sticky\.header: .*the router's own/,
  ],
  [
    'a cookie that ends a line',
    having(model(), 'spec.sticky', { cookie: 'a\n  http-request deny' }),
    /spec\.sticky\.cookie: Invalid value/,
  ],
  [
    'a route that matches nothing',
    having(model(), 'spec.routes', [{ match: {}, version: '1' }]),
    /spec\.routes\[0\]\.match: .*needs headers, path or both/,
  ],
  [
    'a route by a value that no header can have',
    having(model(), 'spec.routes', [{ match: { headers: [{ name: 'a', value: 'b\r\nc' }] }, version: '1' }]),
    /spec\.routes\[0\]\.match\.headers\[0\]\.value: Invalid value/,
  ],
  [
    'a timeout of nothing',
    having(model(), 'spec.timeouts', { response: '0s' }),
    /spec\.timeouts\.response: .*between 1ms and 24h/,
  ],
  [
    'Gateways that are not named',
    having(model(), 'spec.endpoint', { provider: 'gateway' }),
    /spec\.endpoint: .*gateway is needed with provider gateway/,
  ],
  [
    'REST and gRPC by one host name of one listener',
    having(model(), 'spec.endpoint', {
      provider: 'gateway',
      gateway: {
        httpRoute: { parentRefs: [{ name: 'public' }], hostnames: ['vad.example'] },
        grpcRoute: {
          parentRefs: [{ name: 'public', sectionName: 'https' }],
          hostnames: ['grpc.example', 'vad.example'],
        },
      },
    }),
    /spec\.endpoint\.gateway: .*need different hostnames/,
  ],
  [
    'one parent twice',
    having(model(), 'spec.endpoint', {
      provider: 'gateway',
      gateway: { httpRoute: { parentRefs: [{ name: 'public' }, { name: 'public', sectionName: 'https' }] } },
    }),
    /parentRefs: .*need different sectionNames/,
  ],
  [
    'stickiness by Gateways',
    having(having(model(), 'spec.sticky', { header: 'x-user' }), 'spec.endpoint', {
      provider: 'gateway',
      gateway: { httpRoute: { parentRefs: [{ name: 'public' }] } },
    }),
    /spec: .*not allowed with provider gateway/,
  ],
  [
    'a Model with the name of the router',
    having(model(), 'metadata.name', 'sluice-router'),
    /sluice-router is the name of the namespace's router/,
  ],
];

export function refusals(session: () => Session): void {
  test('invalid specs are refused with the field and the reason', async (t) => {
    const stage = await Stage.set(session(), 'refusals');
    t.after(() => stage.clear());
    for (const [name, manifest, reason] of refused) {
      await t.test(name, async () => {
        const { code, stderr } = await session().shell.attemptApply(stage.namespace, manifest);
        assert.equal(code, 1, stderr);
        assert.match(stderr, reason);
      });
    }

    await t.test('what identifies a version cannot be changed afterwards', async () => {
      // Nothing can run from here, so that only the API is asked.
      const parked = having(version({ version: '2.0.0' }), 'spec.placement', { pool: 'nowhere' });
      await stage.apply(parked);
      const changes: readonly [string, unknown, RegExp][] = [
        ['spec.model', 'other', /spec\.model: .*model is immutable/],
        ['spec.version', '2.0.1', /spec\.version: .*version is immutable/],
        ['spec.artifact.uri', 'https://example.com/other.onnx', /spec\.artifact: .*artifact is immutable/],
      ];
      for (const [path, value, reason] of changes) {
        const { code, stderr } = await session().shell.attemptApply(
          stage.namespace,
          having(parked, path, value),
        );
        assert.equal(code, 1, `${path} was changed`);
        assert.match(stderr, reason);
      }
    });
  });
}
