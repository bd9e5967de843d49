/** What a model and its versions consist of: which versions run, which go, and what an endpoint is made of. */

import { type Route, routeKinds } from '../api/gateway.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import { optional } from '../api/optional.ts';
import type { RoutePlans } from './gateway-routes.ts';
import type { ModelObserved } from './observed.ts';
import { makeRoom, type Room, type Tenant } from './places.ts';
import { isNeeded, type Part, partOf, releasable, roleOf } from './roles.ts';
import type { Seen } from './see.ts';
import type { Share } from './shares.ts';
import type { TrafficDecision } from './traffic.ts';

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

export interface ChildrenDecision extends Room {
  /** Versions whose Deployment and Service are to go. */
  readonly released: ReadonlySet<string>;
  readonly workloads: readonly Workload[];
}

export function decideChildren(
  seen: ReadonlyMap<string, Seen>,
  traffic: TrafficDecision,
  spec: ModelSpec,
  now: number,
): ChildrenDecision {
  const room = makeRoom(tenantsOf(seen, traffic, spec, now), now);
  const { parts } = room;
  const released = releasable(
    [...parts]
      .filter(([version]) => seen.get(version)!.blocked === undefined)
      .map(([version, part]) => [version, part, seen.get(version)!.observed.pods.length]),
    spec.retention.keep,
  );
  return { ...room, released, workloads: workloadsOf(seen, parts, released) };
}

function tenantsOf(
  seen: ReadonlyMap<string, Seen>,
  { rollout: { state }, target, leads, policy, hasTraffic, settled }: TrafficDecision,
  { retention }: ModelSpec,
  now: number,
): Tenant[] {
  const bakingUntil = (state.stableSince ?? Number.NEGATIVE_INFINITY) + policy.bakeMs;
  return [...seen].map(([name, facts]) => {
    const { status } = facts.observed.object;
    const needed = isNeeded(name, state, bakingUntil, now);
    const role = roleOf(facts, state, target, leads, retention, needed);
    const standing = {
      ...optional('idleSince', status?.idleSince === undefined ? undefined : Date.parse(status.idleSince)),
      running: (facts.observed.deployment?.spec?.replicas ?? 0) > 0,
      mayHaveTraffic: !settled || hasTraffic(name),
      needed,
      ...optional(
        'gaveWay',
        status?.gaveWay === undefined ? undefined : { ...status.gaveWay, at: Date.parse(status.gaveWay.at) },
      ),
    };
    const free = !standing.mayHaveTraffic && facts.blocked === undefined;
    return { facts, part: partOf(role, standing, retention, now), free };
  });
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
export function endpointChildren(
  { foreign, port, gatewayRoutes }: ModelObserved,
  { endpoint: { wanted, routes: plans }, rollout: { shares }, generation }: TrafficDecision,
  workloads: readonly Workload[],
  pinning: ModelSpec['pinning'],
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
