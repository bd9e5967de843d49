/** From JSON to the values that CEL rules see, by schema: integers are BigInt, times are dates, keys are identifiers. */
import { Optional } from '@marcbachmann/cel-js';
import { isObject, type Json, own } from '../json.ts';
import type { Schema } from './schema.ts';

const reserved = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

/** The name a property has in rules, or undefined when it cannot be reached. */
export function escapeName(name: string): string | undefined {
  if (reserved.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_.\-/][A-Za-z0-9_.\-/]*$/.test(name)) return undefined;
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__');
}

export function isStruct(schema: Schema | undefined): boolean {
  return schema?.properties !== undefined || schema?.['x-kubernetes-embedded-resource'] === true;
}

/** @param root the value is a whole object, of which rules see the identity and two names of the metadata */
export function toCel(value: Json | undefined, schema: Schema | undefined, root = false): unknown {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value)) return value.map((item) => toCel(item, schema?.items));
  if (isObject(value)) {
    const result: Record<string, unknown> = {};
    const resource = root || schema?.['x-kubernetes-embedded-resource'] === true;
    for (const [key, member] of Object.entries(value)) {
      if (member === undefined) continue;
      if (resource && key === 'metadata') {
        result[key] = identity(member);
        continue;
      }
      const declared = schema?.properties ? (own(schema.properties, key) as Schema | undefined) : undefined;
      if (declared) {
        // An explicit null of an optional field reads as absent.
        if (member === null && !declared.nullable) continue;
        const name = escapeName(key);
        if (name !== undefined) result[name] = toCel(member, declared);
      } else if (resource && (key === 'apiVersion' || key === 'kind')) {
        result[key] = member;
      } else {
        const additional = isObject(schema?.additionalProperties)
          ? (schema.additionalProperties as Schema)
          : undefined;
        result[key] = toCel(member, additional);
      }
    }
    return result;
  }
  if (typeof value === 'number') {
    if (schema?.type === 'number') return value;
    return Number.isInteger(value) ? BigInt(value) : value;
  }
  if (typeof value === 'string') return stringValue(value, schema?.format);
  return value;
}

function identity(metadata: Json): unknown {
  if (!isObject(metadata)) return {};
  const kept: Record<string, unknown> = {};
  for (const key of ['name', 'generateName']) {
    if (typeof metadata[key] === 'string') kept[key] = metadata[key];
  }
  return kept;
}

function stringValue(value: string, format: string | undefined): unknown {
  switch (format) {
    case 'date-time':
    case 'date':
      return new Date(value);
    case 'byte':
      return new Uint8Array(Buffer.from(value, 'base64'));
    default:
      return value;
  }
}

export function optionalOf(value: unknown): Optional {
  return value === undefined ? Optional.none() : Optional.of(value);
}
