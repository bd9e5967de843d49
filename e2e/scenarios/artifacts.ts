/** Where models come from: a registry in the cluster, which the installation allows and which asks who is there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Installation, systemNamespace } from './harness/installation.ts';
import { condition } from './harness/kinds.ts';
import { version, weights } from './harness/manifests.ts';
import { registryUser, releaseSlow } from './harness/registry-pod.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';

export function artifacts(session: () => Session, installed: () => Installation): void {
  test('a version of a registry is served, with the credentials of its own namespace', async (t) => {
    const stage = await Stage.set(session(), 'artifacts');
    t.after(() => stage.clear());
    const { world } = stage;
    const artifact = {
      uri: `oci://${installed().registry}/models/vad:5.0.0`,
      sha256: weights.v5.sha256,
      credentials: { secretName: 'registry' },
    };
    const reason = (name: string) => condition(world.version(name), 'Ready')?.reason;
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'registry' },
      stringData: { ...registryUser },
    };

    await t.test('without credentials it says that it is not let in', async () => {
      const { credentials: _, ...anonymous } = artifact;
      const spec = { artifact: anonymous };
      await stage.apply(version({ model: 'open', version: '5.0.0', spec }));
      await world.until('the reason', () => reason('open-5.0.0') === 'ArtifactUnauthorized', 60_000);
      assert.match(condition(world.version('open-5.0.0'), 'Ready')?.message ?? '', /status 401/);
    });

    await t.test('with them it is verified and serves', async () => {
      await stage.apply(secret, version({ version: '5.0.0', spec: { artifact } }));
      await stage.serves('vad', '5.0.0');
      assert.equal(world.version('vad-5.0.0')?.status?.artifact?.digest, `sha256:${weights.v5.sha256}`);
      const load = await stage.load('speech', { protocol: 'grpc', file: 'speech.json', args: ['--count=1'] });
      const { errors, failures } = await load.finished();
      assert.deepEqual({ errors, failures }, { errors: 0, failures: [] });
    });

    await t.test('how far its fetch is can be seen, and then how its server started', async () => {
      const uri = `oci://${installed().registry}/models/slow:5.0.0`;
      // Which a pod without a GPU cannot use.
      const spec = { artifact: { ...artifact, uri }, server: { provider: 'webgpu' } } as const;
      await stage.apply(version({ model: 'slow', version: '5.0.0', spec }));
      const status = () => world.version('slow-5.0.0')?.status;
      await world.until('half of it to be there', () => {
        const { pods, fetchedBytes, sizeBytes } = status()?.artifact?.fetching ?? {};
        return pods === 1 && sizeBytes !== undefined && fetchedBytes === Math.floor(sizeBytes / 2);
      });
      const { namespace } = stage;
      const { shell } = session();
      const seen = await shell.kubectl(['get', 'mv', 'slow-5.0.0', '-n', namespace, '-o', 'wide']);
      assert.match(seen, /0 of 1 pods are ready; fetching: 1\.1 of 2\.2 MiB/);
      await releaseSlow(session(), systemNamespace);
      await stage.serves('slow', '5.0.0');
      const server = await world.until('what the server says', () => status()?.server);
      assert.deepEqual([server.provider, server.fallbackFrom], ['cpu', 'webgpu']);
      assert.ok((server.loadSeconds ?? 0) > 0, `${server.loadSeconds}`);
      assert.equal(status()?.artifact?.fetching, undefined);
      const about = { kind: 'ModelVersion', name: 'slow-5.0.0', reason: 'ProviderFallback' };
      const [warning] = await world.until('the warning', () => {
        const events = world.events(about);
        return events.length > 0 ? events : undefined;
      });
      assert.equal(warning?.message, 'webgpu cannot be used, cpu computes');
    });

    await t.test('another address in the cluster is refused', async () => {
      const { registry } = installed();
      const uri = `https://${registry.split(':')[0]}/models/vad.onnx`;
      await stage.apply(version({ model: 'inside', version: '1.0.0', spec: { artifact: { uri } } }));
      await world.until('the reason', () => reason('inside-1.0.0') === 'ArtifactRefused', 60_000);
      assert.match(
        condition(world.version('inside-1.0.0'), 'Ready')?.message ?? '',
        /must not be connected to: \S+ address/,
      );
    });
  });
}
