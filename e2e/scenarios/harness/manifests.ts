/** Objects that scenarios apply: the example model's, with what a scenario changes. */
import { readFile } from 'node:fs/promises';
import { env } from '#contract';
import type { ModelSpec } from '../../../operator/api/generated/model.ts';
import type { ModelVersionSpec } from '../../../operator/api/generated/model-version.ts';
import type { Manifest } from './kubectl.ts';
import { repository } from './session.ts';

const apiVersion = 'sluice.dev/v1alpha1';

/** A spec as a user writes it: everything optional. */
export type Partly<T> = T extends readonly (infer E)[]
  ? readonly Partly<E>[]
  : T extends object
    ? { readonly [K in keyof T]?: Partly<T[K]> }
    : T;

/** The real models of the runtime image. */
export const weights = {
  v5: {
    uri: 'file:///silero_vad_v5.onnx',
    sha256: '2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f',
  },
  v6: {
    uri: 'file:///silero_vad_v6.onnx',
    sha256: '1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3',
  },
} as const;

/** Small enough that many fit a laptop. */
const resources = { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '512Mi' } };

export interface VersionOptions {
  readonly model?: string;
  readonly version: string;
  /** Which of the two real models it serves; `v5` by default. */
  readonly weights?: keyof typeof weights;
  /** Instead of the defaults, field by field at the top of the spec. */
  readonly spec?: Partly<ModelVersionSpec>;
}

/** A ModelVersion named `<model>-<version>` that is ready within a few seconds. */
export function version({
  model = 'vad',
  version: name,
  weights: of = 'v5',
  spec = {},
}: VersionOptions): Manifest {
  return {
    apiVersion,
    kind: 'ModelVersion',
    metadata: { name: `${model}-${name}` },
    spec: {
      model,
      version: name,
      artifact: weights[of],
      placement: { resources },
      ...spec,
    },
  };
}

/** A server that goes bad by itself, such as by `unready-after=5s`; see `env.drill` of the contract. */
export const drilledServer = (drill: string) => ({ env: [{ name: env.drill, value: drill }] });

/** A Model whose rollouts take a few seconds. */
export function model(spec: Partly<ModelSpec> = {}, name = 'vad'): Manifest {
  return {
    apiVersion,
    kind: 'Model',
    metadata: { name },
    spec: {
      rollout: {
        steps: [
          { weight: 20, hold: '2s' },
          { weight: 50, hold: '2s' },
        ],
        bake: '5s',
      },
      rollback: { unreadyFor: '2s', startupDeadline: '60s' },
      ...spec,
    },
  };
}

/** The example's requests as a ConfigMap, for load Pods to mount. */
export async function requestFiles(name: string): Promise<Manifest> {
  const folder = `${repository}examples/vad/requests/`;
  const text = (file: string) => readFile(`${folder}${file}`, 'utf8');
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { 'frame.json': await text('frame.json'), 'speech.json': await text('speech.json') },
    binaryData: { 'speech.wav': await readFile(`${folder}speech.wav`, 'base64') },
  };
}
