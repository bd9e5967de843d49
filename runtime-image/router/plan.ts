/** PURE: from what Kubernetes says to what HAProxy shall do. */
import { routerPorts } from '#contract';
import { isAddress, isLimit, isPort, isVersion } from './names.ts';
import { admitPolicy, isEmpty } from './policy.ts';
import { layOut } from './split.ts';
import {
  type Busy,
  type EndpointInput,
  type Inputs,
  type ModelInput,
  placeKey,
  type Route,
  type Server,
  type Slot,
  type State,
  smallestPool,
} from './state.ts';

/** A fallback beyond these would cost one more pass through the router each. */
const mostFallbacks = 3;

export interface Planned {
  readonly state: State;
  /** What was left out, and why, for the log. */
  readonly problems: readonly string[];
}

/**
 * @param inputs what the API says now
 * @param previous the state that HAProxy has, so that slots and layouts stay where they are
 * @param busy what is not given away yet
 */
export function plan(inputs: Inputs, previous: State, busy: Busy): Planned {
  const problems: string[] = [];
  const models = admit(inputs.models, previous, problems);
  const endpoints = inputs.endpoints.filter((endpoint) => {
    const fine = isVersion(endpoint.version) && isAddress(endpoint.address);
    if (!fine) problems.push(`endpoint of ${quote(endpoint.model)} with an unusable version or address`);
    return fine;
  });
  const known = Map.groupBy(endpoints, (endpoint) => endpoint.model);
  const usable = usableOf(known);

  const wanted = models.flatMap((model) =>
    versionsOf(model, known.get(model.name) ?? []).map((version) => ({
      model: model.name,
      uid: model.uid,
      version,
    })),
  );
  const { slots, pool, cursor } = assign(wanted, previous, busy.slots);
  const slotOf = new Map(slots.map((slot) => [`${slot.uid}/${slot.version}`, slot.slot]));

  const servers: Server[] = [];
  const routes: Route[] = [];
  for (const model of models) {
    const ready = usable.get(model.name) ?? [];
    for (const endpoint of ready)
      servers.push(...serversOf(endpoint, slotOf.get(`${model.uid}/${endpoint.version}`)!));
    routes.push(routeOf(model, ready, slotOf, previous));
  }
  const placed = placeAll(dedupe(servers), previous, busy.places);
  // Like the pool it only grows: to look at queues costs less than a reload each time that the last limit goes.
  const limited = previous.limited || servers.some((server) => server.limit !== undefined);
  return { state: { pool, limited, cursor, routes, slots, ...placed }, problems };
}

/**
 * Gives every gRPC server one of the places of its backend: the one it has; else one that rests; else one whose
 * former pod still answers what it has begun, which a new address does not disturb. HAProxy 2.6 sends only one
 * stream over a connection to a server that was added at run time, so gRPC servers are prepared instead.
 */
function placeAll(
  servers: readonly Server[],
  previous: State,
  busy: ReadonlySet<string>,
): Pick<State, 'places' | 'servers'> {
  const id = ({ slot, address, port }: Server) => `${slot} ${address} ${port}`;
  const grpc = servers.filter((server) => server.kind === 'grpc');
  const counts = [...Map.groupBy(grpc, (server) => server.slot).values()].map((its) => its.length);
  const most = Math.max(0, ...counts);
  const places = Math.max(previous.places, 2 ** Math.ceil(Math.log2(Math.max(1, most))));

  const before = previous.servers.filter((server) => server.place !== undefined);
  const staying = new Set(grpc.map(id));
  const held = new Map(
    before.filter((server) => staying.has(id(server))).map((server) => [id(server), server.place!]),
  );
  const taken = new Set(before.filter((server) => held.has(id(server))).map(keyOf));
  const recent = new Set([...busy, ...before.map(keyOf)]);
  const free = (slot: number) => {
    const all = Array.from({ length: places }, (_, index) => index + 1);
    const open = all.filter((place) => !taken.has(placeKey(slot, place)));
    return open.find((place) => !recent.has(placeKey(slot, place))) ?? open[0]!;
  };
  const placed = servers.map((server) => {
    if (server.kind !== 'grpc') return server;
    const place = held.get(id(server)) ?? free(server.slot);
    taken.add(placeKey(server.slot, place));
    return { ...server, place };
  });
  return { places, servers: placed };
}

function keyOf({ slot, place }: Server): string {
  return placeKey(slot, place!);
}

/** Leaves out models that cannot be routed. Of two that claim a port, the one that has it keeps it. */
function admit(models: readonly ModelInput[], previous: State, problems: string[]): ModelInput[] {
  const holders = new Map(previous.routes.map((route) => [route.port, route.uid]));
  const byPort = new Map<number, ModelInput>();
  const inOrder = [...models].sort((a, b) => (a.uid < b.uid ? -1 : 1));
  for (const model of inOrder) {
    const last = routerPorts.firstModel + routerPorts.maxModels - 1;
    if (!isPort(model.port) || model.port < routerPorts.firstModel || model.port > last) {
      problems.push(
        `model ${quote(model.name)} has port ${model.port}, outside of ${routerPorts.firstModel}..${last}`,
      );
      continue;
    }
    const rival = byPort.get(model.port);
    if (rival && holders.get(model.port) !== model.uid) {
      problems.push(`model ${quote(model.name)} has the port of ${quote(rival.name)}`);
      continue;
    }
    if (rival) problems.push(`model ${quote(rival.name)} has the port of ${quote(model.name)}`);
    const traffic = model.traffic.filter((entry) => isVersion(entry.version));
    if (traffic.length < model.traffic.length)
      problems.push(`model ${quote(model.name)} routes to an unusable version`);
    byPort.set(model.port, { ...model, traffic, ...admittedPolicy(model, problems) });
  }
  return [...byPort.values()];
}

function admittedPolicy(model: ModelInput, problems: string[]): Pick<ModelInput, 'policy'> {
  if (!model.policy) return {};
  const { policy, problems: its } = admitPolicy(model.policy);
  problems.push(...its.map((problem) => `model ${quote(model.name)}: ${problem}`));
  return { policy };
}

/** Ready pods per model; when there is none at all, those that are terminating but still answer. */
function usableOf(
  known: ReadonlyMap<string, readonly EndpointInput[]>,
): Map<string, readonly EndpointInput[]> {
  return new Map(
    [...known].map(([model, its]) => {
      const ready = its.filter((endpoint) => endpoint.state === 'ready');
      return [model, ready.length > 0 ? ready : its];
    }),
  );
}

/** Stable first, then as the status lists them, then those that only have pods: the order of the layout. */
function versionsOf(model: ModelInput, endpoints: readonly EndpointInput[]): string[] {
  const own = endpoints.map((endpoint) => endpoint.version);
  const stable = isVersion(model.stable) ? [model.stable] : [];
  return [...new Set([...stable, ...model.traffic.map((entry) => entry.version), ...own.sort()])];
}

function assign(wanted: readonly Omit<Slot, 'slot'>[], previous: State, busy: ReadonlySet<number>) {
  const held = new Map(previous.slots.map((slot) => [`${slot.uid}/${slot.version}`, slot]));
  // A slot that is set free by this very plan rests for one: commands of one change never meet in a slot.
  const taken = new Set([...busy, ...previous.slots.map((slot) => slot.slot)]);
  const newcomers = wanted.filter((slot) => !held.has(`${slot.uid}/${slot.version}`)).length;
  let { pool, cursor } = previous;
  if (taken.size + newcomers > pool) {
    pool = Math.max(smallestPool, 2 ** Math.ceil(Math.log2((taken.size + newcomers) * 1.25)));
    cursor = previous.pool + 1;
  }
  const next = () => {
    while (taken.has(cursor) || cursor > pool) cursor = cursor >= pool ? 1 : cursor + 1;
    taken.add(cursor);
    return cursor;
  };
  const slots = wanted.map((slot) => held.get(`${slot.uid}/${slot.version}`) ?? { slot: next(), ...slot });
  return { slots, pool, cursor };
}

function serversOf({ address, ports, targetConcurrency }: EndpointInput, slot: number): Server[] {
  const { http, grpc } = ports;
  const more = {
    ...(isPort(http) ? { checkPort: http } : {}),
    ...(isLimit(targetConcurrency) ? { limit: targetConcurrency } : {}),
  };
  const servers: Server[] = [];
  if (isPort(http)) servers.push({ slot, kind: 'http', address, port: http, ...more });
  if (isPort(grpc)) servers.push({ slot, kind: 'grpc', address, port: grpc, ...more });
  return servers;
}

/** During the hand-over from one slice to the next an endpoint can be in both. */
function dedupe(servers: readonly Server[]): Server[] {
  return [
    ...new Map(servers.map((one) => [`${one.slot} ${one.kind} ${one.address} ${one.port}`, one])).values(),
  ];
}

/**
 * Model and endpoints come by different ways, so the status can name a version whose pods are not known here yet. Until
 * one of them is, those go on that answered before, under the generation that told of them.
 */
function routeOf(
  model: ModelInput,
  ready: readonly EndpointInput[],
  slotOf: ReadonlyMap<string, number>,
  previous: State,
): Route {
  const slot = (version: string) => slotOf.get(`${model.uid}/${version}`)!;
  const weights = new Map(model.traffic.map((entry) => [entry.version, entry.weight]));
  const order = [...new Set([...(isVersion(model.stable) ? [model.stable] : []), ...weights.keys()])];
  const rank = (version: string) => (version === model.stable ? Infinity : (weights.get(version) ?? 0));
  const shares = layOut(order.map((version) => ({ of: slot(version), weight: weights.get(version) ?? 0 })));

  // Only what the status lists may answer: a version that it leaves out was not found fit for traffic, or failed.
  const alive = new Set(ready.map((endpoint) => endpoint.version));
  const fallbacks = order
    .filter((version) => alive.has(version))
    .sort((a, b) => rank(b) - rank(a))
    .slice(0, mostFallbacks)
    .map(slot);

  const before = previous.routes.find((route) => route.port === model.port);
  const former = before?.uid === model.uid ? before : undefined;
  if (former && fallbacks.length === 0 && model.traffic.some((entry) => entry.weight > 0)) {
    const answering = new Set([...alive].map(slot));
    const heirs = former.fallbacks.filter((one) => answering.has(one));
    const known = new Set(slotOf.values());
    const inUse = [...former.shares.map((share) => share.of), ...(former.routed ?? [])];
    if (heirs.length > 0 && inUse.every((one) => known.has(one))) return { ...former, fallbacks: heirs };
  }

  const { policy } = model;
  const leads = new Set((policy?.routes ?? []).map((route) => route.version));
  const routed = [...new Set(model.routed ?? [])].filter(
    (version) => leads.has(version) && alive.has(version),
  );

  const same = before && JSON.stringify(before.shares) === JSON.stringify(shares);
  const half = before === undefined ? 0 : same ? before.half : before.half === 0 ? 1 : 0;
  return {
    name: model.name,
    uid: model.uid,
    port: model.port,
    generation: model.generation,
    half,
    shares,
    fallbacks,
    ...(policy && !isEmpty(policy) ? { policy } : {}),
    ...(routed.length > 0 ? { routed: routed.map(slot) } : {}),
  };
}

function quote(text: string): string {
  return JSON.stringify(text);
}
