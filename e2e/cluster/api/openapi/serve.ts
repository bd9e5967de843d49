/** The published OpenAPI documents. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { notAcceptable, pathNotFound } from '../errors.ts';
import { sendText } from '../http/respond.ts';
import type { JsonObject } from '../json.ts';
import type { Registry } from '../kinds/registry.ts';
import { groupDocument } from './documents.ts';

interface Cached {
  readonly generation: number;
  readonly texts: Map<string, { text: string; hash: string }>;
}

const caches = new WeakMap<Registry, Cached>();

/** Documents are made when they are first asked for, and again after the set of kinds changed. */
function documentOf(registry: Registry, path: string): { text: string; hash: string } | undefined {
  let cache = caches.get(registry);
  if (cache?.generation !== registry.generation) {
    cache = { generation: registry.generation, texts: new Map() };
    caches.set(registry, cache);
  }
  let entry = cache.texts.get(path);
  if (!entry) {
    const [prefix, ...rest] = path.split('/');
    const [group, version] = prefix === 'api' ? ['', rest[0]] : [rest[0], rest[1]];
    const value: JsonObject | undefined = version ? groupDocument(registry, group!, version) : undefined;
    if (!value) return undefined;
    const text = JSON.stringify(value);
    entry = { text, hash: createHash('sha256').update(text).digest('hex').toUpperCase() };
    cache.texts.set(path, entry);
  }
  return entry;
}

function index(registry: Registry): JsonObject {
  const paths: JsonObject = {};
  for (const { group, versions } of registry.groups()) {
    for (const version of versions) {
      const path = group ? `apis/${group}/${version}` : `api/${version}`;
      // The set's generation stands in for the hash of a document that nobody has asked for yet.
      paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${registry.generation}` };
    }
  }
  return { paths };
}

export function serveOpenApi(
  registry: Registry,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): void {
  const path = url.pathname.replace(/\/+$/, '');
  const accept = request.headers.accept ?? '*/*';
  const takesJson = accept
    .split(',')
    .some((each) => /^\s*(application\/json|\*\/\*|application\/\*)/.test(each));
  if (path === '/openapi/v2') {
    // Clients that understand v3 never get here; those that do not want protobuf, which is not made here.
    if (!takesJson) throw notAcceptable('application/json');
    const empty = {
      swagger: '2.0',
      info: { title: 'Kubernetes', version: 'v1.36.2' },
      paths: {},
      definitions: {},
    };
    sendText(response, 200, JSON.stringify(empty));
    return;
  }
  if (!takesJson) throw notAcceptable('application/json');
  if (path === '/openapi/v3') {
    sendText(response, 200, JSON.stringify(index(registry)));
    return;
  }
  const entry = path.startsWith('/openapi/v3/')
    ? documentOf(registry, path.slice('/openapi/v3/'.length))
    : undefined;
  if (!entry) throw pathNotFound();
  sendText(response, 200, entry.text, { headers: { etag: JSON.stringify(entry.hash) } });
}
