/** Whether two JSON values say the same; an absent field and an undefined one are alike, the order of fields is not looked at. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, i) => sameJson(item, b[i]))
    );
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].every((key) =>
    sameJson(left[key], right[key]),
  );
}

/**
 * Whether `whole` says all that `part` says. Objects may have more fields than are asked for; lists must have the same
 * length, since an item more is a change.
 */
export function holdsJson(whole: unknown, part: unknown): boolean {
  if (part === undefined || Object.is(whole, part)) return true;
  if (typeof whole !== 'object' || typeof part !== 'object' || whole === null || part === null) return false;
  if (Array.isArray(whole) || Array.isArray(part)) {
    return (
      Array.isArray(whole) &&
      Array.isArray(part) &&
      whole.length === part.length &&
      part.every((item, i) => holdsJson(whole[i], item))
    );
  }
  const fields = whole as Readonly<Record<string, unknown>>;
  return Object.entries(part).every(([key, value]) => holdsJson(fields[key], value));
}
