/** The files of volumes that the API server's objects are projected into. */
import type { VolumeFile, VolumeFiles } from './atomic-files.ts';
import { fieldValue, type Place, resourceValue } from './downward.ts';
import { ConfigError, decode, type Lookups } from './environment.ts';
import type { Token, Tokens } from './lookups.ts';
import type { KeyItem, Pod, Projection, TokenProjection, Volume } from './pod.ts';

/** What a projected volume is made from, or `undefined` for volumes that are not. */
export function projectionsOf(
  volume: Volume,
): { readonly sources: readonly Projection[]; readonly mode: number } | undefined {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap) return { sources: [{ configMap }], mode: configMap.defaultMode ?? 0o644 };
  if (secret) {
    const { secretName: name = '', items, optional } = secret;
    const source = { name, ...(items ? { items } : {}), ...(optional === undefined ? {} : { optional }) };
    return { sources: [{ secret: source }], mode: secret.defaultMode ?? 0o644 };
  }
  if (downwardAPI) return { sources: [{ downwardAPI }], mode: downwardAPI.defaultMode ?? 0o644 };
  if (projected) return { sources: projected.sources ?? [], mode: projected.defaultMode ?? 0o644 };
  return undefined;
}

export interface FileSources {
  readonly pod: Pod;
  readonly place: Place;
  readonly lookups: Lookups;
  readonly tokens: Tokens;
  readonly now: () => number;
}

/** Tokens that were issued, by what was asked for, so that a refresh asks only for those about to expire. */
export type TokenCache = Map<TokenProjection, Token>;

/** @throws ConfigError when something that is not optional is missing. */
export async function volumeFiles(
  projections: readonly Projection[],
  mode: number,
  from: FileSources,
  cache: TokenCache,
): Promise<VolumeFiles> {
  const files = new Map<string, VolumeFile>();
  for (const { configMap, secret, downwardAPI, serviceAccountToken } of projections) {
    if (configMap) {
      const { name = '', items, optional } = configMap;
      const found = await from.lookups.configMap(name);
      if (!found && !optional) throw new ConfigError(`configmap "${name}" not found`);
      const content = new Map<string, Buffer>();
      for (const [key, value] of Object.entries(found?.data ?? {})) content.set(key, Buffer.from(value));
      for (const [key, value] of Object.entries(found?.binaryData ?? {})) content.set(key, decode(value));
      addKeys(files, 'configmap', content, items, mode, optional === true);
    }
    if (secret) {
      const { name = '', items, optional } = secret;
      const found = await from.lookups.secret(name);
      if (!found && !optional) throw new ConfigError(`secret "${name}" not found`);
      const entries = Object.entries(found?.data ?? {}).map(([key, value]) => [key, decode(value)] as const);
      addKeys(files, 'secret', new Map(entries), items, mode, optional === true);
    }
    for (const item of downwardAPI?.items ?? []) {
      const { path, fieldRef, resourceFieldRef } = item;
      const text = fieldRef
        ? fieldValue(from.pod, fieldRef, from.place)
        : resourceFieldRef
          ? resourceValue(from.pod, undefined, resourceFieldRef, from.place)
          : '';
      files.set(path, { content: Buffer.from(text), mode: item.mode ?? mode });
    }
    if (serviceAccountToken) {
      let token = cache.get(serviceAccountToken);
      if (!token || token.renewAt <= from.now()) {
        token = await from.tokens(serviceAccountToken);
        cache.set(serviceAccountToken, token);
      }
      files.set(serviceAccountToken.path, { content: Buffer.from(token.token), mode: 0o600 });
    }
  }
  return files;
}

function addKeys(
  files: Map<string, VolumeFile>,
  kind: string,
  content: ReadonlyMap<string, Buffer>,
  items: readonly KeyItem[] | undefined,
  mode: number,
  optional: boolean,
): void {
  if (!items || items.length === 0) {
    for (const [key, bytes] of content) files.set(key, { content: bytes, mode });
    return;
  }
  for (const item of items) {
    const bytes = content.get(item.key);
    if (bytes) files.set(item.path, { content: bytes, mode: item.mode ?? mode });
    else if (!optional) throw new ConfigError(`${kind} references non-existent config key: ${item.key}`);
  }
}

/** Whether a refresh would write the same. */
export function sameFiles(a: VolumeFiles | undefined, b: VolumeFiles): boolean {
  if (a?.size !== b.size) return false;
  for (const [path, { content, mode }] of b) {
    const other = a.get(path);
    if (!other || other.mode !== mode || !other.content.equals(content)) return false;
  }
  return true;
}
