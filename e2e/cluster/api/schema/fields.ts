/**
 * Decoding of a body under its schema: fields that the schema does not name are dropped and reported, values of the
 * wrong type are refused, nulls of built-in kinds vanish as they do in Go.
 */
import { badRequest } from '../errors.ts';
import { isObject, type Json, type JsonObject, setOwn } from '../json.ts';
import { parseQuantity } from '../quantity.ts';
import { deref, keepsUnknown, memberSchema, type Schema } from './schema.ts';

export interface Decoded {
  readonly value: JsonObject;
  /** Paths of the fields that were dropped. */
  readonly unknown: string[];
}

/** @throws StatusError 400 when a value has the wrong type */
export function decodeBuiltin(object: JsonObject, schema: Schema, kind: string, version: string): Decoded {
  const unknown: string[] = [];
  const fail = (problem: string): never => {
    throw badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${problem}`);
  };
  const value = decode(object, schema, '', unknown, fail, true);
  return { value: value as JsonObject, unknown };
}

function goName(value: Json): string {
  if (Array.isArray(value)) return 'array';
  if (isObject(value)) return 'object';
  if (typeof value === 'boolean') return 'bool';
  return typeof value;
}

function decode(
  value: Json,
  reference: Schema | undefined,
  path: string,
  unknown: string[],
  fail: (problem: string) => never,
  root = false,
): Json {
  const schema = deref(reference);
  if (!schema || (keepsUnknown(schema) && !schema.type && !schema.properties)) return value;
  const mismatch = (type: string) =>
    fail(
      `json: cannot unmarshal ${goName(value)} into Go struct field ${path.replace(/^\./, '')} of type ${type}`,
    );
  if (schema['x-kubernetes-int-or-string']) {
    if (typeof value !== 'string' && typeof value !== 'number') return mismatch('intstr.IntOrString');
    if (schema.format !== 'int-or-string' && parseQuantity(value) === undefined) {
      return fail(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      );
    }
    return schema.format === 'int-or-string' ? value : String(value);
  }
  switch (schema.type) {
    case 'string':
      if (typeof value !== 'string') return mismatch('string');
      if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) {
        return fail(
          `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(value)} as "2006"`,
        );
      }
      return value;
    case 'integer':
      if (typeof value !== 'number') return mismatch(schema.format ?? 'int32');
      return Number.isInteger(value)
        ? value
        : fail(
            `json: cannot unmarshal number ${value} into Go struct field ${path.replace(/^\./, '')} of type ${schema.format ?? 'int32'}`,
          );
    case 'number':
      return typeof value === 'number' ? value : mismatch('float64');
    case 'boolean':
      return typeof value === 'boolean' ? value : mismatch('bool');
    case 'array': {
      if (!Array.isArray(value)) return mismatch('[]interface {}');
      return value.map((item, index) => decode(item, schema.items, `${path}[${index}]`, unknown, fail));
    }
    default:
      break;
  }
  if (!isObject(value)) return mismatch('map[string]interface {}');
  const result: JsonObject = {};
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined || member === null) continue;
    const below = memberSchema(schema, key);
    const where = path === '' ? key : `${path}.${key}`;
    const identity = root && (key === 'apiVersion' || key === 'kind');
    if (!below && !identity) {
      unknown.push(where);
      continue;
    }
    setOwn(result, key, identity ? member : decode(member, below, where, unknown, fail));
  }
  return result;
}
