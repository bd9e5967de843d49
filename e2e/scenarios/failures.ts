/** Versions that are valid but cannot work: each gets a typed reason and an event within seconds, and disturbs nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelSpec } from '../../operator/api/generated/model.ts';
import type { ModelVersionSpec } from '../../operator/api/generated/model-version.ts';
import type { Installation } from './harness/installation.ts';
import { condition, holds } from './harness/kinds.ts';
import { drilledServer, model, type Partly, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';

interface Case {
  readonly name: string;
  readonly version: string;
  /** What is wrong with it; `textUrl` leads to a text. */
  readonly spec: (textUrl: string) => Partly<ModelVersionSpec>;
  /** Instead of the Model's usual policy. */
  readonly policy?: Partly<ModelSpec>;
  readonly reason: string;
  readonly message: RegExp;
  /** Longest time from the creation to the reason, in seconds. */
  readonly within: number;
}

const absent = '0'.repeat(64);
const cases: readonly Case[] = [
  {
    name: 'an unknown pool',
    version: '6.1.0',
    spec: () => ({ placement: { pool: 'h900' } }),
    reason: 'PoolNotFound',
    message: /h900/,
    within: 5,
  },
  {
    name: 'an artifact on a host that does not exist',
    version: '6.2.0',
    spec: () => ({ artifact: { uri: 'https://models.invalid/vad.onnx' } }),
    reason: 'ArtifactUnreachable',
    message: /models\.invalid/,
    within: 20,
  },
  {
    name: 'an artifact that is not there',
    version: '6.3.0',
    spec: () => ({ artifact: { uri: 'file:///no-such-model.onnx' } }),
    reason: 'ArtifactNotFound',
    message: /no-such-model\.onnx/,
    within: 20,
  },
  {
    name: 'an artifact with another checksum',
    version: '6.4.0',
    spec: () => ({ artifact: { uri: 'file:///silero_vad_v6.onnx', sha256: absent } }),
    reason: 'ArtifactCorrupt',
    message: /sha-?256|digest/i,
    within: 20,
  },
  {
    name: 'a file that is no ONNX model',
    version: '6.6.0',
    spec: (textUrl) => ({ artifact: { uri: textUrl } }),
    reason: 'ModelInvalid',
    message: /./,
    within: 20,
  },
  {
    name: 'a server that ends again and again',
    version: '6.7.0',
    spec: () => ({ server: drilledServer('exit-after=0s') }),
    reason: 'CrashLoop',
    message: /./,
    within: 45,
  },
  {
    name: 'an image that nobody has',
    version: '6.8.0',
    spec: () => ({ server: { image: 'registry.invalid/nobody/nothing:1.0' } }),
    reason: 'ImagePullFailed',
    message: /registry\.invalid\/nobody\/nothing/,
    within: 30,
  },
  {
    name: 'pods that are never ready',
    version: '6.9.0',
    spec: () => ({ server: drilledServer('unready-after=0s') }),
    policy: { rollback: { unreadyFor: '2s', startupDeadline: '8s' } },
    reason: 'StartupDeadlineExceeded',
    message: /./,
    within: 30,
  },
];

export function failures(session: () => Session, installed: () => Installation): void {
  test('versions that cannot work say why, and disturb nothing that serves', async (t) => {
    const stage = await Stage.set(session(), 'failures');
    t.after(() => stage.clear());
    const { world } = stage;
    await stage.apply(
      model({ rollback: { unreadyFor: '2s', startupDeadline: '2m' } }),
      version({ version: '5.0.0', spec: { replicas: 2 } }),
    );
    await stage.serves('vad', '5.0.0');
    const load = await stage.steadyLoad(20);

    for (const failing of cases) {
      await t.test(`${failing.name}: ${failing.reason}`, async () => {
        const name = `vad-${failing.version}`;
        if (failing.policy !== undefined) await stage.apply(model(failing.policy));
        const start = performance.now();
        await stage.apply(
          version({ version: failing.version, weights: 'v6', spec: failing.spec(installed().textUrl) }),
        );
        await world.until(
          `${name} to say ${failing.reason}`,
          () => condition(world.version(name), 'Ready')?.reason === failing.reason,
          failing.within * 1000,
        );
        const seconds = (performance.now() - start) / 1000;
        const ready = condition(world.version(name), 'Ready')!;
        assert.equal(ready.status, 'False');
        assert.match(ready.message ?? '', failing.message);
        await world.until('a warning that says so', () =>
          [
            ...world.events({ kind: 'ModelVersion', name }),
            ...world.events({ kind: 'Model', name: 'vad' }),
          ].some(
            ({ type, reason, message }) =>
              type === 'Warning' && (reason === failing.reason || message?.includes(failing.reason)),
          ),
        );
        assert.ok(holds(world.model('vad'), 'Servable'), 'clients are served meanwhile');
        assert.equal(world.model('vad')?.status?.stable, '5.0.0');
        t.diagnostic(`${failing.reason} after ${seconds.toFixed(1)} s`);
        await session().shell.kubectl([
          'delete',
          '-n',
          stage.namespace,
          'modelversion',
          name,
          '--timeout=60s',
        ]);
      });
    }

    await t.test('nothing was lost meanwhile, and only 5.0.0 answered', async () => {
      for (const { versions } of await load.stopWithoutLoss())
        assert.deepEqual(Object.keys(versions), ['5.0.0']);
    });
  });
}
