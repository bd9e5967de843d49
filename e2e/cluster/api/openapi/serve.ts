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

const title = 'Kubernetes';
const versionText = 'v1.36.2';

function protobufText(number: number, value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}

/**
 * Version 2 holds nothing: clients of this age read version 3, and look here only for kinds that version 3 lacks. They
 * ask for protobuf then.
 */
function serveVersion2(accept: string, takesJson: boolean, response: ServerResponse): void {
  const type = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
  if (accept.includes('proto-openapi.spec.v2')) {
    const info = Buffer.concat([protobufText(1, title), protobufText(2, versionText)]);
    const document = [
      protobufText(1, '2.0'),
      protobufText(2, info),
      protobufText(8, ''),
      protobufText(9, ''),
    ];
    response.writeHead(200, { 'content-type': type, vary: 'Accept' });
    response.end(Buffer.concat(document));
    return;
  }
  if (!takesJson) throw notAcceptable(`application/json, ${type}`);
  const empty = { swagger: '2.0', info: { title, version: versionText }, paths: {}, definitions: {} };
  sendText(response, 200, JSON.stringify(empty));
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
    serveVersion2(accept, takesJson, response);
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
  const etag = JSON.stringify(entry.hash);
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, { etag });
    response.end();
    return;
  }
  sendText(response, 200, entry.text, { headers: { etag } });
}
