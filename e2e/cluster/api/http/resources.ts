/** Resource requests: verbs on objects and collections; subresources go to their own handlers. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { badRequest, forbidden, methodNotAllowed, StatusError } from '../errors.ts';
import { type ApiObject, isObject, type Json } from '../json.ts';
import { jsonPatch } from '../patch/json-patch.ts';
import { mergePatch } from '../patch/merge-patch.ts';
import { strategicPatch } from '../patch/strategic-patch.ts';
import type { Call } from '../resource/call.ts';
import { deletedStatus, deleteObject, deleteOptions } from '../resource/deletes.ts';
import { listObjects } from '../resource/reads.ts';
import { serveWatch } from '../resource/watch.ts';
import { type Form, formatList, formatOne } from '../resource/wire.ts';
import { applyPatch, createObject, getObject, patchObject, replaceObject } from '../resource/writes.ts';
import { reviews } from '../reviews.ts';
import type { App } from './app.ts';
import { parseBody, readBody, type Target } from './request.ts';
import { sendJson, sendText } from './respond.ts';
import { serveSubresource } from './subresources.ts';

export interface Exchange {
  readonly call: Call;
  readonly verb: string;
  readonly target: Target;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Negotiated when needed, since not every answer has a form. */
  form(): Form;
}

export async function serveResource(app: App, exchange: Exchange): Promise<void> {
  const { call, verb } = exchange;
  if (call.subresource && (await serveSubresource(app, exchange))) return;
  switch (verb) {
    case 'get':
      sendObject(exchange, 200, getObject(call));
      return;
    case 'list': {
      const form = exchange.form();
      const { items, metadata } = listObjects(call);
      sendText(exchange.response, 200, formatList(call.kind, items, metadata, form), {
        warnings: call.warnings,
      });
      return;
    }
    case 'watch':
      serveWatch(named(call), exchange.response, exchange.form(), app.watches);
      return;
    case 'create':
      await create(app, exchange);
      return;
    case 'update': {
      const { value, duplicates } = await bodyOf(exchange);
      exchange.form();
      const { object, created } = replaceObject(call, value ?? null, duplicates);
      sendObject(exchange, created ? 201 : 200, object);
      return;
    }
    case 'patch':
      await patch(app, exchange);
      return;
    case 'delete': {
      const { value } = await bodyOf(exchange);
      const { object, gone } = deleteObject(call, deleteOptions(call, value));
      const whole = !gone || call.kind.kind === 'Pod';
      if (whole) sendObject(exchange, 200, object);
      else sendJson(exchange.response, 200, deletedStatus(call, object), call.warnings);
      return;
    }
    case 'deletecollection':
      await deleteCollection(exchange);
      return;
    default:
      throw methodNotAllowed();
  }
}

/** A watch of one object by its path is a watch of the collection with a field selector. */
function named(call: Call): Call {
  if (!call.name) return call;
  const query = new URLSearchParams(call.query);
  query.set('fieldSelector', `metadata.name=${call.name}`);
  return { ...call, query };
}

export function sendObject(exchange: Exchange, code: number, object: ApiObject): void {
  const text = formatOne(exchange.call.kind, object, exchange.form());
  sendText(exchange.response, code, text, { warnings: exchange.call.warnings });
}

export async function bodyOf(exchange: Exchange) {
  return parseBody(await readBody(exchange.request), exchange.request.headers['content-type']);
}

async function create(app: App, exchange: Exchange): Promise<void> {
  const { call } = exchange;
  const { value, duplicates } = await bodyOf(exchange);
  const form = exchange.form();
  if (value === undefined) throw badRequest('the request has no body');
  const review = reviews[call.kind.kind];
  if (review && call.kind.group.startsWith('auth')) {
    sendJson(exchange.response, 201, review(app, call, value), call.warnings);
    return;
  }
  const object = createObject(call, value, duplicates);
  sendText(exchange.response, 201, formatOne(call.kind, object, form), { warnings: call.warnings });
}

const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];

function unsupportedPatch(custom: boolean): StatusError {
  const types = custom ? patchTypes.filter((type) => !type.includes('strategic')) : patchTypes;
  const message = `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`;
  return new StatusError(415, 'UnsupportedMediaType', message);
}

async function patch(app: App, exchange: Exchange): Promise<void> {
  const { call, response, request } = exchange;
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim();
  const { value, duplicates } = await bodyOf(exchange);
  exchange.form();
  if (value === undefined) throw badRequest('the request has no body');
  if (type === 'application/apply-patch+yaml') {
    const exists = call.core.store
      .bucket(call.kind.bucket)
      .get(call.kind.namespaced ? `${call.namespace}/${call.name}` : call.name!);
    if (!exists && !mayCreate(app, call)) {
      const why = `User ${JSON.stringify(call.user.name)} cannot create resource ${JSON.stringify(call.kind.resource)}`;
      throw forbidden(call.kind, call.name!, why);
    }
    const { object, created } = applyPatch(call, value, duplicates);
    sendObject(exchange, created ? 201 : 200, object);
    return;
  }
  const object = patchObject(call, changeBy(call, type, value));
  sendText(response, 200, formatOne(call.kind, object, exchange.form()), { warnings: call.warnings });
}

function mayCreate(app: App, call: Call): boolean {
  return app.authorizer.allowed(call.user, {
    verb: 'create',
    group: call.kind.group,
    resource: call.kind.resource,
    subresource: '',
    namespace: call.namespace ?? '',
    name: call.name ?? '',
  });
}

/** The change that a patch body of a media type means. @throws StatusError 415 */
export function changeBy(call: Call, type: string, body: Json): (live: ApiObject) => Json {
  switch (type) {
    case 'application/json-patch+json':
      return (live) => jsonPatch(live, body);
    case 'application/merge-patch+json':
      if (!isObject(body)) throw badRequest('a merge patch must be an object');
      return (live) => mergePatch(live, body);
    case 'application/strategic-merge-patch+json':
      if (call.kind.custom) throw unsupportedPatch(true);
      if (!isObject(body)) throw badRequest('a strategic merge patch must be an object');
      return (live) => strategicPatch(live, body, call.kind.schema);
    default:
      throw unsupportedPatch(call.kind.custom);
  }
}

async function deleteCollection(exchange: Exchange): Promise<void> {
  const { call } = exchange;
  const { value } = await bodyOf(exchange);
  const options = deleteOptions(call, value);
  const { items, metadata } = listObjects(call);
  const deleted = items.map((item) => {
    const one: Call = { ...call, namespace: item.metadata.namespace, name: item.metadata.name };
    return deleteObject(one, options).object;
  });
  sendText(exchange.response, 200, formatList(call.kind, deleted, metadata, exchange.form()), {
    warnings: call.warnings,
  });
}
