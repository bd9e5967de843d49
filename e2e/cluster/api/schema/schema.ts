/**
 * The one schema language of the server: OpenAPI v3 with Kubernetes' extensions. Custom resources bring theirs in the
 * CRD; those of the built-in kinds are derived from the generated models (`models.ts`). Merging, server-side apply,
 * unknown-field checks and the published OpenAPI all read it.
 */
import { asObject, isObject, type Json, type JsonObject, own } from '../json.ts';

export interface ValidationRule extends JsonObject {
  rule: string;
  message?: string;
  messageExpression?: string;
  reason?: string;
  fieldPath?: string;
  optionalOldSelf?: boolean;
}

export interface Schema extends JsonObject {
  $ref?: string;
  type?: string;
  format?: string;
  title?: string;
  description?: string;
  properties?: { [name: string]: Schema };
  items?: Schema;
  additionalProperties?: Schema | boolean;
  required?: string[];
  default?: Json;
  enum?: Json[];
  nullable?: boolean;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minProperties?: number;
  maxProperties?: number;
  allOf?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  not?: Schema;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: string;
  'x-kubernetes-patch-merge-key'?: string;
  'x-kubernetes-patch-strategy'?: string;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-embedded-resource'?: boolean;
  'x-kubernetes-validations'?: ValidationRule[];
}

type Resolver = (name: string) => Schema | undefined;
const resolvers: Resolver[] = [];

/** Adds a source of named schemas, for `$ref`s. */
export function addSchemas(resolver: Resolver): void {
  resolvers.push(resolver);
}

/** Follows `$ref`. */
export function deref(schema: Schema | undefined): Schema | undefined {
  if (!schema?.$ref) return schema;
  const name = schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1);
  for (const resolver of resolvers) {
    const found = resolver(name);
    if (found) return found;
  }
  return undefined;
}

/** The schema of member `name` of an object, if the schema says anything of it. */
export function memberSchema(schema: Schema | undefined, name: string): Schema | undefined {
  const object = deref(schema);
  if (!object) return undefined;
  const declared = object.properties && own(object.properties, name);
  if (declared) return declared as Schema;
  return isObject(object.additionalProperties) ? (object.additionalProperties as Schema) : undefined;
}

/** How a list merges. The marker sits beside a `$ref` or in the schema itself. */
export function listType(schema: Schema | undefined): { type: 'atomic' | 'set' | 'map'; keys: string[] } {
  const type = schema?.['x-kubernetes-list-type'] ?? deref(schema)?.['x-kubernetes-list-type'];
  if (type === 'map') {
    const keys =
      schema?.['x-kubernetes-list-map-keys'] ?? deref(schema)?.['x-kubernetes-list-map-keys'] ?? [];
    return { type: 'map', keys };
  }
  return { type: type === 'set' ? 'set' : 'atomic', keys: [] };
}

export function isAtomicMap(schema: Schema | undefined): boolean {
  const type = schema?.['x-kubernetes-map-type'] ?? deref(schema)?.['x-kubernetes-map-type'];
  return type === 'atomic';
}

/** Whether members that the schema does not name are kept. */
export function keepsUnknown(schema: Schema | undefined): boolean {
  const object = deref(schema);
  return !object || object['x-kubernetes-preserve-unknown-fields'] === true || !object.type;
}

/** The default of a list-map key, which stands for the key where an item leaves it out. */
export function keyDefault(items: Schema | undefined, key: string): Json | undefined {
  return asObject(memberSchema(items, key))['default'];
}
