/** The status of one ModelVersion. */

import { labels } from '#contract';
import { conditionsFrom, type Finding, no } from '../api/conditions.ts';
import type { ModelVersionStatus } from '../api/generated/model-version.ts';
import { isTerminating, type Pod } from '../api/kubernetes.ts';
import { optional } from '../api/optional.ts';
import { type Failure, parseTermination } from './failure.ts';
import type { VersionObserved } from './observed.ts';
import { placesOf } from './places.ts';
import { handledRetry } from './requests.ts';
import type { Part } from './roles.ts';
import type { RolloutOutput, Target } from './rollout/types.ts';
import type { Seen } from './see.ts';
import { weightOf } from './shares.ts';
import { fetchingOf, serverOf } from './starts.ts';
import { summariseVersion } from './summarise.ts';

/** What the status of a version depends on besides the version. */
export interface VersionContext {
  readonly rollout: RolloutOutput;
  readonly target: Target;
  /** Versions that requests with a matching route are sent to. */
  readonly routed: readonly string[];
  readonly paused: boolean;
  /** Whether the endpoint follows the shares. */
  readonly route: Finding;
  /** Fraction of the wanted pods below which there are too few. */
  readonly minReady: number;
  readonly now: number;
}

export function versionStatus(version: Seen, part: Part, context: VersionContext): ModelVersionStatus {
  const { rollout, route, minReady, now } = context;
  const { object, pods } = version.observed;
  const generation = object.metadata.generation ?? 0;
  const weight = weightOf(rollout.shares, version.version);
  const artifact = artifactOf(version);
  const server = serverOf(version.observed, version.contentHash);
  const swap = rollout.state.candidate?.swap;
  const latch = rollout.state.latched.find((entry) => entry.version === version.version);
  const findings = summariseVersion({
    facts: version,
    part,
    weight,
    routed: context.routed.includes(version.version),
    ...optional('latch', latch),
    ...optional('candidate', part.role === 'candidate' ? rollout.state.candidate : undefined),
    ...optional('shortage', part.role === 'candidate' ? rollout.shortage : undefined),
    ...optional('lendsTo', swap?.lender === version.version ? rollout.state.candidate?.version : undefined),
    ...optional('overdue', part.role === 'candidate' ? rollout.overdue : undefined),
    ...optional('digest', artifact?.digest),
    ...optional('fetching', artifact?.fetching),
    ...optional('server', server),
    route,
    minReady,
    ...optional('delayed', delayOf(version, part, context)),
  });
  return {
    observedGeneration: generation,
    conditions: conditionsFrom(findings, object.status?.conditions, generation, now),
    phase: phaseOf(version, part, rollout),
    contentHash: version.contentHash,
    weight,
    replicas: pods.filter((pod) => !isTerminating(pod)).length,
    readyReplicas: version.ready,
    ...optional('establishedReplicas', establishedOf(version, part)),
    selector: `${labels.model}=${object.spec.model},${labels.version}=${object.spec.version}`,
    ...optional('pool', object.spec.placement.pool),
    ...optional('handledRetry', handledRetry(object)),
    ...optional(
      'idleSince',
      part.idleSince === undefined ? undefined : new Date(part.idleSince).toISOString(),
    ),
    ...optional(
      'gaveWay',
      part.gaveWay === undefined
        ? undefined
        : { ...part.gaveWay, at: new Date(part.gaveWay.at).toISOString() },
    ),
    ...optional('artifact', artifact),
    ...optional('server', server),
    ...optional('lastFailure', lastFailure(version, latch, now)),
  };
}

/** Remembered from the moment that all pods were ready, or were lent, for as long as the version has a part in serving. */
function establishedOf(
  { ready, wanted, established, observed }: Seen,
  { role, pods }: Part,
): number | undefined {
  const known =
    ready >= wanted || established < wanted || observed.object.status?.establishedReplicas !== undefined;
  return known && role !== 'idle' && role !== 'failed' && pods === undefined ? established : undefined;
}

/** Why a version that the spec wants is neither stable nor the candidate. */
function delayOf({ version }: Seen, part: Part, { rollout, target, paused }: VersionContext) {
  const wanted = target.kind === 'version' && target.version === version;
  if (!wanted || part.role === 'stable' || part.role === 'candidate') return undefined;
  if (paused) return { reason: 'Paused' as const, message: 'rollouts are paused by sluice.dev/paused' };
  const { candidate } = rollout.state;
  const message =
    candidate === undefined
      ? 'is rolled out next'
      : `waits until the rollout of ${candidate.version} is over`;
  return { reason: 'Queued' as const, message };
}

/** The status of a ModelVersion whose version another one has. */
export function duplicateStatus(twin: VersionObserved, owner: Seen, now: number): ModelVersionStatus {
  const { object } = twin;
  const { version, model, replicas } = object.spec;
  const generation = object.metadata.generation ?? 0;
  const blocked: Failure = {
    reason: 'VersionConflict',
    message: `spec.version: ModelVersion ${owner.observed.object.metadata.name} is version ${version} of ${model} already`,
    terminal: true,
  };
  const findings = summariseVersion({
    facts: {
      version,
      contentHash: '',
      wanted: replicas,
      established: replicas,
      ready: 0,
      places: placesOf(twin, undefined, now),
      blocked,
    },
    part: { role: 'idle', runs: false },
    weight: 0,
    routed: false,
    route: no('NoTraffic', 'the version has no traffic'),
    minReady: 1,
  });
  return {
    observedGeneration: generation,
    conditions: conditionsFrom(findings, object.status?.conditions, generation, now),
    phase: 'Blocked',
    weight: 0,
    replicas: 0,
    readyReplicas: 0,
  };
}

/** What `fetch` says in pods that it runs in, and what it said when it had succeeded. */
function artifactOf({ observed, contentHash }: Seen): ModelVersionStatus['artifact'] {
  const { fetching: _, ...before } = observed.object.status?.artifact ?? {};
  const fetched = fetchedOf(observed.pods) ?? before;
  const artifact = { ...fetched, ...optional('fetching', fetchingOf(observed, contentHash)) };
  return Object.keys(artifact).length === 0 ? undefined : artifact;
}

/** What `fetch` said when it had succeeded, in any pod. */
function fetchedOf(pods: readonly Pod[]): ModelVersionStatus['artifact'] {
  for (const pod of pods) {
    for (const status of pod.status?.initContainerStatuses ?? []) {
      const said = parseTermination(status.state?.terminated?.message);
      if (said?.ok === true) return { digest: said.digest, bytes: said.bytes, fetchSeconds: said.seconds };
    }
  }
  return undefined;
}

/** The failure of the present, the one that led to a roll-back, or the one remembered; the same one keeps its time. */
function lastFailure(
  { blocked, failure, observed }: Seen,
  latch: { readonly reason: string; readonly message: string } | undefined,
  now: number,
): ModelVersionStatus['lastFailure'] {
  const before = observed.object.status?.lastFailure;
  const present = blocked ?? failure;
  const known = present ?? latch;
  if (known === undefined) return before;
  const samePod = present?.pod === undefined || present.pod === before?.pod;
  if (before?.reason === known.reason && samePod) return before;
  return {
    reason: known.reason,
    message: known.message,
    ...optional('pod', present?.pod),
    ...optional('exitCode', present?.exitCode),
    at: new Date(now).toISOString(),
  };
}

function phaseOf(version: Seen, part: Part, { state }: RolloutOutput): string {
  if (version.blocked !== undefined) return 'Blocked';
  switch (part.role) {
    case 'candidate':
      return state.candidate?.step === 0 ? 'Starting' : 'Candidate';
    case 'stable':
      return version.ready === 0 ? 'Starting' : 'Stable';
    case 'member':
      return version.ready === 0 ? 'Starting' : 'Serving';
    case 'routed':
      return version.ready === 0 ? 'Starting' : 'Routed';
    case 'warm':
      return part.runs ? 'Warm' : 'Parked';
    case 'failed':
      return 'Failed';
    case 'idle':
      return part.runs ? 'Idle' : 'Parked';
  }
}
