/** From objects as they are to facts that a rollout can reason about. */

import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelStatus } from '../api/generated/model.ts';
import { isReady, isTerminating } from '../api/kubernetes.ts';
import { contentLabel } from '../api/labels.ts';
import { optional } from '../api/optional.ts';
import { contentHash } from './content-hash.ts';
import { type Failure, workloadFailure } from './failure.ts';
import type { ModelObserved, VersionObserved } from './observed.ts';
import { placementProblem } from './placement.ts';
import { placesOf } from './places.ts';
import type { Choice } from './target.ts';
import { compareVersions } from './version-order.ts';

/** A version as a decision sees it. */
export interface Seen extends Choice {
  readonly observed: VersionObserved;
  readonly pool?: GPUPool;
}

export interface Sight {
  /** By version, in ascending order. */
  readonly seen: ReadonlyMap<string, Seen>;
  /** ModelVersions that claim a version which an older ModelVersion has. */
  readonly duplicates: readonly VersionObserved[];
}

export function see(observed: ModelObserved, now: number): Sight {
  const byAge = observed.versions
    .filter((version) => !isTerminating(version.object))
    .sort((a, b) => compareText(ageKey(a), ageKey(b)));
  const first = new Map<string, VersionObserved>();
  const duplicates: VersionObserved[] = [];
  for (const version of byAge) {
    const name = version.object.spec.version;
    if (first.has(name)) duplicates.push(version);
    else first.set(name, version);
  }
  const seen = [...first.values()].map((version) => seeVersion(version, observed, now)).sort(compareVersions);
  return { seen: new Map(seen.map((version) => [version.version, version])), duplicates };
}

const ageKey = ({ object }: VersionObserved): string =>
  `${object.metadata.creationTimestamp ?? ''} ${object.metadata.name}`;

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function seeVersion(version: VersionObserved, observed: ModelObserved, now: number): Seen {
  const { object, pods, deployment } = version;
  const { placement } = object.spec;
  const hash = contentHash(object.spec);
  const wanted = object.spec.replicas;
  const ready = pods.filter(isReady).length;
  const pool = placement.pool === undefined ? undefined : observed.pools.get(placement.pool);
  const current = pods.filter((pod) => !isTerminating(pod) && pod.metadata.labels?.[contentLabel] === hash);
  const place = placementProblem({ placement, pool, namespaceLabels: observed.namespaceLabels });
  return {
    version: object.spec.version,
    contentHash: hash,
    createdAt: object.metadata.creationTimestamp ?? '',
    wanted,
    ready,
    established: establishedOf(version, ready, observed.model?.status?.candidate),
    places: placesOf(version, pool, now),
    ...optional('targetConcurrency', object.spec.scaling?.targetConcurrency),
    ...optional('failure', rejection(version) ?? workloadFailure(current, deployment)),
    ...optional('blocked', childConflict(version) ?? place ?? goldenTooLarge(version)),
    observed: version,
    ...optional('pool', pool),
  };
}

/**
 * Pods that are lent, or not given yet, are not lost: while places change hands, a version has those established that it keeps, or those of
 * what it was given that have been ready.
 */
function establishedOf(
  { object: { spec, status } }: VersionObserved,
  ready: number,
  candidate: ModelStatus['candidate'],
): number {
  const { version, replicas } = spec;
  const before = status?.establishedReplicas;
  const established = ready >= replicas ? replicas : Math.min(before ?? replicas, replicas);
  const swap = candidate?.swap;
  if (swap?.lender === version) return Math.max(1, Math.min(established, swap.kept));
  if (swap === undefined || candidate?.version !== version) return established;
  return Math.max(1, Math.min(swap.given, replicas, Math.max(before ?? 0, ready)));
}

function childConflict({ foreign }: VersionObserved): Failure | undefined {
  if (foreign.length === 0) return undefined;
  return {
    reason: 'ChildConflict',
    message: `${foreign.join(' and ')} exists and does not belong to this ModelVersion; delete or rename it`,
    terminal: false,
  };
}

/** Linux takes at most 128 KiB in one environment variable, which is how golden requests reach their pod. */
const goldenLimit = 120 * 1_024;

function goldenTooLarge({ object }: VersionObserved): Failure | undefined {
  const size = Buffer.byteLength(JSON.stringify(object.spec.probes.golden ?? []));
  if (size <= goldenLimit) return undefined;
  return {
    reason: 'GoldenTooLarge',
    message: `spec.probes.golden: ${size} bytes of JSON, at most ${goldenLimit} are possible; use fill, or smaller inputs`,
    terminal: false,
  };
}

function rejection({ rejected }: VersionObserved): Failure | undefined {
  return rejected === undefined
    ? undefined
    : { reason: 'WorkloadRejected', message: rejected.slice(0, 1_024), terminal: false };
}
