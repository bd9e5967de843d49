/** Structural defaulting of custom resources. */
import { clone, isObject, type Json, type JsonObject, own, setOwn } from '../json.ts';
import type { Schema } from './schema.ts';

/** Fills in the schema's defaults, in place. Nulls where null is not allowed give way to a default. */
export function applyDefaults(value: Json | undefined, schema: Schema | undefined): void {
  if (!schema) return;
  if (Array.isArray(value)) {
    for (const item of value) applyDefaults(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    fill(value, name, property);
    applyDefaults(own(value, name), property);
  }
  if (isObject(schema.additionalProperties)) {
    const additional = schema.additionalProperties as Schema;
    for (const key of Object.keys(value)) {
      if (schema.properties && Object.hasOwn(schema.properties, key)) continue;
      fill(value, key, additional, true);
      applyDefaults(own(value, key), additional);
    }
  }
}

function fill(object: JsonObject, name: string, schema: Schema, presentOnly = false): void {
  const present = own(object, name);
  if (present === null && !schema.nullable && schema.default !== undefined) {
    setOwn(object, name, clone(schema.default));
  } else if (present === undefined && schema.default !== undefined && !presentOnly) {
    setOwn(object, name, clone(schema.default));
  }
}

/** Drops nulls of declared fields that may not be null and have no default, so that they read as absent. In place. */
export function dropNulls(value: Json | undefined, schema: Schema | undefined): void {
  if (!schema) return;
  if (Array.isArray(value)) {
    for (const item of value) dropNulls(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  for (const [key, member] of Object.entries(value)) {
    const declared = schema.properties ? (own(schema.properties, key) as Schema | undefined) : undefined;
    const additional = isObject(schema.additionalProperties)
      ? (schema.additionalProperties as Schema)
      : undefined;
    const below = declared ?? additional;
    if (!below) continue;
    if (member === null && !below.nullable && below.default === undefined) delete value[key];
    else dropNulls(member, below);
  }
}
