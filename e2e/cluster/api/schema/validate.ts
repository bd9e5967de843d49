/** Validation of custom resources against their OpenAPI schema, in Kubernetes' words. */
import { RE2JS } from 're2js';
import { FieldError, field } from '../errors.ts';
import { canonical, isObject, type Json, type JsonObject, own } from '../json.ts';
import { formatProblem } from './formats.ts';
import type { Schema } from './schema.ts';

/**
 * All violations, without those of CEL rules.
 * @param root the value is a whole object, whose identity and metadata are checked elsewhere
 */
export function validateSchema(value: Json, schema: Schema, path: string, root = path === ''): FieldError[] {
  const errors: FieldError[] = [];
  check(value, schema, path, errors, root);
  return errors;
}

const patterns = new Map<string, RE2JS>();

/** @throws when the expression is not valid RE2 */
export function compilePattern(pattern: string): RE2JS {
  let compiled = patterns.get(pattern);
  if (!compiled) {
    compiled = RE2JS.compile(pattern);
    patterns.set(pattern, compiled);
  }
  return compiled;
}

export function typeName(value: Json): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (isObject(value)) return 'object';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function hasType(value: Json, type: string): boolean {
  const actual = typeName(value);
  return actual === type || (type === 'number' && actual === 'integer');
}

/** Where in a body; the root has no name. */
function inBody(path: string): string {
  return path === '' ? '<nil>' : path;
}

function check(value: Json, schema: Schema, path: string, errors: FieldError[], root = false): void {
  if (value === null && schema.nullable) return;
  const where = inBody(path);
  if (!checkType(value, schema, path, errors)) {
    checkEnum(value, schema, where, errors);
    if (value !== null) checkCombinations(value, schema, path, errors);
    return;
  }
  checkEnum(value, schema, where, errors);
  if (typeof value === 'string') checkString(value, schema, path, errors);
  else if (typeof value === 'number') checkNumber(value, schema, path, errors);
  else if (Array.isArray(value)) checkList(value, schema, path, errors);
  else if (isObject(value)) checkObject(value, schema, path, errors, root);
  checkCombinations(value, schema, path, errors);
}

function checkEnum(value: Json, schema: Schema, where: string, errors: FieldError[]): void {
  if (!schema.enum || schema.enum.some((each) => canonical(each) === canonical(value))) return;
  const supported = schema.enum.map((each) => (typeof each === 'string' ? each : JSON.stringify(each)));
  errors.push(field.notSupported(where, value, supported));
}

/** False when the value has another type than it should; then nothing else of it can be checked. */
function checkType(value: Json, schema: Schema, path: string, errors: FieldError[]): boolean {
  const where = inBody(path);
  const fail = (wanted: string, actual: string): false => {
    const detail = `${path} in body must be of type ${wanted}: ${JSON.stringify(actual)}`;
    errors.push(new FieldError('FieldValueTypeInvalid', where, actual, detail));
    return false;
  };
  const actual = typeName(value);
  if (schema['x-kubernetes-int-or-string']) {
    return actual === 'integer' || actual === 'string' || fail('integer,string', actual);
  }
  if (!schema.type || hasType(value, schema.type)) return true;
  const formatted = schema.format && (schema.type === 'integer' || schema.type === 'string');
  // Where there is a format, it is told of, and the value by its name in Go.
  if (!schema.format || !formatted) return fail(schema.type, actual);
  if (actual === 'object' || actual === 'boolean') return fail(schema.format, '');
  if (schema.type === 'string') {
    const names: Readonly<Record<string, string>> = { integer: 'int64', number: 'float64' };
    return names[actual] ? fail(schema.format, names[actual]) : fail(schema.type, actual);
  }
  if (actual !== 'number') return fail(schema.type, actual);
  const detail = `Checked value must be of type integer with format ${schema.format} in ${path}`;
  errors.push(field.invalid('<nil>', '', detail));
  return fail(schema.format, 'float64');
}

/** Of a string only the first problem is reported. */
function checkString(value: string, schema: Schema, path: string, errors: FieldError[]): void {
  const length = [...value].length;
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    errors.push(field.tooLong(path, schema.maxLength));
    return;
  }
  if (schema.minLength !== undefined && length < schema.minLength) {
    errors.push(
      field.invalid(path, value, `${path} in body should be at least ${schema.minLength} chars long`),
    );
    return;
  }
  if (schema.pattern && !compilePattern(schema.pattern).matcher(value).find()) {
    errors.push(field.invalid(path, value, `${path} in body should match '${schema.pattern}'`));
    return;
  }
  const problem = schema.format && formatProblem(schema.format, value);
  if (problem)
    errors.push(new FieldError('FieldValueTypeInvalid', path, value, `${path} in body ${problem}`));
}

function checkNumber(value: number, schema: Schema, path: string, errors: FieldError[]): void {
  const fail = (detail: string) => errors.push(field.invalid(path, value, `${path} in body ${detail}`));
  const { minimum, maximum, multipleOf } = schema;
  if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum)) {
    fail(`should be greater than ${schema.exclusiveMinimum ? '' : 'or equal to '}${minimum}`);
  }
  if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum)) {
    fail(`should be less than ${schema.exclusiveMaximum ? '' : 'or equal to '}${maximum}`);
  }
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf))
    fail(`should be a multiple of ${multipleOf}`);
  const limit = schema.format === 'int32' ? 2 ** 31 : undefined;
  if (limit && (value >= limit || value < -limit))
    fail(`must be of type ${schema.format}: ${JSON.stringify(String(value))}`);
}

function tooMany(path: string, count: number, most: number): FieldError {
  return new FieldError('FieldValueTooMany', path, undefined, `${count}: must have at most ${most} items`);
}

function checkList(value: Json[], schema: Schema, path: string, errors: FieldError[]): void {
  if (schema.maxItems !== undefined && value.length > schema.maxItems)
    errors.push(tooMany(path, value.length, schema.maxItems));
  if (schema.minItems !== undefined && value.length < schema.minItems) {
    errors.push(
      field.invalid(path, value.length, `${path} in body should have at least ${schema.minItems} items`),
    );
  }
  for (const [index, item] of value.entries()) {
    if (schema.items) check(item, schema.items, `${path}[${index}]`, errors);
  }
  checkUnique(value, schema, path, errors);
}

function checkUnique(value: Json[], schema: Schema, path: string, errors: FieldError[]): void {
  const type = schema['x-kubernetes-list-type'];
  if (type !== 'set' && type !== 'map') return;
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    let identity: Json = item;
    if (item === null) continue;
    if (type === 'map' && !isObject(item)) {
      const why = 'must be an object for an array of list-type map';
      errors.push(field.invalid(`${path}[${index}]`, item, why));
      continue;
    }
    if (type === 'map' && isObject(item)) {
      const keys: JsonObject = {};
      for (const key of schema['x-kubernetes-list-map-keys'] ?? []) {
        const part = own(item, key);
        if (part !== undefined) keys[key] = part;
      }
      identity = keys;
    }
    const text = canonical(identity);
    if (seen.has(text)) errors.push(field.duplicate(`${path}[${index}]`, identity));
    seen.add(text);
  }
}

function checkObject(
  value: JsonObject,
  schema: Schema,
  path: string,
  errors: FieldError[],
  root: boolean,
): void {
  const size = Object.keys(value).length;
  if (schema.maxProperties !== undefined && size > schema.maxProperties)
    errors.push(tooMany(path, size, schema.maxProperties));
  if (schema.minProperties !== undefined && size < schema.minProperties) {
    errors.push(
      field.invalid(path, size, `${path} in body should have at least ${schema.minProperties} properties`),
    );
  }
  for (const name of schema.required ?? []) {
    if (own(value, name) === undefined) errors.push(field.required(join(path, name)));
  }
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined || (root && (name === 'metadata' || name === 'apiVersion' || name === 'kind')))
      continue;
    const declared = schema.properties ? (own(schema.properties, name) as Schema | undefined) : undefined;
    if (declared) check(member, declared, join(path, name), errors);
    else if (isObject(schema.additionalProperties)) {
      check(member, schema.additionalProperties as Schema, join(path, name), errors);
    }
  }
}

export function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function checkCombinations(value: Json, schema: Schema, path: string, errors: FieldError[]): void {
  const problems = (each: Schema) => validateSchema(value, each, path || '<root>');
  const fail = (detail: string) =>
    errors.push(field.invalid('<nil>', '', `${JSON.stringify(path)} must ${detail}`));
  for (const each of schema.allOf ?? []) check(value, each, path, errors);
  if (schema.anyOf && !schema['x-kubernetes-int-or-string']) {
    const results = schema.anyOf.map(problems);
    if (results.every((each) => each.length > 0)) {
      fail('validate at least one schema (anyOf)');
      errors.push(...(results[0] ?? []));
    }
  }
  if (schema.oneOf) {
    const results = schema.oneOf.map(problems);
    const count = results.filter((each) => each.length === 0).length;
    if (count === 0) {
      fail('validate one and only one schema (oneOf). Found none valid');
      errors.push(...(results[0] ?? []));
    } else if (count > 1) {
      fail(`validate one and only one schema (oneOf). Found ${count} valid alternatives`);
    }
  }
  if (schema.not && problems(schema.not).length === 0) fail('not validate the schema (not)');
}
