/** RFC 7386. */
import { clone, isObject, type Json, type JsonObject, own, setOwn } from '../json.ts';

export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return clone(patch);
  const result: JsonObject = isObject(target) ? clone(target) : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) setOwn(result, key, mergePatch(own(result, key), value));
  }
  return result;
}
