/** Strategic merge patch: a merge patch that merges lists by key, with `$patch` directives. */
import { badRequest } from '../errors.ts';
import { clone, equal, isObject, type Json, type JsonObject, own, setOwn } from '../json.ts';
import { deref, memberSchema, type Schema } from '../schema/schema.ts';

const setOrder = '$setElementOrder/';
const deleteFrom = '$deleteFromPrimitiveList/';

export function strategicPatch(
  target: JsonObject,
  patch: JsonObject,
  schema: Schema | undefined,
): JsonObject {
  const result = mergeObject(target, patch, schema);
  return result ?? {};
}

/** The merged object, or undefined when the patch deletes it. */
function mergeObject(
  target: JsonObject,
  patch: JsonObject,
  schema: Schema | undefined,
): JsonObject | undefined {
  const directive = patch['$patch'];
  if (directive === 'delete') return undefined;
  if (directive === 'replace') return withoutDirectives(patch);
  if (directive !== undefined && directive !== 'merge') {
    throw badRequest(`Unknown patch type found: ${JSON.stringify(directive)}`);
  }
  let result = clone(target);
  const retain = patch['$retainKeys'];
  if (Array.isArray(retain)) {
    result = Object.fromEntries(Object.entries(result).filter(([key]) => retain.includes(key)));
  }
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined || key === '$patch' || key === '$retainKeys') continue;
    if (key.startsWith(deleteFrom)) {
      const name = key.slice(deleteFrom.length);
      const list = own(result, name);
      const gone = value as Json[];
      if (Array.isArray(list))
        setOwn(
          result,
          name,
          list.filter((item) => !gone.some((each) => equal(each, item))),
        );
      continue;
    }
    if (key.startsWith(setOrder)) continue;
    const below = memberSchema(schema, key);
    const present = own(result, key);
    if (value === null) {
      delete result[key];
    } else if (Array.isArray(value)) {
      setOwn(result, key, mergeList(Array.isArray(present) ? present : [], value, below));
    } else if (isObject(value)) {
      const merged = mergeObject(isObject(present) ? present : {}, value, below);
      if (merged) setOwn(result, key, merged);
      else delete result[key];
    } else {
      setOwn(result, key, value);
    }
  }
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith(setOrder) || !Array.isArray(value)) continue;
    const name = key.slice(setOrder.length);
    const list = own(result, name);
    if (Array.isArray(list)) setOwn(result, name, reorder(list, value, memberSchema(schema, name)));
  }
  return result;
}

function mergeKey(schema: Schema | undefined): string | undefined {
  return schema?.['x-kubernetes-patch-merge-key'] ?? deref(schema)?.['x-kubernetes-patch-merge-key'];
}

function merges(schema: Schema | undefined): boolean {
  const strategy = schema?.['x-kubernetes-patch-strategy'] ?? deref(schema)?.['x-kubernetes-patch-strategy'];
  return strategy?.split(',').includes('merge') === true;
}

function mergeList(target: Json[], patch: Json[], schema: Schema | undefined): Json[] {
  const key = mergeKey(schema);
  if (!merges(schema)) return patch.map((item) => (isObject(item) ? withoutDirectives(item) : clone(item)));
  if (!key) {
    const merged = [...target];
    for (const item of patch) if (!merged.some((each) => equal(each, item))) merged.push(clone(item));
    return merged;
  }
  const entries = patch.filter(isObject);
  if (entries.some((entry) => entry['$patch'] === 'replace')) {
    return entries.filter((entry) => entry['$patch'] !== 'replace').map(withoutDirectives);
  }
  const items = deref(schema)?.items;
  let merged = [...target];
  for (const entry of entries) {
    const name = own(entry, key);
    if (name === undefined)
      throw badRequest(`map: ${JSON.stringify(entry)} does not contain declared merge key: ${key}`);
    const same = (item: Json) => isObject(item) && equal(own(item, key), name);
    if (entry['$patch'] === 'delete') {
      merged = merged.filter((item) => !same(item));
      continue;
    }
    const position = merged.findIndex(same);
    if (position < 0) merged.push(mergeObject({}, entry, items) ?? {});
    else merged[position] = mergeObject(merged[position] as JsonObject, entry, items) ?? {};
  }
  return merged;
}

/** Sorts the items that `order` names as it says; the others stay behind their neighbours. */
function reorder(list: Json[], order: Json[], schema: Schema | undefined): Json[] {
  const key = mergeKey(schema);
  const identity = (item: Json): Json | undefined => (key && isObject(item) ? own(item, key) : item);
  const rank = new Map(order.map((item, position) => [JSON.stringify(identity(item) ?? null), position]));
  const named = list.filter((item) => rank.has(JSON.stringify(identity(item) ?? null)));
  named.sort(
    (a, b) => rank.get(JSON.stringify(identity(a) ?? null))! - rank.get(JSON.stringify(identity(b) ?? null))!,
  );
  const rest = list.filter((item) => !rank.has(JSON.stringify(identity(item) ?? null)));
  return [...named, ...rest];
}

function withoutDirectives<T extends Json>(value: T): T {
  if (Array.isArray(value)) return value.map((item) => withoutDirectives(item)) as T;
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const [key, member] of Object.entries(value)) {
    const directive =
      key === '$patch' || key === '$retainKeys' || key.startsWith(setOrder) || key.startsWith(deleteFrom);
    if (!directive && member !== null && member !== undefined) setOwn(result, key, withoutDirectives(member));
  }
  return result as T;
}
