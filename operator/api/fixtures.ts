/** Objects for tests: as the API server would hold them, with every default filled in. */

import { defaultModelSpec, defaultVersionSpec } from './defaults.ts';
import type { GPUPool } from './generated/gpu-pool.ts';
import type { Model, ModelSpec } from './generated/model.ts';
import type { ModelVersion, ModelVersionSpec } from './generated/model-version.ts';

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
      ...defaultVersionSpec,
      replicas: 2,
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

export function pool(name: string, spec: Partial<GPUPool['spec']> = {}): GPUPool {
  return {
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'GPUPool',
    metadata: { name, uid: `uid-${name}`, generation: 1 },
    spec: { whenFull: 'swap', ...spec },
  };
}
