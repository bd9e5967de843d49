import { isDeepStrictEqual } from 'node:util';

/** Whether two statuses say the same. The API server leaves out counts of zero, empty lists and empty maps. */
export function sameStatus(left: object | undefined, right: object | undefined): boolean {
  return isDeepStrictEqual(said(left), said(right));
}

function said(status: object | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => !isNothing(value)));
}

function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === 0) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
