/** Strategic merge patch: a merge patch that merges lists by key, with `$patch` directives. */
import { badRequest, StatusError } from '../errors.ts';
import { canonical, clone, equal, isObject, type Json, type JsonObject, own, setOwn } from '../json.ts';
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
      const order = own(patch, `${setOrder}${key}`);
      setOwn(
        result,
        key,
        mergeList(
          Array.isArray(present) ? present : [],
          value,
          below,
          Array.isArray(order) ? order : undefined,
        ),
      );
    } else if (isObject(value)) {
      const merged = mergeObject(isObject(present) ? present : {}, value, below);
      if (merged) setOwn(result, key, merged);
      else delete result[key];
    } else {
      setOwn(result, key, value);
    }
  }
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(setOrder) || !Array.isArray(order)) continue;
    const name = key.slice(setOrder.length);
    const list = own(result, name);
    if (own(patch, name) !== undefined || !Array.isArray(list)) continue;
    setOwn(result, name, arrange(list, order, list, memberSchema(schema, name)));
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

/** @throws StatusError 500, as Kubernetes does, when the patch's own items are not in the order it asks for */
function checkOrder(patch: Json[], order: Json[], key: string | undefined): void {
  const identity = (item: Json): string => canonical(key && isObject(item) ? own(item, key) : item);
  const kept = patch.filter((item) => !isObject(item) || item['$patch'] === undefined);
  let position = 0;
  for (const each of order) {
    if (position < kept.length && identity(kept[position]!) === identity(each)) position += 1;
  }
  if (position === kept.length) return;
  const message = `The order in patch list:\n${JSON.stringify(patch)}\n doesn't match $setElementOrder list:\n${JSON.stringify(order)}\n`;
  throw new StatusError(500, '', message);
}

/** @param order which order the patch asks for; absent, that of its own items */
function mergeList(target: Json[], patch: Json[], schema: Schema | undefined, order?: Json[]): Json[] {
  const key = mergeKey(schema);
  if (order) checkOrder(patch, order, key);
  if (!merges(schema)) return patch.map((item) => (isObject(item) ? withoutDirectives(item) : clone(item)));
  if (!key) {
    const merged = [...target];
    for (const item of patch) if (!merged.some((each) => equal(each, item))) merged.push(clone(item));
    return arrange(merged, order ?? patch, target, schema);
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
  return arrange(merged, order ?? entries, target, schema);
}

/**
 * The items that `order` names come as it says. The others keep their place before those that followed them in the live
 * list; where that says nothing, the named ones go first.
 */
function arrange(merged: Json[], order: Json[], live: Json[], schema: Schema | undefined): Json[] {
  const key = mergeKey(schema);
  const identity = (item: Json): string => canonical(key && isObject(item) ? own(item, key) : item);
  const rank = new Map(order.map((item, position) => [identity(item), position]));
  const place = new Map(live.map((item, position) => [identity(item), position]));
  const at = (positions: Map<string, number>, item: Json) => positions.get(identity(item)) ?? -1;
  const named = merged.filter((item) => rank.has(identity(item))).sort((a, b) => at(rank, a) - at(rank, b));
  const others = merged
    .filter((item) => !rank.has(identity(item)))
    .sort((a, b) => at(place, a) - at(place, b));
  const result: Json[] = [];
  while (named.length > 0 && others.length > 0) {
    const [other, next] = [at(place, others[0]!), at(place, named[0]!)];
    result.push(other >= 0 && next >= 0 && other < next ? others.shift()! : named.shift()!);
  }
  return [...result, ...named, ...others];
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
