/** From a CustomResourceDefinition to TypeScript: interfaces with readonly fields and the schema's descriptions. */

/** The part of a structural schema that types depend on. */
export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
}

export interface Crd {
  readonly spec: {
    readonly group: string;
    readonly scope: 'Namespaced' | 'Cluster';
    readonly names: { readonly kind: string; readonly plural: string };
    readonly versions: readonly {
      readonly name: string;
      readonly storage: boolean;
      readonly schema: { readonly openAPIV3Schema: Schema };
    }[];
  };
}

/** `ModelVersion` → `model-version`, `GPUPool` → `gpu-pool`. */
export function fileNameOf(kind: string): string {
  return kind.replace(/([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])/g, '$1$3-$2$4').toLowerCase();
}

/**
 * The source of `operator/api/generated/<kind>.ts`. Types are those of objects as the API server returns them: a
 * field with a default is always there.
 * @throws Error naming the path of a schema that has no TypeScript counterpart.
 */
export function typesOf(crd: Crd, source: string): string {
  const { group, scope, names } = crd.spec;
  const version = crd.spec.versions.find((v) => v.storage);
  if (version === undefined) throw new Error(`${source}: no version is stored`);
  const { kind } = names;
  const { properties = {}, required = [], description } = version.schema.openAPIV3Schema;
  const emitter = new Emitter(kind);
  const members = ['spec', 'status'].flatMap((field) => {
    const schema = properties[field];
    if (schema === undefined) return [];
    const name = `${kind}${capital(field)}`;
    const type = emitter.interfaceOf(name, field === 'spec' ? kind : name, schema, field);
    return `  readonly ${field}${isPresent(field, schema, required) ? '' : '?'}: ${type};`;
  });
  const constant = fileNameOf(kind).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  const lines = [
    `// Generated from ${source} by scripts/generate.ts. Change that file and run \`npm run generate\`.`,
    '',
    `import type { ObjectMeta } from '../kubernetes.ts';`,
    '',
    `export const ${constant}Resource = {`,
    `  group: '${group}',`,
    `  version: '${version.name}',`,
    `  plural: '${names.plural}',`,
    `  kind: '${kind}',`,
    `  namespaced: ${scope === 'Namespaced'},`,
    '} as const;',
    '',
    ...docstring(description, ''),
    `export interface ${kind} {`,
    `  readonly apiVersion: '${group}/${version.name}';`,
    `  readonly kind: '${kind}';`,
    '  readonly metadata: ObjectMeta;',
    ...members,
    '}',
    ...emitter.interfaces(),
  ];
  return `${lines.join('\n')}\n`;
}

class Emitter {
  readonly #kind: string;
  /** By name, in the order of the schema; a name is taken as soon as its interface is begun. */
  readonly #interfaces = new Map<string, string[]>();

  constructor(kind: string) {
    this.#kind = kind;
  }

  interfaces(): string[] {
    return [...this.#interfaces.values()].flatMap((lines) => ['', ...lines]);
  }

  /** @param prefix what the names of nested interfaces begin with. */
  interfaceOf(name: string, prefix: string, schema: Schema, path: string): string {
    if (name === this.#kind || this.#interfaces.has(name)) {
      throw new Error(`${path}: a second interface would be named ${name}`);
    }
    const lines: string[] = [];
    this.#interfaces.set(name, lines);
    const members = Object.entries(schema.properties ?? {}).flatMap(([field, child]) => {
      const type = this.#typeOf(child, field, prefix, `${path}.${field}`);
      const optional = isPresent(field, child, schema.required) ? '' : '?';
      return [...docstring(child.description, '  '), `  readonly ${property(field)}${optional}: ${type};`];
    });
    const doc = path === 'spec' || path === 'status' ? [] : docstring(schema.description, '');
    lines.push(...doc, `export interface ${name} {`, ...members, '}');
    return name;
  }

  #typeOf(schema: Schema, field: string, prefix: string, path: string): string {
    const type = this.#plainTypeOf(schema, field, prefix, path);
    return schema.nullable ? `${type} | null` : type;
  }

  #plainTypeOf(schema: Schema, field: string, prefix: string, path: string): string {
    if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ');
    if (schema['x-kubernetes-int-or-string']) return 'string | number';
    switch (schema.type) {
      case 'string':
        return 'string';
      case 'boolean':
        return 'boolean';
      case 'integer':
      case 'number':
        return 'number';
      case 'array': {
        if (schema.items === undefined) throw new Error(`${path}: an array without items`);
        const item = this.#typeOf(schema.items, singular(field), prefix, `${path}[]`);
        return item.includes(' ') ? `readonly (${item})[]` : `readonly ${item}[]`;
      }
      case 'object':
        return this.#objectType(schema, field, prefix, path);
      default:
        if (schema['x-kubernetes-preserve-unknown-fields']) return 'unknown';
        throw new Error(`${path}: type ${schema.type ?? '(absent)'} has no TypeScript counterpart`);
    }
  }

  #objectType(schema: Schema, field: string, prefix: string, path: string): string {
    if (schema.properties !== undefined) {
      const name = `${prefix}${capital(field)}`;
      return this.interfaceOf(name, name, schema, path);
    }
    const values = schema.additionalProperties;
    if (typeof values === 'object') {
      return `Readonly<Record<string, ${this.#typeOf(values, singular(field), prefix, `${path}{}`)}>>`;
    }
    if (values === true || schema['x-kubernetes-preserve-unknown-fields'])
      return 'Readonly<Record<string, unknown>>';
    throw new Error(`${path}: an object without properties would be pruned to nothing`);
  }
}

function isPresent(field: string, schema: Schema, required: readonly string[] | undefined): boolean {
  return schema.default !== undefined || (required?.includes(field) ?? false);
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value.replace(/[\\']/g, '\\$&')}'` : JSON.stringify(value);
}

function property(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : `'${name}'`;
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** Good enough for field names: `steps` → `step`, `retries` → `retry`, `status` stays. */
function singular(word: string): string {
  if (word.endsWith('ies')) return `${word.slice(0, -3)}y`;
  return word.endsWith('s') && !word.endsWith('ss') && !word.endsWith('us') ? word.slice(0, -1) : word;
}

function docstring(description: string | undefined, indent: string): string[] {
  if (!description) return [];
  const words = description.replaceAll('*/', '* /').split(/\s+/);
  const lines: string[] = [];
  let line = '';
  for (const word of words) {
    if (line !== '' && indent.length + 3 + line.length + 1 + word.length > 110) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  if (lines.length === 1 && indent.length + lines[0]!.length + 7 <= 110)
    return [`${indent}/** ${lines[0]} */`];
  return [`${indent}/**`, ...lines.map((l) => `${indent} * ${l}`), `${indent} */`];
}
