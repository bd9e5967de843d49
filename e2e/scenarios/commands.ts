/** What people type: kubectl's verbs on Sluice's kinds and on what they become. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labels } from '#contract';
import { model, version } from './harness/manifests.ts';
import type { Session } from './harness/session.ts';
import { Stage } from './harness/stage.ts';

export function commands(session: () => Session): void {
  test('kubectl works on versions, models and what they become', async (t) => {
    const stage = await Stage.set(session(), 'commands');
    t.after(() => stage.clear());
    const { world, namespace } = stage;
    const kubectl = (...args: string[]) => session().shell.kubectl([...args, '-n', namespace]);

    await t.test('apply says what it did, and changes nothing the second time', async () => {
      const objects = [model(), version({ version: '5.0.0' })] as const;
      assert.match(
        await stage.apply(...objects),
        /model\.sluice\.dev\/vad created\nmodelversion\.sluice\.dev\/vad-5\.0\.0 created/,
      );
      // kubectl cannot tell defaults inside lists from changes, so of the Model it may say `configured`.
      assert.match(await stage.apply(...objects), /modelversion\.sluice\.dev\/vad-5\.0\.0 unchanged/);
      for (const name of ['model/vad', 'mv/vad-5.0.0']) {
        assert.equal(await kubectl('get', name, '-o', 'jsonpath={.metadata.generation}'), '1', name);
      }
    });

    await t.test('wait ends when the version is ready', async () => {
      assert.match(
        await kubectl('wait', '--for=condition=Ready', 'mv/vad-5.0.0', '--timeout=90s'),
        /modelversion\.sluice\.dev\/vad-5\.0\.0 condition met/,
      );
      await stage.serves('vad', '5.0.0');
    });

    await t.test('get shows the columns that matter', async () => {
      const [header, row] = (await kubectl('get', 'mv')).trim().split('\n');
      assert.deepEqual(header?.split(/\s+/), [
        'NAME',
        'MODEL',
        'VERSION',
        'PHASE',
        'WEIGHT',
        'READY',
        'REASON',
        'AGE',
      ]);
      assert.match(row ?? '', /^vad-5\.0\.0\s+vad\s+5\.0\.0\s+\S+\s+100\s+True\s+/);
      assert.match(await kubectl('get', 'mv', '-o', 'wide'), /sha256:2623a2953f6f/);
      assert.match(await kubectl('get', 'models'), /^vad\s+\S+\s+5\.0\.0\s/m);
      assert.match(await kubectl('get', 'sluice'), /modelversion\.sluice\.dev\/vad-5\.0\.0/);
      assert.equal(
        await kubectl(
          'get',
          'mv',
          'vad-5.0.0',
          '-o',
          'jsonpath={.status.conditions[?(@.type=="Ready")].status}',
        ),
        'True',
      );
    });

    await t.test('describe shows conditions and events', async () => {
      const text = await kubectl('describe', 'model', 'vad');
      assert.match(text, /Type:\s+Servable/);
      assert.match(text, /^Events:\n[\s\S]*VersionPromoted/m);
    });

    await t.test('explain knows the fields', async () => {
      assert.match(
        await kubectl('explain', 'modelversion.spec.artifact.sha256'),
        /nothing else is ever loaded/,
      );
    });

    const selector = `${labels.model}=vad,${labels.version}=5.0.0`;
    await t.test('logs are those of the server', async () => {
      const text = await kubectl('logs', '-l', selector, '-c', 'server', '--tail=-1');
      const [first] = text.trim().split('\n');
      assert.equal((JSON.parse(first ?? '') as { command?: string }).command, 'serve');
    });

    await t.test('rollout status follows the Deployments of version and router', async () => {
      const [deployment] = (await kubectl('get', 'deployments', '-l', selector, '-o', 'name'))
        .trim()
        .split('\n');
      assert.match(
        await kubectl('rollout', 'status', deployment!, '--timeout=60s'),
        /successfully rolled out/,
      );
      assert.match(
        await kubectl('rollout', 'status', 'deployment/sluice-router', '--timeout=60s'),
        /successfully rolled out/,
      );
    });

    await t.test('scale changes the number of pods', async () => {
      await kubectl('scale', 'mv/vad-5.0.0', '--replicas=2');
      await world.until('two ready pods', () => world.version('vad-5.0.0')?.status?.readyReplicas === 2);
    });

    await t.test('delete takes away everything that the version became', async () => {
      await kubectl('delete', 'mv/vad-5.0.0', '--timeout=60s');
      await kubectl('wait', '--for=delete', 'pods', '-l', selector, '--timeout=60s');
      assert.equal((await kubectl('get', 'deployments,services', '-l', selector, '-o', 'name')).trim(), '');
    });

    await t.test('delete of the last model takes away the router', async () => {
      await kubectl('delete', 'model/vad', '--timeout=60s');
      await kubectl('wait', '--for=delete', 'deployment/sluice-router', 'service/vad', '--timeout=60s');
    });
  });
}
