/**
 * Schemas of the built-in kinds, derived on demand from the models that `@kubernetes/client-node` generates from the
 * official OpenAPI documents: the JavaScript half of a model holds names, types and formats as JSON, the declaration
 * half holds descriptions and which fields are required.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { atomicModels, listTypes, mapTypes, retainKeys, strategicOnly } from './list-types.ts';
import { addSchemas, type Schema } from './schema.ts';

interface Attribute {
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

const folder = join(dirname(fileURLToPath(import.meta.resolve('@kubernetes/client-node'))), 'gen', 'models');

const byModel = new Map<string, Schema>();
const modelByDefinition = new Map<string, string>();

/** Fields that hold resource quantities, which clients may also write as numbers. */
const quantityMaps = new Set([
  'limits',
  'requests',
  'capacity',
  'allocatable',
  'hard',
  'used',
  'overhead',
  'podFixed',
  'allocatedResources',
  'default',
  'defaultRequest',
  'max',
  'min',
  'maxLimitRequestRatio',
]);
const quantities = new Set(['sizeLimit', 'averageValue', 'divisor', 'storageCapacity', 'maximumVolumeSize']);
const quantityModels = new Set(['V2MetricTarget', 'V2MetricValueStatus']);

const quantity: Schema = {
  description: 'Quantity is a fixed-point number with an optional SI or binary suffix.',
  type: 'string',
  anyOf: [{ type: 'string' }, { type: 'number' }],
  'x-kubernetes-int-or-string': true,
};
const intOrString: Schema = {
  type: 'string',
  format: 'int-or-string',
  anyOf: [{ type: 'integer' }, { type: 'string' }],
  'x-kubernetes-int-or-string': true,
};

/** `V1PodSpec` → `io.k8s.api.v1.PodSpec`, `CoreV1Event` → `io.k8s.api.core.v1.Event`. */
export function definitionName(model: string): string {
  const match = /^([A-Z][a-z]+)??(V\d+(?:alpha\d+|beta\d+)?)([A-Z].*)$/.exec(model);
  const name = match
    ? `io.k8s.api.${match[1] ? `${match[1].toLowerCase()}.` : ''}${match[2]!.toLowerCase()}.${match[3]}`
    : `io.k8s.api.${model}`;
  modelByDefinition.set(name, model);
  return name;
}

export function reference(model: string): Schema {
  return { $ref: `#/components/schemas/${definitionName(model)}` };
}

function typeSchema(attribute: Attribute, model: string): Schema {
  const { type, format, baseName } = attribute;
  const list = /^Array<(.*)>$/.exec(type);
  if (list) {
    return { type: 'array', items: typeSchema({ baseName: '', type: list[1]!, format }, model) };
  }
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type);
  if (map) {
    const value =
      map[1] === 'string' && quantityMaps.has(baseName)
        ? quantity
        : typeSchema({ baseName: '', type: map[1]!, format }, model);
    return { type: 'object', additionalProperties: value };
  }
  switch (type) {
    case 'string':
      if (quantities.has(baseName) || (quantityModels.has(model) && baseName === 'value')) return quantity;
      return format ? { type: 'string', format } : { type: 'string' };
    case 'number':
      return format === 'double'
        ? { type: 'number', format }
        : { type: 'integer', format: format || 'int32' };
    case 'boolean':
      return { type: 'boolean' };
    case 'Date':
      return { type: 'string', format: 'date-time' };
    case 'V1MicroTime':
      return { type: 'string', format: 'date-time' };
    case 'IntOrString':
      return intOrString;
    case 'any':
    case 'object':
      return { 'x-kubernetes-preserve-unknown-fields': true };
    default:
      return reference(type);
  }
}

function readAttributes(model: string): Attribute[] {
  const text = readFileSync(join(folder, `${model}.js`), 'utf8');
  const match = /attributeTypeMap = (\[[\s\S]*?\n\]|\[\]);/.exec(text);
  if (!match) throw new Error(`the model ${model} has no attribute map`);
  return JSON.parse(match[1]!) as Attribute[];
}

function unescapeComment(text: string): string {
  return text.replace(/\\(["'`*])/g, '$1').trim();
}

function readDeclaration(model: string): {
  description: string;
  fields: Map<string, { description: string; required: boolean }>;
} {
  const text = readFileSync(join(folder, `${model}.d.ts`), 'utf8');
  const classAt = text.indexOf('export declare class');
  const head = /\/\*\*\n\* ([\s\S]*?)\n\*\/\nexport declare class/.exec(text);
  const fields = new Map<string, { description: string; required: boolean }>();
  const pattern = /(?:\/\*\*\s*\n\s*\* (.*)\n\s*\*\/\n\s*)?'([^']+)'(\??): /g;
  pattern.lastIndex = classAt;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    fields.set(match[2]!, { description: unescapeComment(match[1] ?? ''), required: match[3] !== '?' });
  }
  return { description: unescapeComment(head?.[1] ?? ''), fields };
}

function annotate(model: string, name: string, schema: Schema): Schema {
  const list = listTypes[model]?.[name];
  const annotated: Schema = { ...schema };
  if (annotated.type === 'array') {
    annotated['x-kubernetes-list-type'] = list?.keys ? 'map' : list?.set ? 'set' : 'atomic';
    if (list?.keys) {
      annotated['x-kubernetes-list-map-keys'] = [...list.keys];
      const key = list.merge ?? list.keys[0]!;
      if (key) {
        annotated['x-kubernetes-patch-merge-key'] = key;
        annotated['x-kubernetes-patch-strategy'] = list.retainKeys ? 'merge,retainKeys' : 'merge';
      }
    } else if (list?.mergeScalars) {
      annotated['x-kubernetes-patch-strategy'] = 'merge';
    }
    const key = strategicOnly[model]?.[name];
    if (key) {
      annotated['x-kubernetes-patch-merge-key'] = key;
      annotated['x-kubernetes-patch-strategy'] = 'merge';
    }
  }
  const map = mapTypes[model]?.[name];
  if (map) annotated['x-kubernetes-map-type'] = map;
  if (retainKeys[model]?.includes(name)) annotated['x-kubernetes-patch-strategy'] = 'retainKeys';
  return annotated;
}

/** Defaults that stand for a list-map key where an item leaves it out. */
const keyDefaults: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  V1ContainerPort: { protocol: 'TCP' },
  V1ServicePort: { protocol: 'TCP' },
};

/** The schema of a generated model, by its class name. */
export function modelSchema(model: string): Schema {
  const known = byModel.get(model);
  if (known) return known;
  const { description, fields } = readDeclaration(model);
  const properties: { [name: string]: Schema } = {};
  const required: string[] = [];
  for (const attribute of readAttributes(model)) {
    const name = attribute.baseName;
    const declared = [...fields].find(
      ([key]) => key === name || key.replace(/^_/, '') === name.replace(/^\$/, ''),
    );
    const schema = annotate(model, name, typeSchema(attribute, model));
    const value = keyDefaults[model]?.[name];
    if (value !== undefined) schema.default = value;
    if (declared?.[1].description) schema.description = declared[1].description;
    if (declared?.[1].required) required.push(name);
    properties[name] = schema;
  }
  const schema: Schema = { description, type: 'object', properties };
  if (required.length > 0) schema.required = required;
  if (atomicModels.has(model)) schema['x-kubernetes-map-type'] = 'atomic';
  byModel.set(model, schema);
  return schema;
}

/** The model behind a definition name handed out by `definitionName`. */
export function modelOf(definition: string): string | undefined {
  return modelByDefinition.get(definition);
}

export function hasModel(model: string): boolean {
  return existsSync(join(folder, `${model}.js`));
}

addSchemas((name) => {
  const model = modelByDefinition.get(name);
  return model ? modelSchema(model) : undefined;
});
