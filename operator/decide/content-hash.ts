import { createHash } from 'node:crypto';
import type { ModelVersionSpec } from '../api/generated/model-version.ts';

/** Specs come from a cache and never change, so each is hashed once. */
const hashes = new WeakMap<ModelVersionSpec, string>();

/**
 * Hash of everything in a spec that can change how the version behaves, as 16 hex digits. Neither the number of
 * replicas, what they can carry, the cache, nor the description is part of it: changing them does not give a failed
 * version another try.
 */
export function contentHash(spec: ModelVersionSpec): string {
  const known = hashes.get(spec);
  if (known !== undefined) return known;
  const {
    replicas: _replicas,
    scaling: _scaling,
    description: _description,
    artifactCache: _cache,
    ...content
  } = spec;
  const hash = createHash('sha256').update(canonical(content)).digest('hex').slice(0, 16);
  hashes.set(spec, hash);
  return hash;
}

/** JSON with sorted keys, so that the hash does not depend on the order in which somebody wrote the fields. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`);
    return `{${fields.join(',')}}`;
  }
  return JSON.stringify(value);
}
