/** The table's rows, from what the watches and the loads say. */
import type { Load } from '../scenarios/harness/load-pod.ts';
import type { World } from '../scenarios/harness/world.ts';
import type { Row } from './table.ts';

/** One row for each version of the model, in order of their names. */
export function rowsOf(world: World, model: string, loads: readonly Load[]): Row[] {
  const traffic = world.model(model)?.status?.traffic ?? [];
  const totals = loads.flatMap((load) => load.total() ?? []);
  return world
    .versions()
    .filter(({ spec }) => spec.model === model)
    .map(({ spec: { version, replicas }, status }) => {
      const counts = totals.flatMap(({ versions }) => versions[version] ?? []);
      // Of several loads the slower one counts: their quantiles cannot be added.
      const slowest = (of: 'p50' | 'p99') =>
        counts.flatMap(({ latencyMs }) => latencyMs?.[of] ?? []).sort((a, b) => b - a)[0];
      const [p50, p99] = [slowest('p50'), slowest('p99')];
      return {
        version,
        phase: status?.phase ?? 'Pending',
        weight: traffic.find((entry) => entry.version === version)?.weight ?? 0,
        ready: status?.readyReplicas ?? 0,
        pods: status?.replicas ?? replicas,
        requests: counts.reduce((sum, { requests }) => sum + requests, 0),
        errors: counts.reduce((sum, { errors }) => sum + errors, 0),
        ...(p50 === undefined ? {} : { p50 }),
        ...(p99 === undefined ? {} : { p99 }),
      };
    })
    .sort((a, b) => a.version.localeCompare(b.version, 'en', { numeric: true }));
}
