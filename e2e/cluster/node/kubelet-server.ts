/** The kubelet's own HTTPS server, which the API server calls for `kubectl logs` and `kubectl exec`. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type LogQuery, readLog } from './log-reader.ts';
import { allContainers } from './pod.ts';
import type { PodWorker } from './pod-worker.ts';
import type { Pods } from './pods.ts';
import type { Clock, Logger } from './ports.ts';
import { upgradeToExec, upgradeToPortForward } from './upgrades.ts';

export interface Serving {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /**
   * Only clients with a certificate of this authority (PEM) are answered. Absent: anybody who reaches the address may read
   * logs, and nobody may run commands.
   */
  readonly clientCa?: string;
}

export interface KubeletServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** An answer that is an error, as plain text. */
class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** @param port 0 for any */
export async function startKubeletServer(
  serving: Serving,
  address: string,
  port: number,
  pods: Pods,
  clock: Clock,
  logger: Logger,
): Promise<KubeletServer> {
  const sockets = new Set<Duplex>();
  const stopping = new AbortController();
  const { cert, key, clientCa } = serving;
  const server = https.createServer({
    cert,
    key,
    ...(clientCa ? { ca: clientCa, requestCert: true, rejectUnauthorized: false } : {}),
  });
  const isKnown = (request: IncomingMessage) =>
    clientCa !== undefined && (request.socket as TLSSocket).authorized === true;
  server.on('request', (request, response) => {
    void answer(request, response).catch((error: unknown) => {
      if (!(error instanceof Refusal)) logger.warn('kubelet request failed', { error: String(error) });
      const code = error instanceof Refusal ? error.code : 500;
      if (response.headersSent) return response.destroy();
      response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8' });
      return response.end(error instanceof Error ? error.message : String(error));
    });
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {});
    try {
      if (!isKnown(request)) throw new Refusal(401, 'Unauthorized');
      if (request.url?.startsWith('/portForward/')) {
        const { address } = podOf(request, 'portForward').worker;
        if (!address) throw new Refusal(404, 'the pod has no address yet');
        upgradeToPortForward(request, socket, head, address);
        return;
      }
      const { worker, container, url } = target(request, 'exec');
      const run = worker.run(container);
      if (!run) throw new Refusal(404, `container not found ("${container}")`);
      upgradeToExec(request, socket, head, url, run);
    } catch (error) {
      const code = error instanceof Refusal ? error.code : 500;
      const text = error instanceof Error ? error.message : String(error);
      socket.end(
        `HTTP/1.1 ${code} Refused\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
      );
    }
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(port, address);
  await once(server, 'listening');

  /** `/{verb}/{namespace}/{pod}/{rest}` */
  function podOf(request: IncomingMessage, verb: string): { worker: PodWorker; rest: string; url: URL } {
    const url = new URL(request.url ?? '/', 'https://kubelet');
    const [, first, namespace = '', name = '', rest = ''] = url.pathname.split('/').map(decodeURIComponent);
    if (first !== verb) throw new Refusal(404, '404 page not found');
    const worker = pods.find(namespace, name);
    if (!worker) throw new Refusal(404, `pod "${name}" not found`);
    return { worker, rest, url };
  }

  function target(
    request: IncomingMessage,
    verb: string,
  ): { worker: PodWorker; container: string; url: URL } {
    const { worker, rest: container, url } = podOf(request, verb);
    if (allContainers(worker.pod.spec).some(({ name }) => name === container))
      return { worker, container, url };
    throw new Refusal(404, `container "${container}" not found in pod "${worker.pod.metadata.name}"`);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/healthz') {
      response.end('ok');
      return;
    }
    if (clientCa !== undefined && !isKnown(request)) throw new Refusal(401, 'Unauthorized');
    if (request.method !== 'GET') throw new Refusal(405, 'method not allowed');
    const { worker, container, url } = target(request, 'containerLogs');
    const { name } = worker.pod.metadata;
    const previous = flag(url, 'previous');
    const found = worker.logFile(container, previous);
    if (!found) {
      if (previous)
        throw new Refusal(400, `previous terminated container "${container}" in pod "${name}" not found`);
      const why = worker.waitingReason(container) ?? 'ContainerCreating';
      throw new Refusal(400, `container "${container}" in pod "${name}" is waiting to start: ${why}`);
    }
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.flushHeaders();
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, stopping.signal]);
    for await (const text of readLog(found.path, logQuery(url, clock.now()), found.run?.log, signal)) {
      if (text !== '' && !response.write(text) && !signal.aborted) {
        await once(response, 'drain', { signal }).catch(() => {});
      }
    }
    response.end();
  }

  const listening = server.address();
  return {
    port: typeof listening === 'object' && listening ? listening.port : port,
    async stop() {
      stopping.abort();
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function flag(url: URL, name: string): boolean {
  const value = url.searchParams.get(name);
  return value === 'true' || value === '1';
}

function logQuery(url: URL, now: number): LogQuery {
  const number = (name: string) => {
    const value = url.searchParams.get(name);
    if (value === null || value === '') return undefined;
    if (!/^\d+$/.test(value)) throw new Refusal(400, `${name} must be a whole number`);
    return Number(value);
  };
  const sinceSeconds = number('sinceSeconds');
  const sinceTime = url.searchParams.get('sinceTime');
  const since =
    sinceSeconds === undefined ? (sinceTime ? Date.parse(sinceTime) : undefined) : now - sinceSeconds * 1000;
  const tailLines = number('tailLines');
  const limitBytes = number('limitBytes');
  const stream = url.searchParams.get('stream')?.toLowerCase();
  return {
    follow: flag(url, 'follow'),
    timestamps: flag(url, 'timestamps'),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(since === undefined ? {} : { since }),
    ...(stream === 'stdout' || stream === 'stderr' ? { stream } : {}),
  };
}
