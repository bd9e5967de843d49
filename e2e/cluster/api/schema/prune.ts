/** Structural pruning of custom resources: what the schema does not name is dropped. */
import { isObject, type Json, type JsonObject, own, setOwn } from '../json.ts';
import { modelSchema } from './models.ts';
import type { Schema } from './schema.ts';

/** The object without unknown fields, and the paths of those. `metadata` is left alone. */
export function pruneUnknown(object: JsonObject, schema: Schema): { value: JsonObject; unknown: string[] } {
  const unknown: string[] = [];
  return { value: prune(object, schema, '', true, unknown) as JsonObject, unknown };
}

function prune(
  value: Json,
  schema: Schema | undefined,
  path: string,
  root: boolean,
  unknown: string[],
): Json {
  if (!schema) return value;
  if (Array.isArray(value)) {
    return value.map((item, index) => prune(item, schema.items, `${path}[${index}]`, false, unknown));
  }
  if (!isObject(value)) return value;
  const isResource = root || schema['x-kubernetes-embedded-resource'] === true;
  const result: JsonObject = {};
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const where = path === '' ? key : `${path}.${key}`;
    if (isResource && (key === 'apiVersion' || key === 'kind' || key === 'metadata')) {
      const known = root || key !== 'metadata' ? member : pruneMetadata(member);
      setOwn(result, key, known);
      continue;
    }
    const declared = schema.properties ? (own(schema.properties, key) as Schema | undefined) : undefined;
    const additional = isObject(schema.additionalProperties)
      ? (schema.additionalProperties as Schema)
      : undefined;
    const below = declared ?? additional;
    if (below) setOwn(result, key, prune(member, below, where, false, unknown));
    else if (schema['x-kubernetes-preserve-unknown-fields'] || schema.additionalProperties === true) {
      setOwn(result, key, member);
    } else unknown.push(where);
  }
  return result;
}

function pruneMetadata(metadata: Json): Json {
  if (!isObject(metadata)) return metadata;
  const known = modelSchema('V1ObjectMeta').properties ?? {};
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => Object.hasOwn(known, key)));
}
