/** Upgraded connections: exec, attach and port-forward. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { forbidden, internalError, pathNotFound, StatusError, unauthorized } from '../errors.ts';
import type { Call } from '../resource/call.ts';
import type { App } from './app.ts';
import { authenticate } from './authentication.ts';
import { tunnelToKubelet } from './kubelet.ts';
import { parseTarget } from './request.ts';

const streams = new Set(['exec', 'attach', 'portforward']);

export function handleUpgrade(app: App, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on('error', () => socket.destroy());
  try {
    const url = new URL(request.url ?? '/', 'https://localhost');
    const user = authenticate(app, request);
    if (!user) throw unauthorized();
    const target = parseTarget(url.pathname);
    const kind = target && app.core.registry.find(target.group, target.version, target.resource);
    if (!target?.name || !kind || kind.kind !== 'Pod' || !streams.has(target.subresource))
      throw pathNotFound();
    const { group, resource, subresource, name } = target;
    const namespace = target.namespace ?? '';
    // Opening a stream is always "create", whichever method carries the upgrade.
    const wanted = { verb: 'create', group, resource, subresource, namespace, name };
    if (!app.authorizer.allowed(user, wanted)) {
      throw forbidden(
        { group, resource },
        name,
        `User ${JSON.stringify(user.name)} cannot create resource "${resource}/${subresource}"`,
      );
    }
    const call: Call = {
      core: app.core,
      kind,
      namespace,
      name,
      subresource,
      user,
      query: url.searchParams,
      userAgent: request.headers['user-agent'] ?? '',
      warnings: [],
    };
    tunnelToKubelet(app, call, target.rest, request, socket, head);
  } catch (error) {
    if (!(error instanceof StatusError)) app.onError(error, request);
    const status = error instanceof StatusError ? error : internalError(error);
    const body = JSON.stringify(status.toStatus());
    socket.end(
      `HTTP/1.1 ${status.code} ${status.reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
}
