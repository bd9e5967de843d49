/** What a model and its versions consist of: which versions run, which go, and what an endpoint is made of. */

import { type Route, routeKinds } from '../api/gateway.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import { optional } from '../api/optional.ts';
import type { RoutePlans } from './gateway-routes.ts';
import type { ModelObserved } from './observed.ts';
import { makeRoom, type Room, type Tenant } from './places.ts';
import { gaveWayOf, hasPart, needOf, type Part, partOf, releasable, roleOf } from './roles.ts';
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
  return { ...room, released, workloads: workloadsOf(seen, parts, released, traffic.rollout.replicas) };
}

function tenantsOf(
  seen: ReadonlyMap<string, Seen>,
  { rollout: { state, lent }, target, leads, policy, hasTraffic, settled }: TrafficDecision,
  { retention }: ModelSpec,
  now: number,
): Tenant[] {
  const bakingUntil = (state.stableSince ?? Number.NEGATIVE_INFINITY) + policy.bakeMs;
  const needs = (name: string) => needOf(name, state, bakingUntil, now);
  const roles = new Map(
    [...seen].map(([name, facts]) => [name, roleOf(facts, state, target, leads, retention, needs(name))]),
  );
  /** Whether a version has the room that was made for it, or a claim to it. */
  const uses = (name: string): boolean => {
    const { held = 0, leaving = 0 } = seen.get(name)?.places ?? {};
    const role = roles.get(name);
    return held + leaving > 0 || (role !== undefined && hasPart(role)) || needs(name) !== undefined;
  };
  return [...seen].map(([name, facts]) => {
    const { status } = facts.observed.object;
    const gaveWay = lent?.version === name ? lent.gaveWay : gaveWayOf(status);
    const standing = {
      ...optional('idleSince', status?.idleSince === undefined ? undefined : Date.parse(status.idleSince)),
      running: (facts.observed.deployment?.spec?.replicas ?? 0) > 0,
      mayHaveTraffic: !settled || hasTraffic(name),
      ...optional('needed', needs(name)),
      ...optional('gaveWay', gaveWay !== undefined && uses(gaveWay.to) ? gaveWay : undefined),
    };
    const free = !standing.mayHaveTraffic && facts.blocked === undefined;
    const part = partOf(roles.get(name)!, standing, retention, now);
    // What stable gives up is for its successor, not for the version before it.
    const isRival = part.needed === 'trouble' && state.candidate?.swap !== undefined;
    return { facts, part: isRival ? withPods(part, facts.places.held) : part, free };
  });
}

/** The same part with the pods that have a place. */
const withPods = (part: Part, held: number): Part =>
  held > 0 ? { ...part, pods: held } : { ...part, runs: false };

/**
 * A version that has never run, or not for long, has no children. One that is blocked keeps those it has, as they are: what runs is
 * not taken down because a pool was renamed.
 *
 * @param swapped pods of the versions between which places change hands
 */
function workloadsOf(
  seen: ReadonlyMap<string, Seen>,
  parts: ReadonlyMap<string, Part>,
  released: ReadonlySet<string>,
  swapped: ReadonlyMap<string, number>,
): Workload[] {
  return [...seen.values()].flatMap((version) => {
    const { runs, pods } = parts.get(version.version)!;
    const { object, deployment } = version.observed;
    if (version.blocked !== undefined || (!runs && deployment === undefined)) return [];
    if (released.has(version.version)) return [];
    const { replicas } = object.spec;
    return {
      version: object,
      contentHash: version.contentHash,
      replicas: runs ? Math.min(replicas, pods ?? replicas, swapped.get(version.version) ?? replicas) : 0,
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
