import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { modelVersion } from '../api/fixtures.ts';
import type { ModelVersionSpec } from '../api/generated/model-version.ts';
import type { Pod } from '../api/kubernetes.ts';
import { contentLabel } from '../api/labels.ts';
import type { StartSaid } from '../api/starts.ts';
import { contentHash } from './content-hash.ts';
import { fetchingOf, fetchingText, lackOf, serverOf } from './starts.ts';
import { container, podOf, readyPod } from './testing/fixtures.ts';

const object = modelVersion('5.0.0');
const known = (pod: Pod): Pod => ({ ...pod, metadata: { ...pod.metadata, uid: pod.metadata.name } });
const fetching = (name: string): Pod =>
  known(
    podOf(object, name, { initContainerStatuses: [container({ name: 'fetch', state: { running: {} } })] }),
  );

describe('how far a fetch is', () => {
  const of = (pods: readonly Pod[], said: Record<string, StartSaid>) =>
    fetchingOf(
      { object, foreign: [], pods, starts: new Map(Object.entries(said)) },
      contentHash(object.spec),
    );

  it('is how far the slowest pod is of those that say so, and how many fetch', () => {
    const pods = ['a', 'b', 'c'].map(fetching);
    const at = (fetchedBytes: number): StartSaid => ({ fetching: { fetchedBytes, sizeBytes: 100 } });
    assert.deepEqual(of(pods, { a: at(50), b: at(20) }), { pods: 3, fetchedBytes: 20, sizeBytes: 100 });
    assert.equal(of(pods, {}), undefined);
  });

  it('is nothing any more when the pod has gone on, or is going', () => {
    const said = { a: { fetching: { fetchedBytes: 5 } } };
    const done = container({ name: 'fetch', state: { terminated: { exitCode: 0 } } });
    assert.equal(of([known(podOf(object, 'a', { initContainerStatuses: [done] }))], said), undefined);
    assert.equal(of([known(readyPod(object, 'a'))], said), undefined);
    const pod = fetching('a');
    const deletionTimestamp = '2026-01-01T00:00:00Z';
    assert.equal(of([{ ...pod, metadata: { ...pod.metadata, deletionTimestamp } }], said), undefined);
    assert.deepEqual(of([pod], said), { pods: 1, fetchedBytes: 5 });
  });

  it('is not what pods of another content fetch', () => {
    const old = fetching('old');
    const labels = { ...old.metadata.labels, [contentLabel]: 'other' };
    const pods = [{ ...old, metadata: { ...old.metadata, labels } }, fetching('new')];
    const said = { old: { fetching: { fetchedBytes: 1 } }, new: { fetching: { fetchedBytes: 2 } } };
    assert.deepEqual(of(pods, said), { pods: 1, fetchedBytes: 2 });
    assert.equal(of(pods.slice(0, 1), said), undefined);
  });

  it('is told in units that people read', () => {
    const cases: readonly [Parameters<typeof fetchingText>[0], string][] = [
      [{ pods: 1, fetchedBytes: 1.25 * 2 ** 30, sizeBytes: 4 * 2 ** 30 }, 'fetching: 1.3 of 4.0 GiB'],
      [
        { pods: 3, fetchedBytes: 2 ** 20, sizeBytes: 2 ** 30 },
        'fetching: 0.0 of 1.0 GiB, the slowest known of 3 pods',
      ],
      [{ pods: 1, fetchedBytes: 5 * 2 ** 20 }, 'fetching: 5.0 MiB'],
      [{ pods: 1, fetchedBytes: 0 }, 'fetching: 0 bytes'],
      [{ pods: 1, fetchedBytes: 0, sizeBytes: 2 ** 52 }, 'fetching: 0.0 of 4096.0 TiB'],
    ];
    for (const [status, text] of cases) assert.equal(fetchingText(status), text);
  });
});

describe('how servers started', () => {
  const of = (
    said: Record<string, StartSaid['started'] & {}>,
    spec: Partial<ModelVersionSpec> = {},
    before = spec,
  ) => {
    const version = modelVersion('5.0.0', spec);
    const hashBefore = contentHash(modelVersion('5.0.0', before).spec);
    const remembered = { ...version, status: { contentHash: hashBefore } };
    const starts = new Map(Object.entries(said).map(([uid, started]) => [uid, { started }]));
    const pods = ['a', 'b'].map((name) => known(readyPod(version, name)));
    return serverOf(
      { object: remembered, foreign: [], pods, starts, server: { provider: 'webgpu' } },
      contentHash(version.spec),
    );
  };
  const { server, placement } = object.spec;
  const onGPU = { placement: { ...placement, pool: 'a100', gpus: 1 } };

  it('is what the slowest took, and what they were said to have last while none says', () => {
    const cpu = { provider: 'cpu', wantedProvider: 'cpu' };
    assert.deepEqual(of({ a: { ...cpu, loadSeconds: 2 }, b: { ...cpu, loadSeconds: 3 } }), {
      provider: 'cpu',
      loadSeconds: 3,
    });
    assert.deepEqual(of({ a: { loadSeconds: 2 } }), { loadSeconds: 2 });
    assert.deepEqual(of({}), { provider: 'webgpu' });
    assert.equal(of({}, onGPU, {}), undefined, 'what was said of another content');
  });

  it('names the provider that one of them could not use', () => {
    const cuda = { provider: 'cuda', wantedProvider: 'cuda' };
    assert.deepEqual(of({ a: cuda, b: { provider: 'cpu', wantedProvider: 'cuda' } }, onGPU), {
      provider: 'cpu',
      fallbackFrom: 'cuda',
      unusedGPUs: 1,
    });
    assert.deepEqual(of({ a: cuda, b: cuda }, onGPU), { provider: 'cuda' });
  });

  it('sees a GPU that is paid for and not used, unless that is what was asked for', () => {
    const cpu = { a: { provider: 'cpu', wantedProvider: 'cpu' } };
    assert.deepEqual(of(cpu, onGPU), { provider: 'cpu', unusedGPUs: 1 });
    const cuda = { provider: 'cuda', wantedProvider: 'cuda' };
    assert.deepEqual(of({ a: cuda, b: cpu.a }, onGPU), { provider: 'cpu', unusedGPUs: 1 });
    assert.deepEqual(of(cpu), { provider: 'cpu' });
    assert.deepEqual(of(cpu, { ...onGPU, server: { ...server, provider: 'cpu' } }), { provider: 'cpu' });
  });

  it('is told in words that are true of any GPU', () => {
    assert.deepEqual(lackOf({ provider: 'cpu', fallbackFrom: 'webgpu', unusedGPUs: 1 }), {
      reason: 'ProviderFallback',
      message: 'webgpu cannot be used, cpu computes',
    });
    assert.deepEqual(lackOf({ provider: 'cpu', unusedGPUs: 2 }), {
      reason: 'GPUUnused',
      message: 'no GPU is used, cpu computes',
    });
    for (const server of [undefined, {}, { provider: 'cuda' }, { provider: 'cpu', loadSeconds: 1 }])
      assert.equal(lackOf(server), undefined);
  });

  it('does not ask pods of another content', () => {
    const version = modelVersion('5.0.0');
    const starts = new Map([['a', { started: { provider: 'cpu' } }]]);
    const pods = [known(readyPod(version, 'a'))];
    assert.equal(serverOf({ object: version, foreign: [], pods, starts }, 'other'), undefined);
  });
});
