import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { modelVersion } from '../api/fixtures.ts';
import type { Pod } from '../api/kubernetes.ts';
import { parseTermination, podFailure, workloadFailure } from './failure.ts';
import { container, podOf } from './testing/fixtures.ts';

const version = modelVersion('6.0.0');
const said = (reason: string) => JSON.stringify({ ok: false, reason, message: 'because' });
const ended = (exitCode: number, more: object = {}) => ({ terminated: { exitCode, ...more } });

const table: [name: string, status: Pod['status'], reason: string | undefined, terminal?: boolean][] = [
  ['a pod that starts', { phase: 'Pending' }, undefined],
  ['a running pod', { containerStatuses: [container({ ready: true })] }, undefined],
  [
    'a corrupt artifact',
    {
      initContainerStatuses: [
        container({ name: 'fetch', state: ended(1, { message: said('ArtifactCorrupt') }) }),
      ],
    },
    'ArtifactCorrupt',
    true,
  ],
  [
    'an unreachable store, seen in the last attempt',
    {
      initContainerStatuses: [
        container({
          name: 'fetch',
          state: { waiting: { reason: 'CrashLoopBackOff' } },
          lastState: ended(1, { message: said('ArtifactUnreachable') }),
        }),
      ],
    },
    'ArtifactUnreachable',
    false,
  ],
  [
    'a node without room, which another pod may find',
    {
      initContainerStatuses: [container({ name: 'fetch', state: ended(1, { message: said('VolumeFull') }) })],
    },
    'VolumeFull',
    false,
  ],
  [
    'a fetch that cannot explain itself',
    { initContainerStatuses: [container({ name: 'fetch', state: ended(137) })] },
    'ArtifactFetchFailed',
    false,
  ],
  [
    'a file that is no model',
    { containerStatuses: [container({ state: ended(1, { message: said('ModelInvalid') }) })] },
    'ModelInvalid',
    true,
  ],
  ['a first crash', { containerStatuses: [container({ restartCount: 1, lastState: ended(1) })] }, undefined],
  [
    'a crash loop by the kubelet',
    {
      containerStatuses: [
        container({
          restartCount: 1,
          state: { waiting: { reason: 'CrashLoopBackOff' } },
          lastState: ended(3),
        }),
      ],
    },
    'CrashLoop',
    true,
  ],
  [
    'a fault of the server, once',
    {
      containerStatuses: [
        container({ restartCount: 1, lastState: ended(1, { message: said('InternalError') }) }),
      ],
    },
    'InternalError',
    false,
  ],
  [
    'a fault of the server, again and again',
    {
      containerStatuses: [
        container({ restartCount: 3, lastState: ended(1, { message: said('InternalError') }) }),
      ],
    },
    'InternalError',
    true,
  ],
  [
    'many restarts',
    { containerStatuses: [container({ restartCount: 3, lastState: ended(3) })] },
    'CrashLoop',
    true,
  ],
  [
    'old crashes of a container that is ready now',
    { containerStatuses: [container({ ready: true, restartCount: 9, lastState: ended(3) })] },
    undefined,
  ],
  [
    'memory',
    { containerStatuses: [container({ state: ended(137, { reason: 'OOMKilled' }) })] },
    'OutOfMemory',
    true,
  ],
  [
    'an image that is not there',
    { containerStatuses: [container({ state: { waiting: { reason: 'ImagePullBackOff' } } })] },
    'ImagePullFailed',
    false,
  ],
  [
    'a missing Secret',
    { containerStatuses: [container({ state: { waiting: { reason: 'CreateContainerConfigError' } } })] },
    'PodConfigurationInvalid',
    false,
  ],
  ['an eviction', { phase: 'Failed', reason: 'Evicted' }, 'PodFailed', false],
  [
    'no GPU left',
    {
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' }],
    },
    'Unschedulable',
    false,
  ],
];

describe('podFailure', () => {
  for (const [name, status, reason, terminal] of table) {
    it(`finds ${reason ?? 'nothing'} in ${name}`, () => {
      const failure = podFailure(podOf(version, 'p', status));
      assert.equal(failure?.reason, reason);
      if (reason !== undefined) assert.equal(failure?.terminal, terminal);
    });
  }

  it('gives the pod, the exit code and what the process said', () => {
    const pod = podOf(version, 'p-1', {
      initContainerStatuses: [
        container({ name: 'fetch', state: ended(7, { message: said('ArtifactNotFound') }) }),
      ],
    });
    assert.deepEqual(podFailure(pod), {
      reason: 'ArtifactNotFound',
      message: 'because',
      pod: 'p-1',
      exitCode: 7,
      terminal: true,
    });
  });
});

describe('workloadFailure', () => {
  it('prefers a terminal failure of any pod', () => {
    const waiting = podOf(version, 'a', table.find(([name]) => name === 'no GPU left')![1]);
    const crashing = podOf(version, 'b', table.find(([name]) => name === 'many restarts')![1]);
    assert.equal(workloadFailure([waiting, crashing], undefined)?.reason, 'CrashLoop');
  });

  it('reports pods that may not be created', () => {
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd' },
      status: { conditions: [{ type: 'ReplicaFailure', status: 'True', message: 'exceeded quota' }] },
    };
    assert.equal(workloadFailure([], deployment)?.message, 'exceeded quota');
  });
});

describe('parseTermination', () => {
  const digest = 'a'.repeat(64);
  it('reads success', () => {
    const text = JSON.stringify({ ok: true, digest, bytes: 3, seconds: 0.5 });
    assert.deepEqual(parseTermination(text), {
      ok: true,
      digest: `sha256:${digest}`,
      bytes: 3,
      seconds: 0.5,
    });
  });
  for (const text of [
    undefined,
    '',
    'panic: …',
    '{',
    '[]',
    'null',
    '{"ok":true}',
    '{"ok":false,"reason":"Nonsense"}',
  ]) {
    it(`takes ${JSON.stringify(text)} for something else`, () => {
      assert.equal(parseTermination(text), undefined);
    });
  }
});
