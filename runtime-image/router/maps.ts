/** PURE: the maps that HAProxy looks requests up in, as files and as single entries. */
import { routerPorts } from '#contract';
import { files } from './config.ts';
import { prefixes, span } from './split.ts';
import type { Route, State } from './state.ts';

export type MapFile = (typeof files)['ports' | 'split' | 'pins' | 'versions'];
export type Entries = ReadonlyMap<string, string>;

/** First key of a route's shares. */
export function baseOf(route: Route): number {
  return ((route.port - routerPorts.firstModel) * 2 + route.half) * span;
}

/** A route's shares, as address prefixes. Buckets beyond the last are never drawn, so the last share may have them. */
export function splitEntries(route: Route): Entries {
  const base = baseOf(route);
  const entries = new Map<string, string>();
  route.shares.forEach((share, index) => {
    const to = index === route.shares.length - 1 ? span : share.to;
    for (const prefix of prefixes(base + share.from, base + to)) entries.set(prefix, String(share.of));
  });
  return entries;
}

export function portValue(route: Route): string {
  return [baseOf(route), ...route.fallbacks].join('/');
}

export function pinEntries(state: State): Entries {
  const ports = new Map(state.routes.map((route) => [route.uid, route.port]));
  return new Map(state.slots.map((slot) => [`${ports.get(slot.uid)}/${slot.version}`, String(slot.slot)]));
}

export function versionEntries(state: State): Entries {
  return new Map(state.slots.map((slot) => [String(slot.slot), slot.version]));
}

/** File name → content, of all maps. */
export function renderMaps(state: State): Record<MapFile, string> {
  const text = (entries: Iterable<readonly [string, string]>) =>
    [...entries].map(([key, value]) => `${key} ${value}\n`).join('');
  return {
    [files.ports]: text(state.routes.map((route) => [String(route.port), portValue(route)])),
    [files.split]: text(state.routes.flatMap((route) => [...splitEntries(route)])),
    [files.pins]: text(pinEntries(state)),
    [files.versions]: text(versionEntries(state)),
  };
}
