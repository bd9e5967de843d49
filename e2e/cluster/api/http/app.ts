/** The request handler: authentication, authorization, then discovery, resources or one of the plain paths. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Tokens } from '../auth/tokens.ts';
import type { Authorizer } from '../authz/authorizer.ts';
import {
  forbidden,
  internalError,
  methodNotAllowed,
  pathNotFound,
  StatusError,
  unauthorized,
} from '../errors.ts';
import type { Faults } from '../faults.ts';
import type { Kind, UserInfo } from '../kinds/kind.ts';
import type { Call, Core } from '../resource/call.ts';
import type { Watches } from '../resource/watch.ts';
import { authenticate } from './authentication.ts';
import { servePath } from './paths.ts';
import { negotiate, parseTarget, type Target, verbOf } from './request.ts';
import { serveResource } from './resources.ts';
import { sendPageNotFound, sendStatus } from './respond.ts';

export interface App {
  readonly core: Core;
  readonly tokens: Tokens;
  readonly authorizer: Authorizer;
  readonly watches: Watches;
  readonly faults: Faults;
  /** What the API server shows to kubelets. */
  readonly kubeletClient: { readonly cert: string; readonly key: string };
  readonly version: string;
  onError(error: unknown, request: IncomingMessage): void;
}

/** Handles one request from beginning to end; never throws. */
export async function handle(app: App, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const warnings: string[] = [];
  try {
    await route(app, request, response, warnings);
  } catch (error) {
    if (!(error instanceof StatusError)) app.onError(error, request);
    const status = error instanceof StatusError ? error : internalError(error);
    if (response.headersSent) response.destroy();
    else sendStatus(response, status, warnings);
  }
}

async function route(
  app: App,
  request: IncomingMessage,
  response: ServerResponse,
  warnings: string[],
): Promise<void> {
  const url = new URL(request.url ?? '/', 'https://localhost');
  const method = request.method ?? 'GET';
  const user = authenticate(app, request);
  if (!user) throw unauthorized();
  const target = parseTarget(url.pathname);
  if (!target) {
    const verb = method.toLowerCase();
    if (!app.authorizer.allowedPath(user, { verb, path: url.pathname })) {
      const message = `forbidden: User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(url.pathname)}`;
      throw new StatusError(403, 'Forbidden', message, {});
    }
    await servePath(app, request, response, url);
    return;
  }
  const verb = verbOf(method, target, url.searchParams);
  authorize(app, user, verb, target);
  const kind = app.core.registry.find(target.group, target.version, target.resource);
  if (!kind) {
    if (app.core.registry.inVersion(target.group, target.version).length > 0) throw pathNotFound();
    sendPageNotFound(response);
    return;
  }
  checkPath(kind, target, verb);
  const fault = await app.faults.meet(
    { user: user.name, verb, group: target.group, resource: target.resource },
    response,
  );
  if (fault === 'answered') return;
  const call: Call = {
    core: app.core,
    kind,
    namespace: kind.namespaced ? target.namespace : undefined,
    name: target.name,
    subresource: target.subresource,
    user,
    query: url.searchParams,
    userAgent: request.headers['user-agent'] ?? '',
    warnings,
  };
  await serveResource(app, {
    call,
    verb,
    target,
    request,
    response,
    form: () => negotiate(request.headers.accept),
  });
}

function authorize(app: App, user: UserInfo, verb: string, target: Target): void {
  const { group, resource, subresource, name } = target;
  const namespace = target.namespace ?? (group === '' && resource === 'namespaces' ? (name ?? '') : '');
  const wanted = { verb, group, resource, subresource, namespace, name: name ?? '' };
  if (app.authorizer.allowed(user, wanted)) return;
  const full = subresource ? `${resource}/${subresource}` : resource;
  const where = target.namespace
    ? `in the namespace ${JSON.stringify(target.namespace)}`
    : 'at the cluster scope';
  const why = `User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(full)} in API group ${JSON.stringify(group)} ${where}`;
  throw forbidden({ group, resource }, name ?? '', why);
}

function checkPath(kind: Kind, target: Target, verb: string): void {
  if (!kind.namespaced && target.namespace !== undefined) throw pathNotFound();
  if (target.subresource) {
    if (!kind.subresources.includes(target.subresource)) throw pathNotFound();
    return;
  }
  if (!kind.verbs.includes(verb)) throw methodNotAllowed();
  const needsNamespace = verb === 'create' || target.name !== undefined;
  if (kind.namespaced && needsNamespace && !target.namespace) {
    if (verb === 'create') throw methodNotAllowed();
    throw pathNotFound();
  }
  if (verb === 'create' && target.name) throw methodNotAllowed();
  if ((verb === 'update' || verb === 'patch') && !target.name) throw methodNotAllowed();
}
