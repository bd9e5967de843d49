/** Pods for tests, as kubelets would report them. */

import { labels } from '#contract';
import type { ModelVersion } from '../../api/generated/model-version.ts';
import type { ContainerStatus, Pod } from '../../api/kubernetes.ts';
import { contentLabel } from '../../api/labels.ts';
import { contentHash } from '../content-hash.ts';

/** A pod of a version, with the content hash it has now. */
export function podOf(version: ModelVersion, name: string, status: Pod['status'] = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'speech',
      labels: {
        [labels.model]: version.spec.model,
        [labels.version]: version.spec.version,
        [contentLabel]: contentHash(version.spec),
      },
    },
    spec: { nodeName: 'node' },
    status,
  };
}

export const readyPod = (version: ModelVersion, name: string): Pod =>
  podOf(version, name, { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] });

/**
 * A pod that is being ended, and still has its place.
 *
 * @param due when it should be gone
 */
export function leavingPod(version: ModelVersion, index: number, due: number): Pod {
  const pod = podOf(version, `${version.metadata.name}-leaving-${index}`, { phase: 'Running' });
  return { ...pod, metadata: { ...pod.metadata, deletionTimestamp: new Date(due).toISOString() } };
}

export const container = (status: Partial<ContainerStatus>): ContainerStatus => ({
  name: 'server',
  ready: false,
  restartCount: 0,
  ...status,
});
