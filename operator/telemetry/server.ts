/** The operator's HTTP servers: metrics, and health for the kubelet. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';

export interface TelemetryServerOptions {
  /** Address to listen on; absent: all. */
  readonly address?: string | undefined;
  readonly metricsPort: number;
  /** May be the same as `metricsPort`; then one server does both. */
  readonly healthPort: number;
  readonly registry: Registry;
  /** Whether work can be done, or why not. */
  readonly ready: () => true | string;
}

/** Started servers; `close` ends them and all their connections. */
export interface TelemetryServer {
  readonly ports: { readonly metrics: number; readonly health: number };
  close(): Promise<void>;
}

type Handler = (response: ServerResponse) => void | Promise<void>;

/** @throws Error when a port cannot be listened on. */
export async function serveTelemetry(options: TelemetryServerOptions): Promise<TelemetryServer> {
  const { registry, ready, address, metricsPort, healthPort } = options;
  const metrics: Record<string, Handler> = {
    '/metrics': async (response) => {
      const text = await registry.metrics();
      response.writeHead(200, { 'content-type': registry.contentType }).end(text);
    },
  };
  const health: Record<string, Handler> = {
    '/healthz': (response) => plain(response, 200, 'ok'),
    '/readyz': (response) => {
      const state = ready();
      plain(response, state === true ? 200 : 503, state === true ? 'ok' : state);
    },
  };
  const shared = metricsPort === healthPort && metricsPort !== 0;
  const servers = shared
    ? [await listen({ ...metrics, ...health }, metricsPort, address)]
    : [await listen(metrics, metricsPort, address), await listen(health, healthPort, address)];
  return {
    ports: { metrics: portOf(servers[0]!), health: portOf(servers.at(-1)!) },
    async close() {
      await Promise.all(
        servers.map((server) => {
          const closed = new Promise((resolve) => server.close(resolve));
          server.closeAllConnections();
          return closed;
        }),
      );
    },
  };
}

async function listen(paths: Record<string, Handler>, port: number, address?: string): Promise<Server> {
  const server = createServer((request, response) => {
    handle(paths, request, response).catch((error: unknown) => plain(response, 500, String(error)));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(address === undefined ? {} : { host: address }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return server;
}

async function handle(paths: Record<string, Handler>, request: IncomingMessage, response: ServerResponse) {
  const handler = paths[new URL(request.url ?? '/', 'http://localhost').pathname];
  if (handler === undefined) return plain(response, 404, 'not found');
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(response, 405, 'only GET');
  await handler(response);
}

function plain(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
