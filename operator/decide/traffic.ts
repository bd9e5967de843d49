/** Who gets which share of a model's requests, by which endpoints, and whether that is a change. */

import { defaultModelSpec } from '../api/defaults.ts';
import type { Model, ModelSpec } from '../api/generated/model.ts';
import { optional } from '../api/optional.ts';
import { type Judgement, judge } from './analysis/evidence.ts';
import { steady } from './capacity.ts';
import {
  type EndpointPlan,
  followersOf,
  laggardOf,
  planEndpoint,
  type RouterFacts,
  seeEndpoints,
  standingOf,
} from './endpoint.ts';
import { planRoutes } from './gateway-routes.ts';
import type { Problem } from './model-status.ts';
import type { ModelObserved } from './observed.ts';
import { isRoomComing } from './places.ts';
import { policyOf } from './policy.ts';
import { isRetried, requestsOf } from './requests.ts';
import { gaveWayOf, needOf } from './roles.ts';
import { advance } from './rollout/rollout.ts';
import { type RolloutState, stateFrom } from './rollout/state.ts';
import type { RolloutOutput, RolloutPolicy, Target } from './rollout/types.ts';
import { leadsOf, routedOf, rulesHash } from './rules.ts';
import type { Seen } from './see.ts';
import { sameShares, weightOf } from './shares.ts';
import { targetOf } from './target.ts';

export interface TrafficDecision {
  readonly policy: RolloutPolicy;
  readonly target: Target;
  /** Why the spec's target cannot be followed. */
  readonly problem: Problem | undefined;
  readonly judgement: Judgement;
  readonly rollout: RolloutOutput;
  /** Versions that routes name. */
  readonly leads: ReadonlySet<string>;
  /** Those of them that requests are sent to. */
  readonly routed: readonly string[];
  /** Hash of what routers read of the spec, if anything. */
  readonly rules: string | undefined;
  readonly routers: RouterFacts;
  readonly endpoint: EndpointPlan;
  /** Counts the changes of traffic, this one included. */
  readonly generation: number;
  /** Whether every endpoint follows the shares, and they stay. */
  readonly settled: boolean;
  /** Whether requests are to be sent to a version, or were the last time. */
  readonly hasTraffic: (version: string) => boolean;
}

export function decideTraffic(
  observed: ModelObserved,
  seen: ReadonlyMap<string, Seen>,
  model: Model | undefined,
  now: number,
): TrafficDecision {
  const spec = model?.spec ?? defaultModelSpec;
  const state = stateFrom(model?.status);
  const policy = policyOf(spec);
  const published = {
    shares: model?.status?.traffic ?? [],
    routed: model?.status?.routed ?? [],
    rules: model?.status?.routers?.rules,
    generation: model?.status?.routers?.generation ?? 0,
  };
  const { target, problem } = targetOf(spec.serve, seen, state.latched);
  const inUse = [
    ...published.shares.filter(({ weight }) => weight > 0).map(({ version }) => version),
    ...published.routed,
  ];
  const followers = followersOf(
    observed.routers,
    published.generation,
    inUse.filter((version) => (seen.get(version)?.ready ?? 0) > 0),
  );
  const plans = planRoutes(spec.endpoint, observed.gatewayRoutes);
  const standing = standingOf(model?.status, spec.endpoint, now);
  const sight = seeEndpoints(plans, observed.gatewayRoutes, followers, published.generation);
  const leads = leadsOf(spec);
  const judgement = judge(observed.evidence, policy.analysis);
  const retried = [...seen.values()].filter(({ observed: { object } }) => isRetried(object));
  const rollout = advance({
    state,
    target,
    facts: seen,
    policy,
    requests: requestsOf(model),
    judgement,
    retried: new Set(retried.map(({ version }) => version)),
    ...optional('demand', demandOf(observed, spec.endpoint.provider)),
    published: published.shares,
    ...optional('lagging', laggardOf(sight, standing, spec.endpoint)),
    roomComing: roomComing(seen, state, leads, policy, now),
    now,
  });

  const routed = routedOf(leads, seen, rollout.state);
  const rules = rulesHash(spec);
  const changed =
    !sameShares(published.shares, rollout.shares) ||
    published.routed.join(' ') !== routed.join(' ') ||
    published.rules !== rules;
  const { total, reaching } = followers;
  const routers = changed ? { total, acked: 0, reaching } : followers;
  const generation = published.generation + (changed ? 1 : 0);
  const seenNow = changed ? seeEndpoints(plans, observed.gatewayRoutes, routers, generation) : sight;
  const endpoint = planEndpoint(spec.endpoint, plans, standing, seenNow, model?.status, now);
  return {
    policy,
    target,
    problem,
    judgement,
    rollout,
    leads,
    routed,
    rules,
    routers,
    endpoint,
    generation,
    settled: !changed && laggardOf(sight, standing, spec.endpoint, endpoint.wanted) === undefined,
    hasTraffic: (version) =>
      [rollout.shares, published.shares].some((shares) => weightOf(shares, version) > 0) ||
      routed.includes(version) ||
      published.routed.includes(version),
  };
}

/** Gateways do not say what they carry, and where no router is ready, none has anything to carry. */
function demandOf(
  { routers, concurrency }: ModelObserved,
  provider: ModelSpec['endpoint']['provider'],
): number | undefined {
  if (concurrency !== undefined) return steady(concurrency);
  return routers.length === 0 || provider === 'gateway' ? 0 : undefined;
}

/** Whether versions that have no part in serving hold places that the candidate lacks. */
function roomComing(
  seen: ReadonlyMap<string, Seen>,
  state: RolloutState,
  leads: ReadonlySet<string>,
  { bakeMs }: RolloutPolicy,
  now: number,
): boolean {
  const candidate = state.candidate === undefined ? undefined : seen.get(state.candidate.version);
  if (candidate === undefined) return false;
  const bakingUntil = (state.stableSince ?? Number.NEGATIVE_INFINITY) + bakeMs;
  const serving = new Set([state.stable, candidate.version, ...leads]);
  const spare = [...seen.values()].filter(
    ({ version, blocked }) =>
      !serving.has(version) &&
      blocked === undefined &&
      needOf(version, state, bakingUntil, now) === undefined,
  );
  return isRoomComing(
    { ...candidate.places, version: candidate.version },
    spare.map(({ places, observed }) => ({
      places,
      ...optional('gaveWay', gaveWayOf(observed.object.status)),
    })),
    now,
  );
}
