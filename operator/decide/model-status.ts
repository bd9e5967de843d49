/** The status of a Model. */

import { servicePorts } from '#contract';
import { conditionOf, conditionsFrom } from '../api/conditions.ts';
import type { Model, ModelStatus } from '../api/generated/model.ts';
import { optional } from '../api/optional.ts';
import type { Reason } from '../api/reasons.ts';
import type { Judgement } from './analysis/evidence.ts';
import { type EndpointPlan, endpointStatus, type RouterFacts } from './endpoint.ts';
import type { ModelObserved } from './observed.ts';
import { handledOf, requestsOf } from './requests.ts';
import { statusFrom, storedCandidate } from './rollout/state.ts';
import type { RolloutOutput, Target } from './rollout/types.ts';
import type { Seen } from './see.ts';
import { weightOf } from './shares.ts';
import { summariseModel } from './summarise.ts';

/** Why a Model cannot do what its spec says. */
export interface Problem {
  readonly reason: Reason;
  readonly message: string;
}

/** What the status of a Model depends on besides the Model. */
export interface ModelContext {
  readonly observed: ModelObserved;
  readonly seen: ReadonlyMap<string, Seen>;
  readonly rollout: RolloutOutput;
  readonly target: Target;
  /** Versions that routes name. */
  readonly leads: ReadonlySet<string>;
  /** Those of them that requests are sent to. */
  readonly routed: readonly string[];
  /** Hash of what routers read of the spec, if anything. */
  readonly rules: string | undefined;
  readonly problem: Problem | undefined;
  /** Until when the problem may be one of order only. */
  readonly patientUntil: number | undefined;
  readonly routers: RouterFacts;
  readonly endpoint: EndpointPlan;
  readonly judgement: Judgement;
  /** Counts the changes of traffic, this one included. */
  readonly generation: number;
  readonly now: number;
}

export function modelStatus(model: Model, context: ModelContext): ModelStatus {
  const { metadata, status } = model;
  const { observed, seen, rollout, routed, problem, patientUntil, routers, endpoint, now } = context;
  const atRouters = endpoint.wanted.has('router');
  const { stable, candidate } = rollout.state;
  const answering = rollout.shares.filter((share) => share.weight > 0);
  const findings = summariseModel({
    ...optional('stable', stable === undefined ? undefined : seen.get(stable)),
    ...optional('candidate', candidate),
    ...optional('overdue', rollout.overdue),
    ...optional('shortage', rollout.shortage),
    servingPods: answering.reduce((sum, share) => sum + (seen.get(share.version)?.ready ?? 0), 0),
    hasVersions: seen.size > 0,
    ...optional('problem', problem),
    passing: patientUntil !== undefined,
    route: endpoint.route,
    routeStuck: endpoint.stuck,
    reachable: endpoint.reachable,
    waitingFor: waitingFor(context),
    paused: requestsOf(model).paused,
  });
  const generation = metadata.generation ?? 0;
  return {
    observedGeneration: generation,
    conditions: conditionsFrom(findings, status?.conditions, generation, now),
    phase: phaseOf(rollout, patientUntil === undefined ? problem : undefined),
    ...statusFrom(rollout.state),
    ...optional('candidate', candidateStatus(status, context)),
    handled: handledOf(model),
    traffic: rollout.shares,
    ...(routed.length === 0 ? {} : { routed }),
    routers: {
      ...optional('port', atRouters ? observed.port : undefined),
      generation: context.generation,
      ...optional('rules', context.rules),
      total: atRouters ? routers.total : 0,
      acked: atRouters ? routers.acked : 0,
    },
    ...optional('endpoint', endpointStatus(endpoint)),
    ...optional(
      'url',
      atRouters ? `http://${observed.name}.${observed.namespace}.svc:${servicePorts.http}` : undefined,
    ),
  };
}

/** Evidence is written when it changes its mind, not with every request: a status is not a counter. */
function candidateStatus(
  before: ModelStatus | undefined,
  { rollout, judgement }: ModelContext,
): ModelStatus['candidate'] {
  const { candidate } = rollout.state;
  if (candidate === undefined) return undefined;
  const stored = storedCandidate(candidate, weightOf(rollout.shares, candidate.version));
  if (candidate.step === 0) return stored;
  const { version, step, verdict } = before?.candidate ?? {};
  const same = version === candidate.version && step === candidate.step && verdict === judgement.verdict;
  return {
    ...stored,
    verdict: judgement.verdict,
    evidence: same ? (before?.candidate?.evidence ?? '') : judgement.message,
  };
}

/** The first thing that stands in the way of the spec, if anything does. */
export function problemOf(
  observed: ModelObserved,
  endpoint: EndpointPlan,
  seen: ReadonlyMap<string, Seen>,
  target: Target,
  problem: Problem | undefined,
): Problem | undefined {
  const foreign = foreignChildren(observed, endpoint);
  if (foreign.length > 0) {
    const names = foreign.join(' and ');
    return {
      reason: 'ChildConflict',
      message: `${names} exists and does not belong to this Model; delete or rename it`,
    };
  }
  if (observed.port === undefined && endpoint.wanted.has('router')) {
    return { reason: 'PortsExhausted', message: 'the routers of this namespace have no port left' };
  }
  const blocked = target.kind === 'version' ? seen.get(target.version)?.blocked : undefined;
  if (problem !== undefined || blocked === undefined || target.kind !== 'version') return problem;
  return { reason: blocked.reason, message: `${target.version}: ${blocked.message}` };
}

/** Objects that stand where children of an endpoint should that there is to be. */
function foreignChildren(
  { foreign, gatewayRoutes, name }: ModelObserved,
  { wanted, routes: plans }: EndpointPlan,
) {
  const blocked = [...plans.keys()].filter((kind) => gatewayRoutes[kind].state === 'foreign');
  return [...(wanted.has('router') ? foreign : []), ...blocked.map((kind) => `${kind} ${name}`)];
}

/** Objects that one apply creates come one after the other, in an order that nobody can rely on. */
const patienceMs = 5_000;

/** Until when a version that the spec names and that does not exist may still be on its way, or undefined. */
export function patienceOf(
  status: ModelStatus | undefined,
  problem: Problem | undefined,
  now: number,
): number | undefined {
  if (problem?.reason !== 'VersionNotFound') return undefined;
  const ready = conditionOf(status?.conditions, 'Ready');
  const since = ready?.reason === problem.reason ? Date.parse(ready.lastTransitionTime) : now;
  return now < since + patienceMs ? since + patienceMs : undefined;
}

/** Members of a split that should have a share, and versions that routes name, that have no requests yet. */
function waitingFor({ target, rollout, leads, routed }: ModelContext): string[] {
  const parts = target.kind === 'split' ? target.parts : [];
  const members = parts
    .filter((part) => part.weight > 0 && weightOf(rollout.shares, part.version) === 0)
    .map((part) => part.version);
  return [...new Set([...members, ...[...leads].filter((version) => !routed.includes(version))])];
}

function phaseOf({ state }: RolloutOutput, problem: Problem | undefined): string {
  if (state.candidate !== undefined) return 'RollingOut';
  if (problem !== undefined) return 'Stalled';
  return state.stable === undefined ? 'Pending' : 'Serving';
}
