/** The decision about one model and all its versions: one readonly value in, everything that should be true out. */

import { defaultModelSpec } from '../api/defaults.ts';
import { type Route, routeKinds } from '../api/gateway.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { Model, ModelSpec, ModelStatus } from '../api/generated/model.ts';
import type { ModelVersion, ModelVersionStatus } from '../api/generated/model-version.ts';
import { isTerminating } from '../api/kubernetes.ts';
import { implicitLabel } from '../api/labels.ts';
import { optional } from '../api/optional.ts';
import { judge } from './analysis/evidence.ts';
import { steady } from './capacity.ts';
import { type EndpointPlan, laggardOf, planEndpoint, seeEndpoints, standingOf } from './endpoint.ts';
import { changeEvents, type DecidedEvent, rolloutEvents } from './events.ts';
import { planRoutes, type RoutePlans } from './gateway-routes.ts';
import { modelStatus, patienceOf, problemOf } from './model-status.ts';
import type { ModelObserved } from './observed.ts';
import { policyOf } from './policy.ts';
import { isRetried, requestsOf } from './requests.ts';
import { type Part, partOf, releasable, roleOf } from './roles.ts';
import { advance } from './rollout/rollout.ts';
import { stateFrom } from './rollout/state.ts';
import type { RolloutOutput, Target } from './rollout/types.ts';
import { leadsOf, routedOf, routesProblem, rulesHash } from './rules.ts';
import { type Seen, see } from './see.ts';
import { type Share, sameShares, weightOf } from './shares.ts';
import { targetOf } from './target.ts';
import { duplicateStatus, versionStatus } from './version-status.ts';

/** A version that should have a Deployment and a headless Service. */
export interface Workload {
  readonly version: ModelVersion;
  readonly contentHash: string;
  /** Pods; 0 when parked. */
  readonly replicas: number;
  readonly pool?: GPUPool;
}

/** What an endpoint consists of; absent when there is no Model to own it. */
export interface EndpointChildren {
  /** The model's Service: the port that it leads to, or that there should be none; absent: it is left alone. */
  readonly service?: { readonly port: number } | 'none';
  /** Routes to write; requests are split as `shares` say. */
  readonly routes: RoutePlans;
  /** Routes of the Model that should go. */
  readonly obsolete: readonly Route[];
  readonly shares: readonly Share[];
  /** Counts the changes of traffic, this one included. */
  readonly generation: number;
  /** Versions with pods, which a request may ask for. */
  readonly pinnable: readonly ModelVersion[];
}

export interface ModelDecision {
  /** A Model is missing that the versions ask for, or an implicit one has no version left. */
  readonly implicit?: 'create' | 'delete';
  readonly workloads: readonly Workload[];
  /** Versions whose Deployment and Service are to go. */
  readonly released: readonly ModelVersion[];
  readonly endpoint?: EndpointChildren;
  readonly modelStatus?: ModelStatus;
  readonly versionStatuses: ReadonlyMap<ModelVersion, ModelVersionStatus>;
  readonly events: readonly DecidedEvent[];
  /** When something is due though nothing happens, milliseconds from now. */
  readonly requeueAfterMs?: number;
}

/** Decides. Pure; `now` in milliseconds since the epoch. */
export function decideModel(observed: ModelObserved, now: number): ModelDecision {
  const model = observed.model !== undefined && isTerminating(observed.model) ? undefined : observed.model;
  const spec = model?.spec ?? defaultModelSpec;
  const state = stateFrom(model?.status);
  const policy = policyOf(spec);
  const published = {
    shares: model?.status?.traffic ?? [],
    routed: model?.status?.routed ?? [],
    rules: model?.status?.routers?.rules,
    generation: model?.status?.routers?.generation ?? 0,
  };

  const { seen, duplicates } = see(observed);
  const { target, problem } = targetOf(spec.serve, seen, state.latched);
  const acked = observed.routers.filter((router) => router.generation === published.generation).length;
  const total = observed.routers.length;
  const plans = planRoutes(spec.endpoint, observed.gatewayRoutes);
  const standing = standingOf(model?.status, spec.endpoint, now);
  const sight = seeEndpoints(plans, observed.gatewayRoutes, { total, acked }, published.generation);
  const judgement = judge(observed.evidence, policy.analysis);
  const requests = requestsOf(model);
  const rollout = advance({
    state,
    target,
    facts: seen,
    policy,
    requests,
    judgement,
    retried: new Set(
      [...seen.values()]
        .filter(({ observed: { object } }) => isRetried(object))
        .map(({ version }) => version),
    ),
    ...optional('demand', demandOf(observed, spec.endpoint.provider)),
    published: published.shares,
    ...optional('lagging', laggardOf(sight, standing, spec.endpoint)),
    now,
  });

  const leads = leadsOf(spec);
  const routed = routedOf(leads, seen, rollout.state);
  const rules = rulesHash(spec);
  const changed =
    !sameShares(published.shares, rollout.shares) ||
    published.routed.join(' ') !== routed.join(' ') ||
    published.rules !== rules;
  const routers = { total, acked: changed ? 0 : acked };
  const generation = published.generation + (changed ? 1 : 0);
  const endpoint = planEndpoint(
    spec.endpoint,
    plans,
    standing,
    changed ? seeEndpoints(plans, observed.gatewayRoutes, routers, generation) : sight,
    model?.status,
    now,
  );
  const hasTraffic = (name: string): boolean =>
    [rollout.shares, published.shares].some((shares) => weightOf(shares, name) > 0) ||
    routed.includes(name) ||
    published.routed.includes(name);
  const parts = partsOf(seen, rollout, target, {
    spec,
    leads,
    bakeMs: policy.bakeMs,
    hasTraffic,
    settled: !changed && laggardOf(sight, standing, spec.endpoint, endpoint.wanted) === undefined,
    now,
  });

  const released = releasable(
    [...parts]
      .filter(([version]) => seen.get(version)!.blocked === undefined)
      .map(([version, part]) => [version, part, seen.get(version)!.observed.pods.length]),
    spec.retention.keep,
  );
  const obstacle = problemOf(
    observed,
    endpoint,
    seen,
    target,
    problem ?? routesProblem(spec, seen, rollout.state),
  );
  const patientUntil = patienceOf(model?.status, obstacle, now);
  const { paused } = requests;
  const { route } = endpoint;
  const context = { rollout, target, routed, paused, route, minReady: policy.minReady, now };
  const versionStatuses = new Map<ModelVersion, ModelVersionStatus>([
    ...[...seen.values()].map(
      (version) =>
        [version.observed.object, versionStatus(version, parts.get(version.version)!, context)] as const,
    ),
    ...duplicates.map(
      (twin) => [twin.object, duplicateStatus(twin, seen.get(twin.object.spec.version)!, now)] as const,
    ),
  ]);
  const status =
    model === undefined
      ? undefined
      : modelStatus(model, {
          observed,
          seen,
          rollout,
          target,
          leads,
          routed,
          rules,
          problem: obstacle,
          patientUntil,
          routers,
          endpoint,
          judgement,
          generation,
          now,
        });
  const workloads = workloadsOf(seen, parts, released);
  const objectOf = (version: string) => seen.get(version)?.observed.object;
  return {
    ...optional('implicit', implicitChange(observed)),
    workloads,
    released: [...released].map((version) => seen.get(version)!.observed.object),
    ...optional(
      'endpoint',
      model === undefined
        ? undefined
        : childrenOf(observed, endpoint, rollout.shares, generation, workloads, spec.pinning),
    ),
    ...optional('modelStatus', status),
    versionStatuses,
    events: [
      ...(model === undefined ? [] : rolloutEvents(model, rollout.events, objectOf)),
      ...(model === undefined ? [] : changeEvents(model, status?.conditions)),
      ...[...versionStatuses].flatMap(([version, { conditions }]) => changeEvents(version, conditions)),
    ],
    ...optional(
      'requeueAfterMs',
      soonest(rollout, parts, [patientUntil, ...endpoint.wakes], policy.bakeMs, now),
    ),
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

interface PartContext {
  readonly spec: Model['spec'];
  /** Versions that routes name. */
  readonly leads: ReadonlySet<string>;
  readonly bakeMs: number;
  /** Whether routers are told to send requests to it, or were the last time. */
  readonly hasTraffic: (version: string) => boolean;
  /** Whether every router follows them, and they stay. */
  readonly settled: boolean;
  readonly now: number;
}

function partsOf(
  seen: ReadonlyMap<string, Seen>,
  { state }: RolloutOutput,
  target: Target,
  { spec, leads, bakeMs, hasTraffic, settled, now }: PartContext,
): ReadonlyMap<string, Part> {
  const bakingUntil = (state.stableSince ?? Number.NEGATIVE_INFINITY) + bakeMs;
  return new Map(
    [...seen].map(([name, version]) => {
      const { status } = version.observed.object;
      const role = roleOf(version, state, target, leads, spec.retention, bakingUntil, now);
      const standing = {
        ...optional('idleSince', status?.idleSince === undefined ? undefined : Date.parse(status.idleSince)),
        running: (version.observed.deployment?.spec?.replicas ?? 0) > 0,
        mayHaveTraffic: !settled || hasTraffic(name),
      };
      return [name, partOf(role, standing, spec.retention, now)];
    }),
  );
}

/**
 * A version that has never run, or not for long, has no children. One that is blocked keeps those it has, as they are: what runs is
 * not taken down because a pool was renamed.
 */
function workloadsOf(
  seen: ReadonlyMap<string, Seen>,
  parts: ReadonlyMap<string, Part>,
  released: ReadonlySet<string>,
): Workload[] {
  return [...seen.values()].flatMap((version) => {
    const { runs } = parts.get(version.version)!;
    const { object, deployment } = version.observed;
    if (version.blocked !== undefined || (!runs && deployment === undefined)) return [];
    if (released.has(version.version)) return [];
    return {
      version: object,
      contentHash: version.contentHash,
      replicas: runs ? object.spec.replicas : 0,
      ...optional('pool', version.pool),
    };
  });
}

/** Nothing is written where something foreign stands, or where that is not known. */
function childrenOf(
  { foreign, port, gatewayRoutes }: ModelObserved,
  { wanted, routes: plans }: EndpointPlan,
  shares: readonly Share[],
  generation: number,
  workloads: readonly Workload[],
  pinning: Model['spec']['pinning'],
): EndpointChildren {
  const service = !wanted.has('router')
    ? 'none'
    : port === undefined || foreign.length > 0
      ? undefined
      : { port };
  return {
    ...optional('service', service),
    routes: new Map([...plans].filter(([kind]) => gatewayRoutes[kind].state === 'read')),
    obsolete: routeKinds.flatMap((kind) => {
      const { route } = gatewayRoutes[kind];
      return route === undefined || plans.has(kind) ? [] : [route];
    }),
    shares,
    generation,
    pinnable:
      pinning === 'disabled'
        ? []
        : workloads.filter(({ replicas }) => replicas > 0).map(({ version }) => version),
  };
}

function implicitChange({ model, versions }: ModelObserved): 'create' | 'delete' | undefined {
  if (model === undefined)
    return versions.some(({ object }) => !isTerminating(object)) ? 'create' : undefined;
  return model.metadata.labels?.[implicitLabel] === 'true' && versions.length === 0 ? 'delete' : undefined;
}

/** The next time at which something is due: in the rollout, at the end of the bake, or when a version is parked. */
function soonest(
  { wakeAt, state }: RolloutOutput,
  parts: ReadonlyMap<string, Part>,
  others: readonly (number | undefined)[],
  bakeMs: number,
  now: number,
): number | undefined {
  const baked = state.stableSince === undefined ? undefined : state.stableSince + bakeMs;
  const due = [wakeAt, baked, ...others, ...[...parts.values()].map((part) => part.parksAt)];
  const ahead = due.filter((at) => at !== undefined).filter((at) => at > now);
  return ahead.length === 0 ? undefined : Math.min(...ahead) - now;
}
