import type { Model, ModelSpec } from './generated/model.ts';
import type { ModelVersion, ModelVersionSpec } from './generated/model-version.ts';

/**
 * The spec of a Model that nobody wrote, as the API server fills it in. A test holds it against the defaults of
 * `crds/models.sluice.dev.yaml`.
 */
export const defaultModelSpec: ModelSpec = {
  rollout: {
    strategy: 'canary',
    steps: [
      { weight: 5, hold: '30s' },
      { weight: 25, hold: '30s' },
      { weight: 50, hold: '30s' },
    ],
    approval: false,
    analysis: { minRequests: 100, maxErrorIncrease: 0.01, onInconclusive: 'proceed' },
    onNewVersion: 'supersede',
    bake: '10m',
  },
  rollback: { unreadyFor: '5s', minReady: '50%', startupDeadline: '10m' },
  pinning: 'enabled',
  retention: { warm: 1, keep: 5, parkAfter: '10m' },
  endpoint: { provider: 'router', keepFormer: '10m' },
};

/** The defaults of a ModelVersion; see `defaultModelSpec`. */
export const defaultVersionSpec: Pick<ModelVersionSpec, 'server' | 'placement' | 'replicas' | 'probes'> = {
  server: { ports: { http: 8080, grpc: 8081, metrics: 8082 }, gracePeriod: '30s' },
  placement: { gpus: 0 },
  replicas: 1,
  probes: {
    protocol: 'HTTP',
    goldenPeriod: '30s',
    startup: { deadline: '20m' },
    readiness: { period: '2s', failureThreshold: 2 },
  },
};

/**
 * Objects as the API server of this release's CRDs would fill them in. Helm does not upgrade CRDs, and a cache holds
 * what was read under older ones: a field that is new must not stop a release that knows it.
 */
export function completeModel(model: Model): Model {
  const spec = filled(defaultModelSpec, model.spec);
  return spec === model.spec ? model : { ...model, spec };
}

export function completeVersion(version: ModelVersion): ModelVersion {
  const spec = filled(defaultVersionSpec as ModelVersionSpec, version.spec);
  return spec === version.spec ? version : { ...version, spec };
}

/**
 * The value with the defaults of absent fields, at every depth; lists are taken as they are. A value that lacks nothing
 * is given back itself.
 */
function filled<T>(defaults: T, value: T | undefined): T {
  if (value === undefined) return defaults;
  if (!isObject(defaults) || !isObject(value)) return value;
  const given = value as Readonly<Record<string, unknown>>;
  const changed = Object.entries(defaults).flatMap(([name, standard]) => {
    const field = filled(standard, given[name]);
    return field === given[name] ? [] : [[name, field]];
  });
  return changed.length === 0 ? value : { ...value, ...Object.fromEntries(changed) };
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
