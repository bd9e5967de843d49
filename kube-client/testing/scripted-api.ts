/**
 * A server for tests that speaks the list-watch part of the Kubernetes API for one collection, and misbehaves on
 * command: it holds no more of Kubernetes than an informer can see.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { KubeObject } from '../object.ts';

export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Answers a request in place of the collection; false leaves it alone. */
export type Script = (request: Recorded, response: ServerResponse) => boolean;

interface Event {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
  readonly version: number;
}

interface Watcher {
  readonly response: ServerResponse;
  /** Stalled watchers are connected but get nothing. */
  stalled: boolean;
}

export class ScriptedApi {
  readonly requests: Recorded[] = [];
  /** Consulted first, each for one request that it wants. */
  readonly scripts: Script[] = [];
  /** Consulted next, for every request. */
  readonly standing: Script[] = [];
  readonly objects = new Map<string, KubeObject>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #watchers = new Set<Watcher>();
  readonly #snapshots = new Map<string, KubeObject[]>();
  #history: Event[] = [];
  #version = 100;
  /** Events up to this version are forgotten. */
  #compacted = 0;
  #uid = 0;

  constructor(tls?: { cert: string; key: string }) {
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(request, response).catch((error: unknown) => response.destroy(error as Error));
    };
    this.#server = tls ? createTlsServer(tls, handle) : createServer(handle);
    this.#server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
    });
  }

  async start(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    this.dropConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  get version(): string {
    return String(this.#version);
  }

  /** Creates or changes an object. */
  put(name: string, spec: unknown = {}, namespace = 'ns'): void {
    const metadata = { managedFields: [{ manager: 'test' }] };
    this.write({ metadata, spec } as unknown as KubeObject, namespace, name);
  }

  remove(name: string, namespace = 'ns'): void {
    const before = this.objects.get(`${namespace}/${name}`);
    if (before === undefined) return;
    this.objects.delete(`${namespace}/${name}`);
    const version = ++this.#version;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } };
    this.#publish({ type: 'DELETED', object, version });
  }

  /** Forgets all events so far: older watches and pages get 410. */
  compact(): void {
    this.#compacted = this.#version;
    this.#history = [];
    this.#snapshots.clear();
  }

  bookmark(): void {
    const object = { kind: 'Pod', apiVersion: 'v1', metadata: { resourceVersion: this.version } };
    this.#write({ type: 'BOOKMARK', object });
  }

  /** Sends every watcher an error event and ends its watch. */
  failWatches(code: number, reason: string): void {
    this.#write({ type: 'ERROR', object: { kind: 'Status', code, reason, message: reason } });
    this.endWatches();
  }

  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  /** The next line of every watch is cut in its middle by a lost connection. */
  cutWatches(): void {
    for (const { response } of this.#watchers) {
      response.write('{"type":"MODIFIED","object":{"metadata":{"name":"cu');
      setImmediate(() => response.destroy());
    }
    this.#watchers.clear();
  }

  /** Watches of now stay connected and fall silent for ever. */
  stallWatches(): void {
    for (const watcher of this.#watchers) watcher.stalled = true;
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#watchers.clear();
  }

  #publish(event: Event): void {
    this.#history.push(event);
    this.#write({ type: event.type, object: event.object });
  }

  #write(event: unknown): void {
    for (const { response, stalled } of this.#watchers)
      if (!stalled) response.write(`${JSON.stringify(event)}\n`);
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://localhost');
    let body = '';
    for await (const chunk of incoming) body += chunk;
    const request: Recorded = {
      method: incoming.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: incoming.headers,
      body,
    };
    this.requests.push(request);
    for (const script of this.scripts) {
      if (!script(request, response)) continue;
      this.scripts.splice(this.scripts.indexOf(script), 1);
      return;
    }
    if (this.standing.some((script) => script(request, response))) return;
    const named = /^\/apis?\/.*\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
      url.pathname,
    );
    if (named?.[3] !== undefined || request.method !== 'GET') {
      this.#object(request, response, named?.[1] ?? '', named?.[3], named?.[4]);
    } else if (url.searchParams.has('watch'))
      this.#watch(Number(url.searchParams.get('resourceVersion')), response);
    else this.#list(url.searchParams, response);
  }

  /** Just enough of reading and writing one object: versions are checked, patches are merged at the top level. */
  #object(
    request: Recorded,
    response: ServerResponse,
    namespace: string,
    path?: string,
    subresource?: string,
  ): void {
    const body = (request.body === '' ? {} : JSON.parse(request.body)) as Partial<KubeObject> & {
      status?: unknown;
      preconditions?: { uid?: string };
    };
    const name = path ?? body.metadata?.name ?? '';
    const before = this.objects.get(`${namespace}/${name}`);
    if (request.method === 'POST' && before !== undefined) return answer(response, 409, 'AlreadyExists');
    const isApply = request.headers['content-type'] === 'application/apply-patch+yaml';
    if (request.method !== 'POST' && before === undefined && !isApply)
      return answer(response, 404, 'NotFound');
    if (request.method === 'GET') return void response.end(JSON.stringify(before));
    const version = body.metadata?.resourceVersion;
    const uid = body.preconditions?.uid;
    if (
      (version !== undefined && version !== before?.metadata.resourceVersion) ||
      (uid !== undefined && uid !== before?.metadata.uid)
    ) {
      return answer(response, 409, 'Conflict');
    }
    if (request.method === 'DELETE') this.remove(name, namespace);
    else if (subresource === 'status') {
      this.write({ ...before!, status: body.status } as KubeObject, namespace, name);
    } else {
      this.write((request.method === 'PATCH' ? { ...before, ...body } : body) as KubeObject, namespace, name);
    }
    response.end(
      JSON.stringify(this.objects.get(`${namespace}/${name}`) ?? { kind: 'Status', status: 'Success' }),
    );
  }

  /** Creates or replaces an object as it is given, but for what a server sets itself. */
  write(object: KubeObject, namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    const before = this.objects.get(key);
    const version = ++this.#version;
    const uid = before?.metadata.uid ?? `uid-${++this.#uid}`;
    const metadata = { ...object.metadata, name, namespace, uid, resourceVersion: String(version) };
    const written = { ...object, metadata };
    this.objects.set(key, written);
    this.#publish({ type: before === undefined ? 'ADDED' : 'MODIFIED', object: written, version });
  }

  #watch(since: number, response: ServerResponse): void {
    if (since < this.#compacted) return answer(response, 410, 'Expired');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const { type, object, version } of this.#history) {
      if (version > since) response.write(`${JSON.stringify({ type, object })}\n`);
    }
    const watcher = { response, stalled: false };
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    const token = query.get('continue') ?? undefined;
    const [version, from] =
      token === undefined ? [this.version, 0] : [token.split(':')[0]!, Number(token.split(':')[1])];
    if (token === undefined) this.#snapshots.set(version, [...this.objects.values()]);
    const all = this.#snapshots.get(version);
    if (all === undefined) return answer(response, 410, 'Expired');
    const to = from + Number(query.get('limit') ?? all.length);
    const metadata = {
      resourceVersion: version,
      ...(to < all.length ? { continue: `${version}:${to}` } : {}),
    };
    response.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata, items: all.slice(from, to) }));
  }
}

/** Ends a response with a `Status`. */
export function answer(
  response: ServerResponse,
  code: number,
  reason: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(
    JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message: `${reason} as scripted` }),
  );
}
