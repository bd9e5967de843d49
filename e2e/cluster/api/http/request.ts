/** A request, taken apart: which resource the path names, which verb the method means, which form is wanted. */
import type { IncomingMessage } from 'node:http';
import { parse as parseYaml } from 'yaml';
import { badRequest, StatusError } from '../errors.ts';
import type { Json } from '../json.ts';
import type { Form } from '../resource/wire.ts';
import { duplicateKeys } from './duplicates.ts';
import { decodeProtobuf } from './protobuf.ts';

export interface Target {
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly resource: string;
  readonly name: string | undefined;
  readonly subresource: string;
  /** What follows a `proxy` subresource. */
  readonly rest: string;
  /** The old `/watch/` prefix. */
  readonly watch: boolean;
}

/** Undefined when the path names no resource. */
export function parseTarget(path: string): Target | undefined {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decode);
  let group: string;
  let version: string;
  let rest: string[];
  if (parts[0] === 'api' && parts.length >= 3) [group, version, rest] = ['', parts[1]!, parts.slice(2)];
  else if (parts[0] === 'apis' && parts.length >= 4)
    [group, version, rest] = [parts[1]!, parts[2]!, parts.slice(3)];
  else return undefined;
  const watch = rest[0] === 'watch' && rest.length > 1;
  if (watch) rest = rest.slice(1);
  let namespace: string | undefined;
  if (rest[0] === 'namespaces' && rest.length > 2 && !['status', 'finalize'].includes(rest[2]!)) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const [resource, name, subresource = '', ...more] = rest;
  return { group, version, namespace, resource: resource!, name, subresource, rest: more.join('/'), watch };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest(`the path segment ${part} is not well encoded`);
  }
}

export function verbOf(method: string, target: Target, query: URLSearchParams): string {
  const watch = target.watch || query.get('watch') === 'true' || query.get('watch') === '1';
  switch (method) {
    case 'GET':
    case 'HEAD':
      // A path that names one object is read, whatever `watch` says; only the old prefix watches it.
      if (watch && !target.subresource && (!target.name || target.watch)) return 'watch';
      return target.name ? 'get' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return target.name ? 'delete' : 'deletecollection';
    default:
      throw new StatusError(
        405,
        'MethodNotAllowed',
        'the server does not allow this method on the requested resource',
      );
  }
}

/** The first acceptable form of the answer. @throws StatusError 406 when none is */
export function negotiate(accept: string | undefined): Form {
  const types = (accept || '*/*').split(',').map((each) => each.trim());
  for (const type of types) {
    const [media, ...rest] = type.split(';').map((part) => part.trim());
    const parameters = new Map(rest.map((part) => part.split('=', 2) as [string, string]));
    if (
      media !== 'application/json' &&
      media !== '*/*' &&
      media !== 'application/*' &&
      media !== 'application/yaml'
    )
      continue;
    if (media === 'application/yaml') continue;
    const as = parameters.get('as');
    const version = parameters.get('v') ?? 'v1';
    if (as === 'Table') return { type: 'table', version, include: 'Metadata' };
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')
      return { type: 'metadata', version };
    if (!as) return { type: 'object' };
  }
  const message =
    'only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf';
  throw new StatusError(
    406,
    'NotAcceptable',
    message.replace(', application/yaml, application/vnd.kubernetes.protobuf', ''),
  );
}

const bodyLimit = 3 * 1024 * 1024;

/** @throws StatusError 413 when the body is longer than the API takes */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bodyLimit) {
      const message = `Request entity too large: limit is ${bodyLimit}`;
      throw new StatusError(413, 'RequestEntityTooLarge', message);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export interface Body {
  readonly value: Json | undefined;
  /** Paths of keys that occurred more than once. */
  readonly duplicates: string[];
}

/** @throws StatusError 400 when the text is neither JSON nor YAML, 415 for CBOR */
export function parseBody(bytes: Buffer, contentType: string | undefined): Body {
  if (bytes.length === 0) return { value: undefined, duplicates: [] };
  const media = (contentType ?? 'application/json').split(';')[0]!.trim();
  if (media === 'application/vnd.kubernetes.protobuf') {
    try {
      return { value: decodeProtobuf(bytes), duplicates: [] };
    } catch (error) {
      throw badRequest(
        `the body is not well-formed protobuf: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
  if (media.includes('cbor')) {
    const supported = 'application/json, application/yaml, application/vnd.kubernetes.protobuf';
    const message = `the body of the request was in an unknown format - accepted media types include: ${supported}`;
    throw new StatusError(415, 'UnsupportedMediaType', message);
  }
  const text = bytes.toString('utf8');
  try {
    if (media.endsWith('yaml')) return parseYamlBody(text);
    return { value: JSON.parse(text) as Json, duplicates: duplicateKeys(text) };
  } catch (error) {
    if (media === 'application/apply-patch+yaml') return parseYamlBody(text);
    throw badRequest(`error decoding the body: ${(error as Error).message}`);
  }
}

function parseYamlBody(text: string): Body {
  if (text.trimStart().startsWith('{')) {
    try {
      return { value: JSON.parse(text) as Json, duplicates: duplicateKeys(text) };
    } catch {
      // YAML in flow style is not always JSON.
    }
  }
  try {
    return { value: parseYaml(text, { uniqueKeys: true, maxAliasCount: 100 }) as Json, duplicates: [] };
  } catch (error) {
    throw badRequest(`error decoding YAML: ${(error as Error).message}`);
  }
}
