/** Objects for tests: as the API server would hold them, with every default filled in. */

import { labels } from '#contract';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { Model, ModelSpec } from '../api/generated/model.ts';
import type { ModelVersion, ModelVersionSpec } from '../api/generated/model-version.ts';
import type { ContainerStatus, Pod } from '../api/kubernetes.ts';
import { contentLabel } from '../api/labels.ts';
import { contentHash } from './content-hash.ts';
import { defaultModelSpec } from './policy.ts';

const created = '2026-01-01T00:00:00Z';

export function modelVersion(
  version: string,
  spec: Partial<ModelVersionSpec> = {},
  createdAt = created,
): ModelVersion {
  return {
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'ModelVersion',
    metadata: {
      name: `vad-${version}`,
      namespace: 'speech',
      uid: `uid-${version}`,
      generation: 1,
      creationTimestamp: createdAt,
    },
    spec: {
      model: 'vad',
      version,
      artifact: { uri: `https://models.example/vad-${version}.onnx` },
      server: { ports: { http: 8080, grpc: 8081, metrics: 8082 }, gracePeriod: '30s' },
      placement: { gpus: 0 },
      replicas: 2,
      probes: {
        protocol: 'HTTP',
        startup: { deadline: '20m' },
        readiness: { period: '2s', failureThreshold: 2 },
      },
      ...spec,
    },
  };
}

export function model(spec: Partial<ModelSpec> = {}): Model {
  return {
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'Model',
    metadata: { name: 'vad', namespace: 'speech', uid: 'uid-vad', generation: 1, creationTimestamp: created },
    spec: { ...defaultModelSpec, ...spec },
  };
}

export function pool(name: string, spec: GPUPool['spec'] = {}): GPUPool {
  return {
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'GPUPool',
    metadata: { name, uid: `uid-${name}`, generation: 1 },
    spec,
  };
}

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
    status,
  };
}

export const readyPod = (version: ModelVersion, name: string): Pod =>
  podOf(version, name, { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] });

export const container = (status: Partial<ContainerStatus>): ContainerStatus => ({
  name: 'server',
  ready: false,
  restartCount: 0,
  ...status,
});
