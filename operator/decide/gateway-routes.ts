/** What the routes of the Gateway API say of themselves: whether every parent follows, or the first thing in the way. */

import { trafficAnnotation } from '../api/annotations.ts';
import { type Finding, no, yes } from '../api/conditions.ts';
import {
  type ParentRef,
  parentText,
  type Route,
  type RouteKind,
  type RouteParentStatus,
  routeKinds,
  sameParent,
} from '../api/gateway.ts';
import type { ModelEndpoint } from '../api/generated/model.ts';
import type { StatusCondition } from '../api/kubernetes.ts';
import { optional } from '../api/optional.ts';

/** One kind of route, as far as it concerns one Model. */
export interface RouteObserved {
  /**
   * `missing`: the cluster does not have the kind. `unread`: that, or what there is of it, is not known yet. `foreign`:
   * a route of the Model's name belongs to somebody else.
   */
  readonly state: 'missing' | 'unread' | 'foreign' | 'read';
  /** The Model's own route. */
  readonly route?: Route;
  /** What the API server said when it refused the route the last time. */
  readonly rejected?: string;
}

export type RoutesObserved = Readonly<Record<RouteKind, RouteObserved>>;

/** What a route is, but for where its requests go. */
export interface RoutePlan {
  readonly parentRefs: readonly ParentRef[];
  readonly hostnames?: readonly string[];
  /** Whether answers are to say which version gave them. */
  readonly responseHeader: boolean;
}

export type RoutePlans = ReadonlyMap<RouteKind, RoutePlan>;

/**
 * The routes that the spec asks for. When it asks for none any more, those that are there go on as they are until
 * their time is over.
 */
export function planRoutes({ gateway }: ModelEndpoint, observed: RoutesObserved): RoutePlans {
  const specs = { HTTPRoute: gateway?.httpRoute, GRPCRoute: gateway?.grpcRoute };
  const planned = routeKinds.map((kind): readonly [RouteKind, RoutePlan | undefined] => {
    const wanted = specs[kind];
    if (gateway === undefined) return [kind, planOf(observed[kind].route)];
    if (wanted === undefined) return [kind, undefined];
    const { parentRefs, hostnames } = wanted;
    const { responseHeader } = gateway;
    return [kind, { parentRefs, ...optional('hostnames', hostnames), responseHeader }];
  });
  return new Map(planned.flatMap(([kind, plan]) => (plan === undefined ? [] : [[kind, plan] as const])));
}

function planOf(route: Route | undefined): RoutePlan | undefined {
  const { parentRefs, hostnames, rules = [] } = route?.spec ?? {};
  if (parentRefs === undefined) return undefined;
  const filtered = rules.some(({ backendRefs = [] }) =>
    backendRefs.some(({ filters = [] }) => filters.length > 0),
  );
  return { parentRefs, ...optional('hostnames', hostnames), responseHeader: filtered };
}

/**
 * Whether all routes are followed. A parent follows when it has accepted the route, as it is now, and has resolved
 * all that it refers to; the route must carry the shares of `generation`.
 */
export function judgeRoutes(plans: RoutePlans, observed: RoutesObserved, generation: number): Finding {
  if (plans.size === 0 && isUnread(observed)) return no('RoutePending', 'routes are being read');
  const findings = [...plans].map(([kind, plan]) =>
    judgeRoute(kind, plan.parentRefs, observed[kind], generation),
  );
  // Of several obstacles, one that waiting may remove comes last.
  const obstacles = findings.filter(({ status }) => status !== 'True');
  const worst = obstacles.find(({ reason }) => reason !== 'RoutePending') ?? obstacles[0];
  return worst ?? yes('Serving', `all parents of ${[...plans.keys()].join(' and ')} follow`);
}

function judgeRoute(
  kind: RouteKind,
  parents: readonly ParentRef[],
  { state, route, rejected }: RouteObserved,
  generation: number,
): Finding {
  if (state === 'unread') return no('RoutePending', `${kind}: is being read`);
  if (state === 'missing') return missing(kind);
  if (state === 'foreign') return no('ChildConflict', `${kind}: one of this name belongs to somebody else`);
  if (rejected !== undefined) return no('RouteRejected', `${kind}: ${rejected}`);
  const written = no('RoutePending', `${kind}: is being written`);
  if (route === undefined) return written;
  const findings = parents.map((parent) => judgeParent(kind, parent, route));
  const refused = findings.find(({ status, reason }) => status !== 'True' && reason !== 'RoutePending');
  if (refused !== undefined) return refused;
  if (route.metadata.annotations?.[trafficAnnotation] !== String(generation)) return written;
  return findings.find(({ status }) => status !== 'True') ?? yes('Serving', `all parents of ${kind} follow`);
}

const missing = (kind: RouteKind): Finding =>
  kind === 'HTTPRoute'
    ? no(
        'GatewayAPIMissing',
        'the cluster has no HTTPRoute of gateway.networking.k8s.io/v1, or gatewayApi.enabled of the chart is off',
      )
    : no(
        'GRPCRouteMissing',
        'the cluster has no GRPCRoute of gateway.networking.k8s.io/v1, or gatewayApi.enabled of the chart is off',
      );

function judgeParent(kind: RouteKind, parent: ParentRef, route: Route): Finding {
  const who = `${kind}: ${parentText(parent)}`;
  const statuses = statusesOf(parent, route);
  if (statuses.length === 0) return no('RoutePending', `${who} has not looked at the route`);
  for (const status of statuses) {
    for (const [type, reason] of [
      ['Accepted', 'RouteNotAccepted'],
      ['ResolvedRefs', 'RouteRefsNotResolved'],
    ] as const) {
      const said = current(status, type, route);
      if (said === undefined || said.status === 'Unknown') {
        const why = said?.message ? `: ${said.message}` : '';
        return no('RoutePending', `${who} has not looked at the route as it is now${why}`);
      }
      if (said.status !== 'True') {
        return no(
          reason,
          `${who}: ${[said.reason, said.message].filter((part) => part).join(': ') || `${type} is false`}`,
        );
      }
    }
  }
  return yes('Serving', `${who} follows`);
}

/** Several controllers may speak of one parent. */
const statusesOf = (parent: ParentRef, route: Route): readonly RouteParentStatus[] =>
  (route.status?.parents ?? []).filter(({ parentRef }) =>
    sameParent(parentRef, parent, route.metadata.namespace ?? ''),
  );

/** A condition, if it speaks of the route as it is now. */
const current = (
  { conditions = [] }: RouteParentStatus,
  type: string,
  { metadata }: Route,
): StatusCondition | undefined =>
  conditions.find(
    (condition) => condition.type === type && condition.observedGeneration === (metadata.generation ?? 0),
  );

/** Whether it is not known yet which routes there are. */
export const isUnread = (observed: RoutesObserved): boolean =>
  Object.values(observed).some(({ state }) => state === 'unread');

/** Whether requests can come through a route: a parent has accepted one, if only as it was before. */
export function isReachable(plans: RoutePlans, observed: RoutesObserved): boolean {
  return [...plans].some(([kind, { parentRefs }]) => {
    const { route } = observed[kind];
    if (route === undefined) return false;
    const conditions = parentRefs
      .flatMap((parent) => statusesOf(parent, route))
      .flatMap((status) => status.conditions ?? []);
    return conditions.some(({ type, status }) => type === 'Accepted' && status === 'True');
  });
}
