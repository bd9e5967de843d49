/** PURE: the maps that HAProxy looks requests up in, as files and as single entries. */
import { routerPorts } from '#contract';
import { files } from './config.ts';
import { prefixes, span } from './split.ts';
import type { Route, State } from './state.ts';

export type MapFile = (typeof files)['ports' | 'split' | 'pins' | 'fallbacks' | 'routes'];
export type Entries = ReadonlyMap<string, string>;

/** First key of a route's shares. */
export function baseOf(route: Route): number {
  return ((route.port - routerPorts.firstModel) * 2 + route.half) * span;
}

/** What a slot is called where requests are looked up: `slot/version`. */
export function slotNames(state: State): ReadonlyMap<number, string> {
  return new Map(state.slots.map(({ slot, version }) => [slot, `${slot}/${version}`]));
}

/** A route's shares, as address prefixes. Buckets beyond the last are never drawn, so the last share may have them. */
export function splitEntries(route: Route, names: ReadonlyMap<number, string>): Entries {
  const base = baseOf(route);
  const entries = new Map<string, string>();
  route.shares.forEach((share, index) => {
    const to = index === route.shares.length - 1 ? span : share.to;
    for (const prefix of prefixes(base + share.from, base + to)) entries.set(prefix, names.get(share.of)!);
  });
  return entries;
}

export function portEntries(state: State): Entries {
  return new Map(state.routes.map((route) => [String(route.port), String(baseOf(route))]));
}

export function fallbackEntries(state: State): Entries {
  const names = slotNames(state);
  return new Map(
    state.routes
      .filter((route) => route.fallbacks.length > 0)
      .map((route) => [String(route.port), route.fallbacks.map((slot) => names.get(slot)).join('|')]),
  );
}

export function pinEntries(state: State): Entries {
  const ports = new Map(state.routes.map((route) => [route.uid, route.port]));
  return new Map(
    state.slots.map(({ slot, uid, version }) => [`${ports.get(uid)}/${version}`, `${slot}/${version}`]),
  );
}

export function routeEntries(state: State): Entries {
  const versions = new Map(state.slots.map(({ slot, version }) => [slot, version]));
  return new Map(
    state.routes.flatMap(({ port, routed = [] }) =>
      routed.map((slot) => [`${port}/${versions.get(slot)}`, `${slot}/${versions.get(slot)}`] as const),
    ),
  );
}

/** File name → content, of all maps. */
export function renderMaps(state: State): Record<MapFile, string> {
  const names = slotNames(state);
  const text = (entries: Iterable<readonly [string, string]>) =>
    [...entries].map(([key, value]) => `${key} ${value}\n`).join('');
  return {
    [files.ports]: text(portEntries(state)),
    [files.split]: text(state.routes.flatMap((route) => [...splitEntries(route, names)])),
    [files.pins]: text(pinEntries(state)),
    [files.fallbacks]: text(fallbackEntries(state)),
    [files.routes]: text(routeEntries(state)),
  };
}
