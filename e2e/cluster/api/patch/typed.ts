/**
 * Values under a schema, as server-side apply sees them: which paths a value holds, how two values differ, how an
 * applied configuration merges into the live object, and how paths are taken out again.
 */
import { canonical, clone, equal, isObject, type Json, type JsonObject, own, setOwn } from '../json.ts';
import { deref, isAtomicMap, keyDefault, listType, memberSchema, type Schema } from '../schema/schema.ts';
import { FieldSet } from './field-set.ts';

type Shape = 'scalar' | 'map' | 'list';

function shapeOf(value: Json | undefined, schema: Schema | undefined): Shape {
  if (isObject(value)) return isAtomicMap(schema) ? 'scalar' : 'map';
  if (Array.isArray(value)) return listType(schema).type === 'atomic' ? 'scalar' : 'list';
  return 'scalar';
}

function isNamedField(schema: Schema | undefined, key: string): boolean {
  const properties = deref(schema)?.properties;
  return properties !== undefined && Object.hasOwn(properties, key);
}

/** The path element of a list item. */
function itemElement(item: Json, schema: Schema | undefined): string {
  const { type, keys } = listType(schema);
  if (type !== 'map' || !isObject(item)) return `v:${JSON.stringify(item)}`;
  const items = deref(schema)?.items;
  const values: JsonObject = {};
  for (const key of keys) {
    const value = own(item, key) ?? keyDefault(items, key);
    if (value !== undefined) setOwn(values, key, value);
  }
  return `k:${canonical(values)}`;
}

function itemSchema(schema: Schema | undefined): Schema | undefined {
  return deref(schema)?.items;
}

/** Items by their element; of duplicates the first counts. */
function itemsByElement(list: readonly Json[], schema: Schema | undefined): Map<string, Json> {
  const found = new Map<string, Json>();
  for (const item of list) {
    const element = itemElement(item, schema);
    if (!found.has(element)) found.set(element, item);
  }
  return found;
}

/** The paths that `value` holds. */
export function fieldSetOf(value: Json, schema: Schema | undefined): FieldSet {
  const set = new FieldSet();
  collect(value, schema, set);
  return set;
}

function collect(value: Json, schema: Schema | undefined, set: FieldSet): void {
  switch (shapeOf(value, schema)) {
    case 'scalar':
      set.member = true;
      return;
    case 'map':
      for (const [key, member] of Object.entries(value as JsonObject)) {
        if (member === undefined) continue;
        const below = set.descend(`f:${key}`);
        collect(member, memberSchema(schema, key), below);
        const hollow = member === null || (isObject(member) && Object.keys(member).length === 0);
        if (hollow || !isNamedField(schema, key)) below.member = true;
        if (below.empty) set.children.delete(`f:${key}`);
      }
      return;
    case 'list':
      for (const [element, item] of itemsByElement(value as Json[], schema)) {
        const below = set.descend(element);
        collect(item, itemSchema(schema), below);
        below.member = true;
      }
  }
}

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

/** How `after` differs from `before`, path by path. */
export function compare(
  before: Json | undefined,
  after: Json | undefined,
  schema: Schema | undefined,
): Comparison {
  const result = { added: new FieldSet(), modified: new FieldSet(), removed: new FieldSet() };
  walk(before, after, schema, [], result);
  return result;
}

function walk(
  before: Json | undefined,
  after: Json | undefined,
  schema: Schema | undefined,
  path: readonly string[],
  result: Comparison,
): void {
  if (before === undefined && after === undefined) return;
  const shapes = [before, after]
    .filter((value) => value !== undefined)
    .map((value) => shapeOf(value, schema));
  if (shapes.length === 2 && shapes[0] !== shapes[1]) {
    if (before !== null) walk(before, undefined, schema, path, result);
    if (after !== null) walk(undefined, after, schema, path, result);
    if (before === null || after === null) result.modified.insert(path);
    return;
  }
  if (shapes[0] === 'scalar') {
    if (before === undefined) result.added.insert(path);
    else if (after === undefined) result.removed.insert(path);
    else if (!equal(before, after)) result.modified.insert(path);
    return;
  }
  const [from, to] =
    shapes[0] === 'map'
      ? [membersOf(before), membersOf(after)]
      : [itemsByElement((before ?? []) as Json[], schema), itemsByElement((after ?? []) as Json[], schema)];
  for (const element of new Set([...from.keys(), ...to.keys()])) {
    const below = shapes[0] === 'map' ? memberSchema(schema, element.slice(2)) : itemSchema(schema);
    walk(from.get(element), to.get(element), below, [...path, element], result);
  }
  if (path.length > 0) {
    if (before === undefined) result.added.insert(path);
    else if (after === undefined) result.removed.insert(path);
  }
}

function membersOf(value: Json | undefined): Map<string, Json> {
  const found = new Map<string, Json>();
  if (!isObject(value)) return found;
  for (const [key, member] of Object.entries(value)) if (member !== undefined) found.set(`f:${key}`, member);
  return found;
}

/** The live value with the applied one merged over it. */
export function mergeApplied(live: Json | undefined, applied: Json, schema: Schema | undefined): Json {
  const shape = shapeOf(applied, schema);
  if (live === undefined || live === null || shape === 'scalar' || shapeOf(live, schema) !== shape) {
    return clone(applied);
  }
  if (shape === 'map') {
    const merged = clone(live) as JsonObject;
    for (const [key, member] of Object.entries(applied as JsonObject)) {
      if (member === undefined) continue;
      setOwn(merged, key, mergeApplied(own(merged, key), member, memberSchema(schema, key)));
    }
    return merged;
  }
  return mergeLists(live as Json[], applied as Json[], schema);
}

/** The applied items come in their own order; those that only the live list has stay behind their neighbours there. */
function mergeLists(live: Json[], applied: Json[], schema: Schema | undefined): Json[] {
  const mine = itemsByElement(applied, schema);
  const theirs = itemsByElement(live, schema);
  const [left, right] = [[...theirs.keys()], [...mine.keys()]];
  /** What both have and is still to come, in the applied order. */
  const shared = right.filter((element) => theirs.has(element));
  const done = new Set<string>();
  const merged: Json[] = [];
  let [l, r] = [0, 0];
  const takeMine = (element: string): void => {
    done.add(element);
    merged.push(mergeApplied(theirs.get(element), mine.get(element)!, itemSchema(schema)));
    if (shared[0] === element) shared.shift();
    r += 1;
  };
  while (l < left.length || r < right.length) {
    const [theirElement, myElement] = [left[l], right[r]];
    if (theirElement !== undefined && !mine.has(theirElement)) {
      merged.push(clone(theirs.get(theirElement)!));
      l += 1;
    } else if (theirElement !== undefined && theirElement === myElement) {
      takeMine(theirElement);
      l += 1;
    } else if (
      theirElement !== undefined &&
      myElement !== undefined &&
      shared.length > 0 &&
      shared[0] !== theirElement
    ) {
      // Both have it, but the applied list wants another one first.
      l += 1;
    } else {
      if (theirElement !== undefined && done.has(theirElement)) l += 1;
      if (myElement !== undefined) takeMine(myElement);
    }
  }
  return merged;
}

/** `value` without the paths in `gone`. What becomes empty stays, unless it is itself in `gone`. */
export function removePaths(value: Json, schema: Schema | undefined, gone: FieldSet): Json {
  const shape = shapeOf(value, schema);
  if (shape === 'scalar' || gone.children.size === 0) return value;
  if (shape === 'map') {
    const rest: JsonObject = {};
    for (const [key, member] of Object.entries(value as JsonObject)) {
      const below = gone.children.get(`f:${key}`);
      if (below?.member || member === undefined) continue;
      setOwn(rest, key, below ? removePaths(member, memberSchema(schema, key), below) : member);
    }
    return rest;
  }
  const rest: Json[] = [];
  for (const item of value as Json[]) {
    const below = gone.children.get(itemElement(item, schema));
    if (below?.member) continue;
    rest.push(below ? removePaths(item, itemSchema(schema), below) : item);
  }
  return rest;
}

/** The set with the declared fields on the way to its members in it too: who holds `spec.a.b` holds `spec.a`. */
export function withNamedFields(set: FieldSet, schema: Schema | undefined): FieldSet {
  const result = new FieldSet();
  result.member = set.member;
  for (const [element, child] of set.children) {
    const name = element.startsWith('f:') ? element.slice(2) : undefined;
    const below = withNamedFields(
      child,
      name === undefined ? itemSchema(schema) : memberSchema(schema, name),
    );
    if (name !== undefined && child.children.size > 0 && isNamedField(schema, name)) below.member = true;
    result.children.set(element, below);
  }
  return result;
}
