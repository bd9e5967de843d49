import type { Deployment, ReplicaSet } from '../machinery/kinds.ts';

/** Annotations by which `kubectl rollout history` and `undo` know revisions, and resizes know proportions. */
export const annotations = {
  revision: 'deployment.kubernetes.io/revision',
  history: 'deployment.kubernetes.io/revision-history',
  desired: 'deployment.kubernetes.io/desired-replicas',
  max: 'deployment.kubernetes.io/max-replicas',
} as const;

/** Annotations of a deployment that say nothing about its template. */
const notCopied: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.deployment.rollback.to',
  ...Object.values(annotations),
]);

/** The revision that a replica set stands for; 0 where it has none. */
export function revisionOf(object: Readonly<ReplicaSet>): number {
  return Number.parseInt(object.metadata.annotations?.[annotations.revision] ?? '0', 10) || 0;
}

/** Annotations that the newest replica set is to have: the deployment's, its revision and its past ones. */
export function newestAnnotations(
  deployment: Readonly<Deployment>,
  newest: Readonly<ReplicaSet> | undefined,
  old: readonly Readonly<ReplicaSet>[],
): Record<string, string> {
  const next: Record<string, string> = { ...newest?.metadata.annotations };
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) {
    if (!notCopied.has(key)) next[key] = value;
  }
  const revision = old.reduce((max, set) => Math.max(max, revisionOf(set)), 0) + 1;
  const before = newest === undefined ? 0 : revisionOf(newest);
  if (before >= revision) return next;
  next[annotations.revision] = String(revision);
  if (before > 0) {
    const history = next[annotations.history];
    next[annotations.history] = history === undefined ? String(before) : `${history},${before}`;
  }
  return next;
}
