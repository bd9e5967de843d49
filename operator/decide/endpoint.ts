/**
 * Where clients reach a model: through the namespace's routers, through routes of the Gateway API, or, while the
 * provider is switched, through both. The new endpoint is ready before the old one goes, and the old one stays for a
 * while after that.
 */

import { type Condition, conditionOf, type Finding, no, yes } from '../api/conditions.ts';
import { milliseconds } from '../api/duration.ts';
import type { Model, ModelEndpoint, ModelStatus } from '../api/generated/model.ts';
import { optional } from '../api/optional.ts';
import {
  isReachable,
  isUnread,
  judgeRoutes,
  type RoutePlans,
  type RoutesObserved,
} from './gateway-routes.ts';
import type { RouterObserved } from './observed.ts';

export type Provider = ModelEndpoint['provider'];

/** What the routers of the namespace say about one model. */
export interface RouterFacts {
  /** Ready routers. */
  readonly total: number;
  /** Those that follow the generation published last, and reach all versions that it sends requests to. */
  readonly acked: number;
  /** A version that some follow and do not reach, though it has pods that are ready, and how many they are. */
  readonly unreached?: { readonly version: string; readonly routers: number };
  /** Whether one of them may have a pod to send requests to. */
  readonly reaching: boolean;
}

/** Which endpoints clients may use now. */
export interface Standing {
  /** The provider whose endpoint has been ready; absent before the first. */
  readonly serving?: Provider;
  /** The one before it, and until when its endpoint stays; milliseconds. */
  readonly former?: { readonly provider: Provider; readonly until: number };
}

/** What is known of one provider's endpoint. */
interface Sight {
  readonly route: Finding;
  /** Whether requests can come through it. */
  readonly reachable: boolean;
  /** Whether it is certain that none can. */
  readonly dead: boolean;
}

export type EndpointSight = Readonly<Record<Provider, Sight>>;

export interface EndpointPlan {
  /** Endpoints that there should be. */
  readonly wanted: ReadonlySet<Provider>;
  /** Routes that there should be. */
  readonly routes: RoutePlans;
  readonly standing: Standing;
  /** Of the endpoint that the spec wants: the condition `RouteReady`. */
  readonly route: Finding;
  /** Whether it needs a person: nothing has changed for longer than Gateways need. */
  readonly stuck: boolean;
  /** Whether clients can reach the model by any endpoint. */
  readonly reachable: boolean;
  /** Since when the endpoint is not ready for this reason; milliseconds. */
  readonly waitingSince?: number;
  /** When something is due though nothing happens; milliseconds since the epoch. */
  readonly wakes: readonly number[];
}

/**
 * Which endpoints clients may be using. A Model of a release that knew no others had a router. A `keepFormer` that has
 * become shorter counts from now on.
 */
export function standingOf(
  status: ModelStatus | undefined,
  { keepFormer }: ModelEndpoint,
  now: number,
): Standing {
  if (status === undefined) return {};
  const { provider = 'router', former, formerUntil } = status.endpoint ?? {};
  const until =
    formerUntil === undefined ? 0 : Math.min(Date.parse(formerUntil), now + milliseconds(keepFormer));
  const stays = former !== undefined && former !== provider && now < until;
  return { serving: provider, ...optional('former', stays ? { provider: former, until } : undefined) };
}

/** Whether the Model has, or is to have, an endpoint at the routers of its namespace. */
export const usesRouter = ({ spec, status }: Pick<Model, 'spec' | 'status'>): boolean =>
  spec.endpoint.provider === 'router' ||
  status?.endpoint?.former === 'router' ||
  (status !== undefined && (status.endpoint?.provider ?? 'router') === 'router');

/**
 * Routers learn of shares and of pods by different ways, and pods come late where EndpointSlices do. Until a router knows
 * a pod of every version that has some, requests that are meant for that version go elsewhere, or are lost.
 *
 * @param inUse versions that the generation sends requests to, and that have pods that are ready
 */
export function followersOf(
  routers: readonly RouterObserved[],
  generation: number,
  inUse: readonly string[],
): RouterFacts {
  const spoken = routers.flatMap(({ following }) => following ?? []);
  const follow = spoken.filter((following) => following.generation === generation);
  const blindTo = (version: string) => follow.filter(({ reaches }) => !reaches.has(version)).length;
  const version = inUse.find((each) => blindTo(each) > 0);
  return {
    total: routers.length,
    acked: follow.filter(({ reaches }) => inUse.every((each) => reaches.has(each))).length,
    ...optional('unreached', version === undefined ? undefined : { version, routers: blindTo(version) }),
    // Of what routers do that have not spoken, after a restart of the operator say, only they know.
    reaching:
      routers.length > 0 &&
      (spoken.length === 0 ||
        spoken.some((following) => following.generation > 0 && following.reaches.size > 0)),
  };
}

/** Looks at both endpoints, as far as they follow the shares of a generation. */
export function seeEndpoints(
  plans: RoutePlans,
  observed: RoutesObserved,
  { total, acked, unreached, reaching }: RouterFacts,
  generation: number,
): EndpointSight {
  const router =
    total === 0
      ? no('NoRouters', 'no router is ready')
      : acked < total
        ? no(
            'RoutersPending',
            `${acked} of ${total} routers follow${unreached === undefined ? '' : `; ${unreached.routers} know no pod of ${unreached.version} yet`}`,
          )
        : yes('Serving', `all ${total} routers follow`);
  const gateways = isReachable(plans, observed);
  return {
    router: { route: router, reachable: reaching, dead: total === 0 },
    gateway: {
      route: judgeRoutes(plans, observed, generation),
      reachable: gateways,
      dead: !gateways && !isUnread(observed),
    },
  };
}

/**
 * The first of the endpoints that does not follow, though requests may come through it. One that is not the present one
 * is not waited for when it is dead: it would hold up every rollout for as long as it is kept.
 */
export function laggardOf(
  sight: EndpointSight,
  { serving, former }: Standing,
  { provider }: ModelEndpoint,
  wanted?: ReadonlySet<Provider>,
): Provider | undefined {
  const present = serving ?? provider;
  const used = wanted ?? [present, ...(former === undefined ? [] : [former.provider])];
  return [...used].find(
    (each) => sight[each].route.status !== 'True' && (each === present || !sight[each].dead),
  );
}

/** How long Gateways may take before somebody should look: to see a route at all, or to be content with it. */
const patienceMs = { RoutePending: 60_000, other: 10_000 } as const;

/** Which endpoints there should be. */
export function planEndpoint(
  endpoint: ModelEndpoint,
  plans: RoutePlans,
  standing: Standing,
  sight: EndpointSight,
  status: ModelStatus | undefined,
  now: number,
): EndpointPlan {
  const { provider, keepFormer } = endpoint;
  const { route } = sight[provider];
  const next = follow(standing, provider, route.status === 'True', now + milliseconds(keepFormer));
  const { serving, former } = next;
  const used: readonly Provider[] = [serving, ...(former === undefined ? [] : [former.provider])];
  const wait = provider === 'gateway' && route.status !== 'True' ? waitOf(route, status, now) : undefined;
  const stuck = wait !== undefined && now >= wait.until;
  const wanted = new Set([provider, ...used]);
  return {
    wanted,
    routes: wanted.has('gateway') ? plans : new Map(),
    standing: next,
    route: stuck && route.reason === 'RoutePending' ? { ...route, reason: 'RouteNotObserved' } : route,
    stuck,
    reachable: used.some((each) => sight[each].reachable),
    ...optional('waitingSince', wait?.since),
    wakes: [former?.until, wait?.until].filter((at) => at !== undefined),
  };
}

/** A provider takes over when its endpoint is ready, or when there was none before it. */
function follow(
  { serving, former }: Standing,
  provider: Provider,
  ready: boolean,
  until: number,
): Standing & { readonly serving: Provider } {
  if (serving === undefined) return { serving: provider };
  if (serving === provider || !ready) return { serving, ...optional('former', former) };
  return { serving: provider, former: { provider: serving, until } };
}

/** Since when the endpoint waits for this reason, and until when that is nothing to worry about. */
function waitOf(
  { reason }: Finding,
  status: ModelStatus | undefined,
  now: number,
): { readonly since: number; readonly until: number } {
  const before: Condition | undefined = conditionOf(status?.conditions, 'RouteReady');
  const known = status?.endpoint?.waitingSince;
  const same =
    before?.reason === reason || (before?.reason === 'RouteNotObserved' && reason === 'RoutePending');
  const since = same && known !== undefined ? Date.parse(known) : now;
  return { since, until: since + (reason === 'RoutePending' ? patienceMs.RoutePending : patienceMs.other) };
}

/** The plan as it is remembered; nothing while there has only been the router. */
export function endpointStatus({ standing, waitingSince }: EndpointPlan): ModelStatus['endpoint'] {
  const { serving, former } = standing;
  if (serving === undefined) return undefined;
  if (serving === 'router' && former === undefined && waitingSince === undefined) return undefined;
  return {
    provider: serving,
    ...optional('former', former?.provider),
    ...optional('formerUntil', former === undefined ? undefined : new Date(former.until).toISOString()),
    ...optional(
      'waitingSince',
      waitingSince === undefined ? undefined : new Date(waitingSince).toISOString(),
    ),
  };
}
