/** The OpenAPI v3 document of one group and version: schemas of its kinds and what they refer to, and its paths. */
import { isObject, type Json, type JsonObject } from '../json.ts';
import { apiVersion, type Kind } from '../kinds/kind.ts';
import type { Registry } from '../kinds/registry.ts';
import { definitionName, modelSchema } from '../schema/models.ts';
import { deref, type Schema } from '../schema/schema.ts';

const prefix = '#/components/schemas/';

function collect(value: Json | undefined, schemas: JsonObject): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, schemas);
    return;
  }
  if (!isObject(value)) return;
  const reference = value['$ref'];
  if (typeof reference === 'string' && reference.startsWith(prefix)) {
    const name = reference.slice(prefix.length);
    if (schemas[name] !== undefined) return;
    const schema = deref(value as Schema);
    schemas[name] = publish(schema ?? {});
    collect(schema, schemas);
    return;
  }
  for (const member of Object.values(value)) collect(member, schemas);
}

/** A `$ref` with siblings becomes an `allOf`, which is how Kubernetes publishes them. */
function publish(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(publish);
  if (!isObject(schema)) return schema;
  // A property may itself be called `$ref`, as one of JSONSchemaProps is.
  const $ref = typeof schema['$ref'] === 'string' ? schema['$ref'] : undefined;
  const copy: JsonObject = {};
  for (const [key, member] of Object.entries(schema)) {
    if (member !== undefined && !(key === '$ref' && $ref)) copy[key] = publish(member);
  }
  if ($ref === undefined) return copy;
  return Object.keys(copy).length === 0 ? { $ref } : { ...copy, allOf: [{ $ref }] };
}

function kindTag(kind: Kind): JsonObject {
  return { group: kind.group, version: kind.version, kind: kind.kind };
}

function rootSchema(kind: Kind): JsonObject {
  const schema = publish(kind.schema) as JsonObject;
  if (kind.custom) {
    const meta = definitionName('V1ObjectMeta');
    const properties = { ...(schema['properties'] as JsonObject | undefined) };
    properties['apiVersion'] = {
      type: 'string',
      description: 'APIVersion defines the versioned schema of this representation of an object.',
    };
    properties['kind'] = {
      type: 'string',
      description: 'Kind is a string value representing the REST resource this object represents.',
    };
    properties['metadata'] = { description: "Standard object's metadata.", allOf: [{ $ref: prefix + meta }] };
    schema['properties'] = properties;
  }
  schema['x-kubernetes-group-version-kind'] = [kindTag(kind)];
  return schema;
}

function operation(kind: Kind, action: string, schema: string, body: boolean): JsonObject {
  const content = { 'application/json': { schema: { $ref: prefix + schema } } };
  const parameters: Json[] =
    action === 'post' || action === 'put' || action === 'patch'
      ? ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
          name,
          in: 'query',
          schema: { type: 'string', uniqueItems: true },
        }))
      : [];
  return {
    operationId: `${action}${kind.group}${kind.version}${kind.kind}`,
    parameters,
    ...(body ? { requestBody: { content } } : {}),
    responses: { 200: { description: 'OK', content } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': kindTag(kind),
  };
}

function patchOperation(kind: Kind, schema: string): JsonObject {
  const types = [
    'application/apply-patch+yaml',
    'application/json-patch+json',
    'application/merge-patch+json',
  ];
  if (!kind.custom) types.push('application/strategic-merge-patch+json');
  const patch = { schema: { type: 'object' } };
  const content = Object.fromEntries(types.map((type) => [type, patch]));
  return { ...operation(kind, 'patch', schema, false), requestBody: { content } };
}

function pathsOf(kind: Kind, schema: string): JsonObject {
  const root = kind.group ? `/apis/${apiVersion(kind)}` : `/api/${kind.version}`;
  const collection = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.resource}`;
  const paths: JsonObject = {};
  const verbs = new Set(kind.verbs);
  const many: JsonObject = {};
  if (verbs.has('list')) many['get'] = operation(kind, 'list', schema, false);
  if (verbs.has('create')) many['post'] = operation(kind, 'post', schema, true);
  paths[collection] = many;
  if (!verbs.has('get')) return paths;
  const one = {
    get: operation(kind, 'get', schema, false),
    put: operation(kind, 'put', schema, true),
    patch: patchOperation(kind, schema),
    delete: operation(kind, 'delete', schema, false),
  };
  paths[`${collection}/{name}`] = one;
  if (kind.subresources.includes('status')) {
    paths[`${collection}/{name}/status`] = { get: one.get, put: one.put, patch: one.patch };
  }
  return paths;
}

/** Undefined when nothing is served under the group and version. */
export function groupDocument(registry: Registry, group: string, version: string): JsonObject | undefined {
  const kinds = registry.inVersion(group, version);
  if (kinds.length === 0) return undefined;
  const schemas: JsonObject = {};
  const paths: JsonObject = {};
  if (kinds.some((kind) => kind.custom)) collect({ $ref: prefix + definitionName('V1ObjectMeta') }, schemas);
  for (const kind of kinds) {
    collect(kind.schema, schemas);
    Object.assign(paths, pathsOf(kind, kind.definition));
  }
  for (const kind of kinds) schemas[kind.definition] = rootSchema(kind);
  collect(modelSchema('V1DeleteOptions'), schemas);
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.36.2' },
    paths,
    components: { schemas },
  };
}
