/** Lists: selectors, pages and the meanings of resourceVersion. */
import { badRequest, expired, field, invalid } from '../errors.ts';
import type { ApiObject, JsonObject } from '../json.ts';
import { present } from '../kinds/kind.ts';
import { type Matcher, matcher } from '../store/selectors.ts';
import type { Call } from './call.ts';
import { bucketOf } from './writes.ts';

export interface Listed {
  readonly items: ApiObject[];
  readonly metadata: JsonObject;
}

export function matcherOf(call: Call): Matcher {
  return matcher({
    label: call.query.get('labelSelector') ?? undefined,
    field: call.query.get('fieldSelector') ?? undefined,
    fields: call.kind.fields,
  });
}

export function prefixOf(call: Call): string {
  return call.kind.namespaced && call.namespace ? `${call.namespace}/` : '';
}

interface Token {
  readonly rv: number;
  readonly after: string;
}

function encodeToken(token: Token): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: token.rv, start: token.after })).toString(
    'base64url',
  );
}

function decodeToken(text: string): Token {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as { rv: number; start: string };
    if (typeof token.rv === 'number' && typeof token.start === 'string')
      return { rv: token.rv, after: token.start };
  } catch {
    // Falls through to the refusal.
  }
  throw badRequest('continue key is not valid: illegal base64 data');
}

/** @throws StatusError 410 when a continue token or an exact revision is older than the history */
export function listObjects(call: Call): Listed {
  const { query } = call;
  const store = call.core.store;
  const limit = Number(query.get('limit') ?? 0) || undefined;
  const token = query.get('continue');
  const asked = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  let revision: number | undefined;
  let after: string | undefined;
  if (match && !asked) {
    const options = { group: 'meta.k8s.io', kind: 'ListOptions' };
    const why = 'resourceVersionMatch is forbidden unless resourceVersion is provided';
    throw invalid(options, '', [field.forbidden('resourceVersionMatch', why)]);
  }
  if (token) {
    if (asked && asked !== '0')
      throw badRequest('specifying resource version is not allowed when using continue');
    ({ rv: revision, after } = decodeToken(token));
  } else if (asked) {
    const parsed = store.parse(asked);
    if (match === 'Exact') {
      if (parsed === 0) throw badRequest('resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
      revision = parsed;
    }
  }
  const bucket = bucketOf(call);
  if (token && revision !== undefined && revision > store.revision)
    throw expired('The provided continue parameter is too old.');
  const page = bucket.page({ prefix: prefixOf(call), matches: matcherOf(call), revision, limit, after });
  const metadata: JsonObject = { resourceVersion: String(page.revision) };
  if (page.next !== undefined) {
    metadata['continue'] = encodeToken({ rv: page.revision, after: page.next });
    // Selectors make the real server leave the count out, since it does not look at the rest.
    if (!query.get('labelSelector') && !query.get('fieldSelector'))
      metadata['remainingItemCount'] = page.remaining;
  }
  return { items: page.items.map((item) => present(call.kind, item)), metadata };
}
