import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelVersionSpec } from '../api/generated/model-version.ts';
import type { Failure } from './failure.ts';

/** Where a version asks to run, and what is known of that place. */
export interface PlacementFacts {
  readonly placement: ModelVersionSpec['placement'];
  /** The pool it names, if that exists. */
  readonly pool: GPUPool | undefined;
  /** Labels of the version's namespace. */
  readonly namespaceLabels: Readonly<Record<string, string>>;
}

type Check = (facts: PlacementFacts) => Failure | undefined;

const blocked = (reason: Failure['reason'], message: string): Failure => ({
  reason,
  message,
  terminal: false,
});

const poolNotFound: Check = ({ placement, pool }) =>
  placement.pool !== undefined && pool === undefined
    ? blocked('PoolNotFound', `spec.placement.pool: there is no GPUPool ${JSON.stringify(placement.pool)}`)
    : undefined;

const poolForbidden: Check = ({ pool, namespaceLabels }) => {
  const wanted = Object.entries(pool?.spec.namespaces?.matchLabels ?? {});
  const missing = wanted.find(([key, value]) => namespaceLabels[key] !== value);
  return pool !== undefined && missing !== undefined
    ? blocked(
        'PoolForbidden',
        `spec.placement.pool: GPUPool ${pool.metadata.name} is for namespaces labelled ${missing.join('=')}`,
      )
    : undefined;
};

const poolWithoutGpus: Check = ({ placement, pool }) =>
  pool !== undefined && placement.gpus > 0 && pool.spec.resourceName === undefined
    ? blocked(
        'PoolWithoutGPUs',
        `spec.placement.gpus: ${placement.gpus} asked for, but GPUPool ${pool.metadata.name} has no spec.resourceName`,
      )
    : undefined;

const checks: readonly Check[] = [poolNotFound, poolForbidden, poolWithoutGpus];

/** Why a version cannot be placed at all, or undefined when it can be tried. */
export function placementProblem(facts: PlacementFacts): Failure | undefined {
  for (const check of checks) {
    const problem = check(facts);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
