/** Custom resources: the kinds that a CustomResourceDefinition declares. */
import { FieldError, type FieldErrorType, field } from '../errors.ts';
import {
  type ApiObject,
  asList,
  asObject,
  asObjects,
  asString,
  at,
  clone,
  equal,
  isObject,
  type Json,
  own,
} from '../json.ts';
import { compileRules } from '../schema/cel.ts';
import { applyDefaults, dropNulls } from '../schema/default.ts';
import { reference } from '../schema/models.ts';
import type { Schema } from '../schema/schema.ts';
import { validateSchema } from '../schema/validate.ts';
import { customPrinter } from '../tables/table.ts';
import { readPath } from './json-path.ts';
import { allVerbs, type Column, type Kind, metadataFields, type Rules, type TablePrinter } from './kind.ts';

function withoutDot(path: Json | undefined): string {
  return asString(path).replace(/^\./, '');
}

function printerOf(version: { [key: string]: Json | undefined }): TablePrinter {
  const declared = asObjects(version['additionalPrinterColumns']);
  const columns =
    declared.length > 0 ? declared : [{ name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }];
  return customPrinter(
    columns.map((each) => {
      const column: Column = {
        name: asString(each['name']),
        type: asString(each['type']),
        format: asString(each['format']),
        description: asString(each['description']),
        priority: typeof each['priority'] === 'number' ? each['priority'] : 0,
      };
      const path = asString(each['jsonPath']);
      return { column, read: (object: ApiObject) => cell(readPath(object, path), column.type) };
    }),
  );
}

/** A cell holds what the path gives if it fits the column's type, else nothing. */
function cell(values: readonly Json[], type: string): string | number | boolean | null {
  const [value] = values;
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    default:
      if (values.length > 1)
        return values.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))).join(',');
      return typeof value === 'string' ? value : JSON.stringify(value);
  }
}

/** Errors that were there before an update do not stop it, as long as the values they are about stay. */
function ratchet(errors: FieldError[], before: readonly FieldError[]): FieldError[] {
  const known = new Set(before.map((error) => error.text()));
  return errors.filter((error) => !known.has(error.text()));
}

/** Types of errors after which the CEL rules are not looked at, since they may not hold for such values at all. */
const blocking: ReadonlySet<FieldErrorType> = new Set<FieldErrorType>([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
]);

const notChecked =
  'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation';

/** A value as Go prints it, and its type. */
function goValue(value: Json): { text: string; type: string } {
  if (typeof value === 'string') return { text: value, type: 'string' };
  if (typeof value === 'boolean') return { text: String(value), type: 'bool' };
  if (typeof value === 'number')
    return { text: String(value), type: Number.isInteger(value) ? 'int64' : 'float64' };
  const type = Array.isArray(value) ? '[]interface {}' : 'map[string]interface {}';
  const members = Array.isArray(value)
    ? value
    : Object.entries(asObject(value)).map(([key, each]) => `${key}:${each}`);
  return { text: `${Array.isArray(value) ? '' : 'map'}[${members.join(' ')}]`, type };
}

/** The scale subresource reads the replicas wherever the definition says, so they must be a number there. */
function validateScale(object: ApiObject, path: string | undefined): FieldError[] {
  if (!path) return [];
  const wrong = (value: Json, expected: string): FieldError[] => {
    const { text, type } = goValue(value);
    const why = `.${path} accessor error: ${text} is of the type ${type}, expected ${expected}`;
    return [field.invalid(`.${path}`, 0, why)];
  };
  let current: Json | undefined = object;
  for (const part of path.split('.')) {
    if (current === undefined || current === null) return [];
    if (!isObject(current)) return wrong(current, 'map[string]interface{}');
    current = own(current, part);
  }
  if (current === undefined || current === null) return [];
  if (typeof current !== 'number' || !Number.isInteger(current)) return wrong(current, 'int64');
  return current < 0 ? [field.invalid(`.${path}`, current, 'should be a non-negative integer')] : [];
}

/** Writes of the status are checked as if the status were the whole body, and say so in their words. */
function statusErrors(object: ApiObject, schema: Schema): FieldError[] {
  const status = object['status'];
  const below = schema.properties?.['status'];
  if (status === undefined || !below) return [];
  return validateSchema(status, below, '', false).map((error) => {
    const path = error.field === '<nil>' ? 'status' : `status.${error.field}`;
    return new FieldError(error.type, path, error.value, error.detail);
  });
}

function rulesOf(schema: Schema, paths: { spec: string | undefined; status: string | undefined }): Rules {
  const cel = compileRules(schema);
  const structural = (object: ApiObject): FieldError[] => [
    ...validateSchema(object, schema, ''),
    ...validateScale(object, paths.spec),
  ];
  const withRules = (errors: FieldError[], object: ApiObject, old: ApiObject | undefined): FieldError[] => {
    if (errors.some((error) => blocking.has(error.type)))
      return [...errors, field.invalid('<nil>', null, notChecked)];
    return [...errors, ...cel.evaluate(object, old)];
  };
  const update = (object: ApiObject, old: ApiObject): FieldError[] =>
    withRules(ratchet(structural(object), structural(old)), object, old);
  return {
    default(object) {
      dropNulls(object, schema);
      applyDefaults(object, schema);
    },
    validate: (object) => withRules(structural(object), object, undefined),
    validateUpdate: update,
    validateStatus(object, old) {
      const errors = (each: ApiObject) => [
        ...statusErrors(each, schema),
        ...validateScale(each, paths.status),
      ];
      return withRules(ratchet(errors(object), errors(old)), object, old);
    },
  };
}

/** CRDs leave the metadata to the server; merging and ownership need to know its lists. */
function withMetadata(schema: Schema): Schema {
  const identity = { apiVersion: { type: 'string' }, kind: { type: 'string' } };
  return {
    ...schema,
    properties: { ...identity, ...schema.properties, metadata: reference('V1ObjectMeta') },
  };
}

/**
 * How a version shows what is stored: under its own apiVersion, and with defaults that came into the schema after the
 * object was written.
 */
function conversion(version: string, schema: Schema): NonNullable<Kind['convert']> {
  const shown = new WeakMap<ApiObject, ApiObject>();
  return {
    from(stored) {
      let object = shown.get(stored);
      if (!object) {
        const defaulted = clone(stored);
        applyDefaults(defaulted, schema);
        object = equal(defaulted, stored) ? stored : defaulted;
        if (object.apiVersion !== version) object = { ...object, apiVersion: version };
        shown.set(stored, object);
      }
      return object;
    },
    to: (object) => object,
  };
}

/** The kinds of a CRD, one per served version; none before its names are accepted. */
export function customKinds(crd: ApiObject): Kind[] {
  const spec = asObject(crd['spec']);
  const names = asObject(at(crd, 'status', 'acceptedNames'));
  if (!asString(names['kind'])) return [];
  const group = asString(spec['group']);
  const resource = asString(names['plural']);
  return asObjects(spec['versions'])
    .filter((version) => version['served'] === true)
    .map((version): Kind => {
      const schema = withMetadata((at(version, 'schema', 'openAPIV3Schema') ?? {}) as Schema);
      const subresources = asObject(version['subresources']);
      const scale = asObject(subresources['scale']);
      const kind = asString(names['kind']);
      const selectable = asObjects(version['selectableFields']).map((each) => withoutDot(each['jsonPath']));
      const listed: string[] = [];
      if (subresources['status'] !== undefined) listed.push('status');
      if (subresources['scale'] !== undefined) listed.push('scale');
      const name = asString(version['name']);
      return {
        group,
        version: name,
        kind,
        listKind: asString(names['listKind']) || `${kind}List`,
        resource,
        singular: asString(names['singular']) || kind.toLowerCase(),
        namespaced: spec['scope'] === 'Namespaced',
        shortNames: asList(names['shortNames']).map(String),
        categories: asList(names['categories']).map(String),
        verbs: allVerbs,
        bucket: `${group}/${resource}`,
        schema,
        definition: `${group.split('.').reverse().join('.')}.${name}.${kind}`,
        subresources: listed,
        generation: true,
        scale:
          subresources['scale'] === undefined
            ? undefined
            : {
                spec: withoutDot(scale['specReplicasPath']),
                status: withoutDot(scale['statusReplicasPath']),
                selector: withoutDot(scale['labelSelectorPath']) || undefined,
              },
        fields: (object) => {
          const fields = metadataFields(object);
          for (const path of selectable) {
            const value = at(object, ...path.split('.'));
            fields[path] = value === undefined || value === null ? '' : String(value);
          }
          return fields;
        },
        printer: printerOf(version),
        rules: rulesOf(schema, {
          spec: withoutDot(scale['specReplicasPath']) || undefined,
          status: withoutDot(scale['statusReplicasPath']) || undefined,
        }),
        custom: true,
        convert: conversion(`${group}/${name}`, schema),
      };
    });
}
