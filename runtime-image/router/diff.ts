/**
 * PURE: the commands that take a running HAProxy from one state to another without losing a request: first what
 * is new and unseen (servers, shares in the unused half), then one atomic switch per model, then what is no longer used.
 */
import { checkIntervalMs, files, serverOptions, serverPath } from './config.ts';
import {
  type Entries,
  fallbackEntries,
  type MapFile,
  pinEntries,
  portEntries,
  routeEntries,
  slotNames,
  splitEntries,
} from './maps.ts';
import type { Route, Server, State } from './state.ts';

export type Step =
  /** A pod enters rotation. */
  | {
      readonly do: 'add-server';
      readonly path: string;
      readonly options: string;
      readonly checked: boolean;
      readonly limit: number | undefined;
    }
  /** A pod enters rotation in a place that was prepared. */
  | {
      readonly do: 'place-server';
      readonly path: string;
      readonly address: string;
      readonly port: number;
      readonly checkPort: number | undefined;
      readonly limit: number | undefined;
    }
  /** A pod gets another number of requests at the same time. */
  | { readonly do: 'limit-server'; readonly path: string; readonly limit: number | undefined }
  /** A pod gets no new requests; it is forgotten once it has answered those in flight. */
  | {
      readonly do: 'retire-server';
      readonly path: string;
      readonly slot: number;
      readonly place: number | undefined;
    }
  | {
      readonly do: 'add-entries';
      readonly map: MapFile;
      readonly entries: readonly (readonly [string, string])[];
    }
  | { readonly do: 'set-entry'; readonly map: MapFile; readonly key: string; readonly value: string }
  | { readonly do: 'delete-entries'; readonly map: MapFile; readonly keys: readonly string[] };

/** Undefined: the states differ in what only the configuration says, and HAProxy has to be reloaded. */
export function diff(from: State, to: State): readonly Step[] | undefined {
  if (from.pool !== to.pool || from.places !== to.places || from.limited !== to.limited) return undefined;
  if (rulesOf(from) !== rulesOf(to)) return undefined;
  const before = new Map(from.servers.map((server) => [identity(server), server]));
  const after = new Map(to.servers.map((server) => [identity(server), server]));
  const arriving: Server[] = [];
  const changed: Server[] = [];
  for (const [key, server] of after) {
    const known = before.get(key);
    if (known === undefined) arriving.push(server);
    else if (known.limit !== server.limit) changed.push(server);
  }
  const leaving = [...before].filter(([key]) => !after.has(key)).map(([, server]) => server);
  // In a place, one pod can follow another; what was added under an address cannot change its options.
  const arrivingPaths = new Map(arriving.map((server) => [serverPath(server), server.place !== undefined]));
  if (leaving.some((server) => arrivingPaths.get(serverPath(server)) === false)) return undefined;
  const pins = changes(pinEntries(from), pinEntries(to));
  const fallbacks = changes(fallbackEntries(from), fallbackEntries(to));
  const ports = changes(portEntries(from), portEntries(to));
  const routed = changes(routeEntries(from), routeEntries(to));
  const oldRoutes = new Map(from.routes.map((route) => [route.port, route]));
  const newRoutes = new Map(to.routes.map((route) => [route.port, route]));
  const relaid = to.routes.filter((route) => !sameLayout(oldRoutes.get(route.port), route));
  const abandoned = from.routes.filter((route) => !sameLayout(newRoutes.get(route.port), route));
  const names = slotNames(to);
  const oldNames = slotNames(from);
  const checkMs = checkIntervalMs(to.servers.length);
  return [
    ...arriving.map((server) => addServer(server, checkMs)),
    ...changed.map((server): Step => ({ do: 'limit-server', path: serverPath(server), limit: server.limit })),
    ...addEntries(
      files.split,
      relaid.flatMap((route) => [...splitEntries(route, names)]),
    ),
    ...put(files.ports, ports),
    ...put(files.fallbacks, fallbacks),
    ...put(files.pins, pins),
    ...put(files.routes, routed),
    ...remove(files.routes, routed.gone),
    ...remove(files.pins, pins.gone),
    ...remove(files.fallbacks, fallbacks.gone),
    ...remove(files.ports, ports.gone),
    ...remove(
      files.split,
      abandoned.flatMap((route) => [...splitEntries(route, oldNames).keys()]),
    ),
    ...leaving
      .filter((server) => !arrivingPaths.has(serverPath(server)))
      .map(
        (server): Step => ({
          do: 'retire-server',
          path: serverPath(server),
          slot: server.slot,
          place: server.place,
        }),
      ),
  ];
}

/** What frontends of Models consist of. */
function rulesOf({ routes }: State): string {
  const own = routes.filter((route) => route.policy !== undefined).sort((a, b) => a.port - b.port);
  return JSON.stringify(own.map(({ port, name, policy }) => [port, name, policy]));
}

/** A server whose check port changed is another server, though its path is the same: that takes a reload. */
function identity({ slot, kind, place, address, port, checkPort }: Server): string {
  // Limits can be changed, and how often it is checked stays as it was when it came. Short: there may be thousands.
  return `${slot} ${kind} ${place} ${address} ${port} ${checkPort}`;
}

function addServer(server: Server, checkMs: number): Step {
  if (server.place !== undefined)
    return {
      do: 'place-server',
      path: serverPath(server),
      address: server.address,
      port: server.port,
      checkPort: server.checkPort,
      limit: server.limit,
    };
  return {
    do: 'add-server',
    path: serverPath(server),
    options: serverOptions(server, checkMs),
    checked: server.checkPort !== undefined,
    limit: server.limit,
  };
}

/** Same keys, same shares. A model that was re-created in place has the old one's layout only if both agree. */
function sameLayout(a: Route | undefined, b: Route | undefined): boolean {
  if (!a || !b) return false;
  return a.half === b.half && JSON.stringify(a.shares) === JSON.stringify(b.shares);
}

interface Changes {
  readonly added: readonly (readonly [string, string])[];
  readonly changed: readonly (readonly [string, string])[];
  readonly gone: readonly string[];
}

function changes(before: Entries, after: Entries): Changes {
  const entries = [...after];
  return {
    added: entries.filter(([key]) => !before.has(key)),
    changed: entries.filter(([key, value]) => before.has(key) && before.get(key) !== value),
    gone: [...before.keys()].filter((key) => !after.has(key)),
  };
}

function put(map: MapFile, { added, changed }: Changes): Step[] {
  return [
    ...addEntries(map, added),
    ...changed.map(([key, value]): Step => ({ do: 'set-entry', map, key, value })),
  ];
}

function addEntries(map: MapFile, entries: readonly (readonly [string, string])[]): Step[] {
  return entries.length === 0 ? [] : [{ do: 'add-entries', map, entries }];
}

function remove(map: MapFile, keys: readonly string[]): Step[] {
  return keys.length === 0 ? [] : [{ do: 'delete-entries', map, keys }];
}
