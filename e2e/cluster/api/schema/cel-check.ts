/** Finds fields in a CEL rule that the schema does not have: a rule that can never work is refused with its CRD. */
import type { ASTNode } from '@marcbachmann/cel-js';
import { isObject, own } from '../json.ts';
import { escapeName, isStruct } from './cel-values.ts';
import type { Schema } from './schema.ts';

/** What is known of an expression's type; undefined means anything. */
type Known = { readonly schema: Schema; readonly root: boolean } | undefined;
type Scope = ReadonlyMap<string, Known>;

const macros = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/** Names of undefined fields, in the order of their appearance. */
export function undefinedFields(ast: ASTNode, schema: Schema, root: boolean, optionalOld: boolean): string[] {
  const found: string[] = [];
  const self: Known = { schema, root };
  visit(
    ast,
    new Map<string, Known>([
      ['self', self],
      ['oldSelf', optionalOld ? undefined : self],
    ]),
    found,
  );
  return found;
}

function member(known: Known, name: string, found: string[]): Known {
  if (!known) return undefined;
  const { schema, root } = known;
  const resource = root || schema['x-kubernetes-embedded-resource'] === true;
  if (resource && name === 'metadata') return undefined;
  if (resource && (name === 'apiVersion' || name === 'kind')) return undefined;
  if (schema['x-kubernetes-preserve-unknown-fields'] || schema['x-kubernetes-int-or-string'])
    return undefined;
  if (isStruct(schema)) {
    for (const [property, below] of Object.entries(schema.properties ?? {})) {
      if (escapeName(property) === name) return { schema: below, root: false };
    }
    found.push(name);
    return undefined;
  }
  const additional = schema.additionalProperties;
  return isObject(additional) ? { schema: additional as Schema, root: false } : undefined;
}

function element(known: Known): Known {
  const items = known?.schema.items;
  return items ? { schema: items, root: false } : undefined;
}

function visit(node: ASTNode, scope: Scope, found: string[]): Known {
  switch (node.op) {
    case 'id':
      return scope.get(node.args);
    case '.': {
      const [object, name] = node.args;
      return member(visit(object, scope, found), name, found);
    }
    case '.?': {
      const [object, name] = node.args;
      member(visit(object, scope, found), name, found);
      return undefined;
    }
    case '[]': {
      const [object, index] = node.args;
      const known = visit(object, scope, found);
      visit(index, scope, found);
      if (known?.schema.type === 'array') return element(known);
      const additional = known && own(known.schema, 'additionalProperties');
      return isObject(additional) ? { schema: additional as Schema, root: false } : undefined;
    }
    case 'rcall': {
      const [name, receiver, args] = node.args;
      const known = visit(receiver, scope, found);
      const [variable] = args;
      if (!macros.has(name) || variable?.op !== 'id') {
        for (const each of args) visit(each, scope, found);
        return undefined;
      }
      const inner = new Map(scope);
      inner.set(variable.args, element(known));
      for (const each of args.slice(1)) visit(each, inner, found);
      return name === 'filter' ? known : undefined;
    }
    case 'call':
      for (const each of node.args[1]) visit(each, scope, found);
      return undefined;
    default:
      visitAll(node.args, scope, found);
      return undefined;
  }
}

function visitAll(value: unknown, scope: Scope, found: string[]): void {
  if (Array.isArray(value)) for (const each of value) visitAll(each, scope, found);
  else if (typeof value === 'object' && value !== null && 'op' in value)
    visit(value as ASTNode, scope, found);
}

/** Whether an expression mentions a variable. */
export function mentions(ast: ASTNode, variable: string): boolean {
  let seen = false;
  const look = (value: unknown): void => {
    if (Array.isArray(value)) for (const each of value) look(each);
    else if (typeof value === 'object' && value !== null && 'op' in value) {
      const node = value as ASTNode;
      if (node.op === 'id' && node.args === variable) seen = true;
      look(node.args);
    }
  };
  look(ast);
  return seen;
}
