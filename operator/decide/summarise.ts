/**
 * From what was decided to conditions: the only place where `Ready` is set. Each condition is an ordered chain, the
 * first finding that applies is reported.
 */

import { type Finding, type Findings, no, unknown, yes } from '../api/conditions.ts';
import type { Reason } from '../api/reasons.ts';
import type { Failure } from './failure.ts';
import { gaveWayText, type Part } from './roles.ts';
import { hasTooFew } from './rollout/draft.ts';
import type { Candidate, Latch } from './rollout/state.ts';
import type { Overdue, Shortage, VersionFacts } from './rollout/types.ts';
import { type FetchingStatus, fetchingText, lackOf, type ServerStatus } from './starts.ts';

/** What a version's conditions depend on. */
export interface VersionSummary {
  readonly facts: VersionFacts;
  readonly part: Part;
  readonly weight: number;
  /** Whether requests with a matching route are sent to it. */
  readonly routed: boolean;
  readonly latch?: Latch;
  readonly candidate?: Candidate;
  /** What the candidate's rollout has waited for too long. */
  readonly overdue?: Overdue;
  /** Why the candidate has fewer pods than it should. */
  readonly shortage?: Shortage;
  /** The version to which it lends places. */
  readonly lendsTo?: string;
  /** Digest of the artifact, once it has been fetched and verified. */
  readonly digest?: string;
  /** How far pods are that fetch it now. */
  readonly fetching?: FetchingStatus;
  /** How the pods started that are ready. */
  readonly server?: ServerStatus;
  /** Whether the endpoint follows the shares. */
  readonly route: Finding;
  readonly minReady: number;
  /** Why it has no part yet though the spec wants it. */
  readonly delayed?: { readonly reason: 'Queued' | 'Paused'; readonly message: string };
}

const settled = no('Settled', 'nothing is left to do');
const unhindered = no('Settled', 'nothing stands in the way');

const podsText = (facts: VersionFacts): string => `${facts.ready} of ${facts.wanted} pods are ready`;

/** With what there is to say beyond the number: how far a fetch is, or what is done without. */
function startsText({ facts, fetching, server }: VersionSummary): string {
  const more =
    facts.ready < facts.wanted && fetching !== undefined
      ? fetchingText(fetching)
      : facts.ready > 0
        ? lackOf(server)?.message
        : undefined;
  return more === undefined ? podsText(facts) : `${podsText(facts)}; ${more}`;
}

const isArtifactFailure = (failure: Failure | undefined): failure is Failure =>
  failure !== undefined && (failure.reason.startsWith('Artifact') || failure.reason === 'ModelInvalid');

/** All conditions of a ModelVersion. */
export function summariseVersion(summary: VersionSummary): Findings {
  const { facts, part, weight, latch } = summary;
  const trouble = facts.blocked ?? facts.failure;
  const workload = workloadOf(summary);
  const ready = versionReady(summary, workload);
  const stalled: Finding =
    latch !== undefined
      ? yes(latch.reason as Reason, latch.message)
      : facts.blocked !== undefined
        ? yes(facts.blocked.reason, facts.blocked.message)
        : part.runs && facts.failure?.terminal === true && facts.ready < facts.wanted
          ? yes(facts.failure.reason, facts.failure.message)
          : summary.overdue !== undefined
            ? yes(summary.overdue.reason, summary.overdue.message)
            : unhindered;
  return {
    Ready: ready,
    Servable:
      facts.ready > 0
        ? yes('PodsReady', podsText(facts))
        : no(trouble?.reason ?? 'NoReadyPods', trouble?.message ?? 'no pod is ready'),
    ArtifactReady: artifactOf(summary),
    WorkloadReady: workload,
    RouteReady: weight > 0 || summary.routed ? summary.route : no('NoTraffic', 'the version has no traffic'),
    Promoted: promotedOf(summary),
    Reconciling:
      ready.status === 'True' || stalled.status === 'True' ? settled : yes(ready.reason, ready.message),
    Stalled: stalled,
  };
}

function workloadOf(summary: VersionSummary): Finding {
  const { facts, part } = summary;
  const trouble = facts.blocked ?? facts.failure;
  if (!part.runs && facts.ready === 0) {
    if (facts.blocked !== undefined) return no(facts.blocked.reason, facts.blocked.message);
    return part.gaveWay === undefined
      ? no('Parked', 'scaled to zero')
      : no('GaveWay', gaveWayText(part.gaveWay));
  }
  if (facts.ready >= facts.wanted) return yes('PodsReady', startsText(summary));
  if (part.pods !== undefined && part.gaveWay !== undefined && facts.ready >= part.pods)
    return no('GaveWay', gaveWayText(part.gaveWay));
  if (summary.lendsTo !== undefined && trouble === undefined)
    return no('PlacesLent', `${podsText(facts)}; places are lent to ${summary.lendsTo}`);
  return trouble === undefined
    ? no('PodsStarting', startsText(summary))
    : no(trouble.reason, `${podsText(facts)}: ${trouble.message}`);
}

function artifactOf({ facts, digest, fetching, latch, part }: VersionSummary): Finding {
  const failure = facts.failure;
  if (isArtifactFailure(failure)) return no(failure.reason, failure.message);
  if (
    latch !== undefined &&
    isArtifactFailure({ reason: latch.reason as Failure['reason'], message: '', terminal: true })
  ) {
    return no(latch.reason as Reason, latch.message);
  }
  if (digest !== undefined) return yes('Fetched', digest);
  return part.runs
    ? no('Fetching', fetching === undefined ? 'the artifact is on its way' : fetchingText(fetching))
    : unknown('Parked', 'the version has not run');
}

function promotedOf({ part, candidate, latch }: VersionSummary): Finding {
  switch (part.role) {
    case 'stable':
      return yes('Promoted', 'the version is stable');
    case 'member':
      return yes('Promoted', 'the version is part of the split');
    case 'candidate':
      return no(
        'RolloutInProgress',
        candidate === undefined || candidate.step === 0 ? 'pods are starting' : `step ${candidate.step}`,
      );
    case 'failed':
      return no((latch?.reason ?? 'RolledBack') as Reason, latch?.message ?? 'the version failed');
    case 'routed':
      return no('Routed', 'only requests with a matching route go to it');
    case 'warm':
      return no('Warm', 'a former stable version, kept for an instant rollback');
    case 'idle':
      return no('NotSelected', 'no Model selects this version');
  }
}

function versionReady(summary: VersionSummary, workload: Finding): Finding {
  const { facts, part, weight, latch, candidate, overdue, shortage, route, minReady, delayed } = summary;
  if (latch !== undefined) return no(latch.reason as Reason, latch.message);
  if (facts.blocked !== undefined) return no(facts.blocked.reason, facts.blocked.message);
  if (delayed !== undefined) return no(delayed.reason, delayed.message);
  if (part.gaveWay !== undefined && !part.runs)
    return yes('GaveWay', `not selected; ${gaveWayText(part.gaveWay)}`);
  switch (part.role) {
    case 'candidate': {
      if (overdue !== undefined) return no(overdue.reason, overdue.message);
      if (shortage !== undefined && (facts.failure?.reason ?? 'Unschedulable') === 'Unschedulable')
        return no(shortage.reason, shortage.message);
      const where =
        candidate === undefined || candidate.step === 0
          ? startsText(summary)
          : `step ${candidate.step}, ${weight} % of the traffic${waitText(candidate)}`;
      return facts.failure === undefined
        ? no(candidate === undefined ? 'RolloutInProgress' : progressOf(candidate), where)
        : no(facts.failure.reason, facts.failure.message);
    }
    case 'stable':
    case 'member':
      if (workload.status !== 'True') return no(workload.reason, workload.message);
      return weight > 0
        ? withRoute(route, `${weight} % of the traffic`)
        : yes('NoTraffic', 'ready, with no share of the traffic');
    case 'routed':
      return workload.status === 'True'
        ? withRoute(route, 'requests with a matching route')
        : no(workload.reason, workload.message);
    case 'warm':
      return facts.ready < (part.pods ?? 0) || (part.pods === undefined && hasTooFew(facts, { minReady }))
        ? no(workload.reason, workload.message)
        : yes('Warm', 'kept running for an instant rollback');
    case 'idle':
      return part.runs
        ? yes('Idle', 'not selected; parked soon')
        : yes('Parked', 'not selected; scaled to zero');
    case 'failed':
      return no('RolledBack', 'the version failed');
  }
}

const withRoute = (route: Finding, message: string): Finding =>
  route.status === 'True' ? yes('Serving', message) : route;

/** What a Model's conditions depend on. */
export interface ModelSummary {
  readonly stable?: VersionFacts;
  readonly candidate?: Candidate;
  /** What its rollout has waited for too long. */
  readonly overdue?: Overdue;
  /** Why it has fewer pods than it should. */
  readonly shortage?: Shortage;
  /** Pods that can answer for the versions that have traffic. */
  readonly servingPods: number;
  readonly hasVersions: boolean;
  readonly problem?: { readonly reason: Reason; readonly message: string };
  /** Whether the problem is likely to go away by itself in a moment. */
  readonly passing: boolean;
  /** Whether the endpoint follows the shares. */
  readonly route: Finding;
  /** Whether that needs a person. */
  readonly routeStuck: boolean;
  /** Whether clients can reach the model by any endpoint. */
  readonly reachable: boolean;
  /** Members of a split, and versions that routes name, that have no requests yet, though they should. */
  readonly waitingFor: readonly string[];
  readonly paused: boolean;
}

/** All conditions of a Model. */
export function summariseModel(summary: ModelSummary): Findings {
  const ready = modelReady(summary);
  const { problem, route } = summary;
  const stalled: Finding =
    problem !== undefined && !summary.passing
      ? yes(problem.reason, problem.message)
      : summary.routeStuck
        ? yes(route.reason, route.message)
        : summary.overdue !== undefined
          ? yes(summary.overdue.reason, summary.overdue.message)
          : unhindered;
  return {
    Ready: ready,
    Servable:
      summary.servingPods === 0
        ? no(summary.hasVersions ? 'NoReadyPods' : 'NoVersions', 'no pod can answer')
        : !summary.reachable
          ? no(route.reason, route.message)
          : yes('Serving', `${summary.servingPods} pods can answer`),
    RouteReady: route,
    Promoted:
      summary.candidate === undefined && summary.stable !== undefined
        ? yes('Promoted', `${summary.stable.version} is stable`)
        : no(
            summary.candidate === undefined ? 'NoVersions' : 'RolloutInProgress',
            candidateText(summary.candidate),
          ),
    Reconciling:
      ready.status === 'True' || stalled.status === 'True' ? settled : yes(ready.reason, ready.message),
    Stalled: stalled,
  };
}

function modelReady({
  problem,
  stable,
  candidate,
  overdue,
  shortage,
  route,
  routeStuck,
  hasVersions,
  waitingFor,
  paused,
}: ModelSummary): Finding {
  if (problem !== undefined) return no(problem.reason, problem.message);
  if (routeStuck) return no(route.reason, route.message);
  if (overdue !== undefined) return no(overdue.reason, overdue.message);
  if (candidate !== undefined && shortage !== undefined && !paused)
    return no(shortage.reason, `${candidate.version}: ${shortage.message}`);
  if (candidate !== undefined) return no(paused ? 'Paused' : progressOf(candidate), candidateText(candidate));
  if (stable === undefined) {
    return hasVersions
      ? no('NoReadyPods', 'no version serves')
      : no('NoVersions', 'the model has no ModelVersion');
  }
  if (stable.ready < stable.wanted) {
    return stable.failure === undefined
      ? no('PodsStarting', podsText(stable))
      : no(stable.failure.reason, stable.failure.message);
  }
  if (waitingFor.length > 0) return no('PodsStarting', `waiting for ${waitingFor.join(', ')}`);
  return withRoute(route, `${stable.version} serves`);
}

const progressOf = (candidate: Candidate): Reason =>
  candidate.waitingFor === 'Approval'
    ? 'AwaitingApproval'
    : candidate.waitingFor === 'Capacity'
      ? 'AwaitingCapacity'
      : candidate.waitingFor === 'Places'
        ? 'AwaitingPlaces'
        : 'RolloutInProgress';

const waits = {
  Approval: ', waits for the annotation sluice.dev/approve',
  Routers: ', waits for routers to follow',
  Gateways: ', waits for Gateways to follow',
  Traffic: ', waits for traffic',
  Pods: ', waits for its pods',
  Places: ', waits for room in the pool',
  Capacity: ', waits for more pods: those that are ready cannot carry a larger share',
} as const satisfies Record<NonNullable<Candidate['waitingFor']>, string>;

/** What a candidate waits for though its hold is over. */
const waitText = ({ waitingFor }: Candidate): string => (waitingFor === undefined ? '' : waits[waitingFor]);

const candidateText = (candidate: Candidate | undefined): string =>
  candidate === undefined
    ? 'nothing is being rolled out'
    : candidate.step === 0
      ? `${candidate.version}: pods are starting${waitText(candidate)}`
      : `${candidate.version}: step ${candidate.step}${waitText(candidate)}`;
