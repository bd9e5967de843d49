/** Whether the schema of a CRD is structural: what Kubernetes asks of it before it serves anything by it. */
import { type FieldError, field } from '../errors.ts';
import { isObject } from '../json.ts';
import type { Schema } from './schema.ts';
import { compilePattern, validateSchema } from './validate.ts';

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const listTypes = ['atomic', 'map', 'set'];

export function validateStructural(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.type !== 'object') {
    errors.push(field.invalid(`${path}.type`, schema.type ?? '', 'must be object at the root'));
  }
  walk(schema, path, errors);
  return errors;
}

function walk(schema: Schema, path: string, errors: FieldError[]): void {
  const open = schema['x-kubernetes-int-or-string'] || schema['x-kubernetes-preserve-unknown-fields'];
  if (!schema.type && !open) {
    errors.push(field.required(`${path}.type`, 'must not be empty for specified object fields'));
  } else if (schema.type && !types.includes(schema.type)) {
    errors.push(field.notSupported(`${path}.type`, schema.type, types));
  }
  if (schema.type === 'array' && !schema.items)
    errors.push(field.required(`${path}.items`, 'must be specified'));
  if (schema.properties && isObject(schema.additionalProperties)) {
    errors.push(
      field.forbidden(
        `${path}.additionalProperties`,
        'additionalProperties and properties are mutual exclusive',
      ),
    );
  }
  if (schema.uniqueItems) {
    errors.push(
      field.forbidden(
        `${path}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    );
  }
  if (schema.pattern) {
    try {
      compilePattern(schema.pattern);
    } catch (error) {
      errors.push(
        field.invalid(
          `${path}.pattern`,
          schema.pattern,
          `must be a valid regular expression, but isn't: ${(error as Error).message}`,
        ),
      );
    }
  }
  checkListType(schema, path, errors);
  if (schema.default !== undefined && errors.length === 0) {
    for (const error of validateSchema(schema.default, schema, `${path}.default`)) errors.push(error);
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    walk(property, `${path}.properties[${name}]`, errors);
  }
  if (schema.items) walk(schema.items, `${path}.items`, errors);
  if (isObject(schema.additionalProperties)) {
    walk(schema.additionalProperties as Schema, `${path}.additionalProperties`, errors);
  }
}

function checkListType(schema: Schema, path: string, errors: FieldError[]): void {
  const type = schema['x-kubernetes-list-type'];
  if (type === undefined) return;
  if (!listTypes.includes(type)) {
    errors.push(field.notSupported(`${path}.x-kubernetes-list-type`, type, listTypes));
    return;
  }
  if (type !== 'map') return;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  if (keys.length === 0) {
    errors.push(
      field.required(
        `${path}.x-kubernetes-list-map-keys`,
        'must not be empty if x-kubernetes-list-type is map',
      ),
    );
  }
  const items = schema.items ?? {};
  for (const [index, key] of keys.entries()) {
    const property = items.properties?.[key];
    const where = `${path}.x-kubernetes-list-map-keys[${index}]`;
    if (!property) {
      errors.push(field.invalid(where, key, 'entries must all be names of item properties'));
    } else if (property.default === undefined && !items.required?.includes(key)) {
      errors.push(
        field.required(
          `${path}.items.properties[${key}].default`,
          'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
        ),
      );
    }
  }
}
