/** A pod that answers over HTTP/1.1 and gRPC, on a loopback address of its own, and can die like one. */
import http, { type Server, type ServerResponse } from 'node:http';
import http2, { type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import type { EndpointInput } from '../state.ts';

export const podPorts = { http: 18_080, grpc: 18_081 } as const;

export interface PodOptions {
  readonly model?: string;
  /** Milliseconds that an answer takes. */
  readonly delayMs?: number;
}

export class Pod {
  readonly address: string;
  readonly version: string;
  /** Answers given. */
  answered = 0;
  /** Requests that are not answered yet. */
  #open = 0;
  /** The most that there were at the same time. */
  mostOpen = 0;
  /** Answers that have begun and are not all written. */
  #answering = 0;
  #lastAnswer = 0;
  #silent = false;
  /** Headers of the last request, lower case. */
  lastHeaders: Readonly<Record<string, string | string[] | undefined>> = {};
  /** Values of a header that only the router may send: what came past it. */
  readonly smuggled = new Set<string>();
  /** What the readiness probe says. */
  ready = true;
  delayMs: number;
  /** Ends the connection of every request that comes, without an answer. */
  hangsUp = false;
  /** HTTP status and gRPC status of the answers from now on. */
  status = 200;
  grpcStatus = 0;
  readonly #model: string;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #streams = new Set<ServerResponse>();
  readonly #webSockets = new WebSocketServer({ noServer: true });
  #http: Server | undefined;
  #grpc: Http2Server | undefined;

  constructor(version: string, address: string, options: PodOptions = {}) {
    this.version = version;
    this.address = address;
    this.delayMs = options.delayMs ?? 0;
    this.#model = options.model ?? 'm';
  }

  get idle(): boolean {
    return this.#open === 0;
  }

  get open(): number {
    return this.#open;
  }

  #inspect(headers: http.IncomingHttpHeaders): void {
    const hop = headers['sluice-hop'];
    if (hop !== undefined) this.smuggled.add(String(hop));
  }

  #opens(): void {
    this.mostOpen = Math.max(this.mostOpen, ++this.#open);
  }

  get endpoint(): EndpointInput {
    return {
      model: this.#model,
      version: this.version,
      address: this.address,
      ports: podPorts,
      state: 'ready',
    };
  }

  async start(): Promise<void> {
    this.#http = http.createServer((request, response) => {
      if (request.url === '/v2/health/ready') {
        response.writeHead(this.ready ? 200 : 503).end();
        return;
      }
      this.#inspect(request.headers);
      this.#opens();
      response.on('close', () => this.#open--);
      if (request.url === '/events') {
        this.#events(response);
        return;
      }
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on('end', () => {
        if (this.hangsUp) {
          request.socket.destroy();
          return;
        }
        setTimeout(() => this.#answer(request.url ?? '', request.headers, bytes, response), this.delayMs);
      });
      request.on('error', () => {});
    });
    this.#http.keepAliveTimeout = 60_000;
    this.#http.on('upgrade', (request, socket, head) => {
      this.lastHeaders = request.headers;
      this.#webSockets.handleUpgrade(request, socket, head, (client) => {
        client.on('error', () => {});
        client.on('message', (data, binary) => client.send(data, { binary }));
      });
    });
    this.#grpc = http2.createServer();
    this.#grpc.on('session', (session) => {
      this.#sessions.add(session);
      session.on('error', () => {});
      session.on('close', () => this.#sessions.delete(session));
    });
    this.#grpc.on('stream', (stream, headers) => this.#stream(stream, headers));
    for (const [server, port] of [
      [this.#http, podPorts.http],
      [this.#grpc, podPorts.grpc],
    ] as const) {
      server.on('connection', (socket: Socket) => {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => this.#sockets.delete(socket));
      });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, this.address, resolve);
      });
    }
  }

  /**
   * As a kernel ends a killed process: listeners and connections are gone at once. Only not in the middle of an
   * answer: one that has begun to arrive cannot be mended by any router, and would be a failure of the test. So it
   * first falls silent, with requests in flight.
   */
  async kill(): Promise<void> {
    this.#silent = true;
    // Node says that an answer is written before its kernel has it all; nothing tells when it does.
    while (this.#answering > 0 || performance.now() < this.#lastAnswer + 20)
      await new Promise((resolve) => setTimeout(resolve, 5));
    const servers = [this.#http, this.#grpc];
    const closed = servers.map((server) => new Promise((resolve) => server?.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    for (const session of this.#sessions) session.destroy();
    await Promise.all(closed);
  }

  #answerEnds(): void {
    this.#answering--;
    this.#lastAnswer = performance.now();
  }

  #answer(url: string, headers: http.IncomingHttpHeaders, bytes: number, response: ServerResponse): void {
    if (response.closed || this.#silent) return;
    this.answered++;
    this.lastHeaders = headers;
    this.#answering++;
    response.on('close', () => this.#answerEnds());
    // A pod that lies about its version must not be believed.
    response.writeHead(this.status, { 'content-type': 'application/json', 'sluice-version': 'spoofed' });
    response.end(JSON.stringify({ pod: this.address, version: this.version, url, bytes }));
  }

  /** Server-sent events, one whenever `emit` is called. */
  #events(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    response.flushHeaders();
    this.#streams.add(response);
    response.on('close', () => this.#streams.delete(response));
  }

  /** Sends an event to all that listen. @returns how many those are */
  emit(data: string): number {
    for (const response of this.#streams) response.write(`data: ${data}\n\n`);
    return this.#streams.size;
  }

  /** Echoes: each message of a stream as it comes, the one of a unary call with the answer's headers and trailers. */
  #stream(stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    this.lastHeaders = headers;
    this.#inspect(headers);
    this.#opens();
    stream.on('close', () => this.#open--);
    stream.on('error', () => {});
    if (this.grpcStatus !== 0) {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(this.grpcStatus) },
        { endStream: true },
      );
      return;
    }
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-pod': this.address }));
    const respond = () =>
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    if (headers[':path']?.includes('Stream')) {
      respond();
      stream.on('data', (chunk: Buffer) => stream.write(chunk));
      stream.on('end', () => {
        this.answered++;
        stream.end();
      });
      return;
    }
    const message: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => message.push(chunk));
    // In one piece: of an answer that has begun, no router can make another.
    stream.on('end', () => {
      if (this.hangsUp) {
        stream.session?.destroy();
        return;
      }
      setTimeout(() => {
        if (stream.destroyed || this.#silent) return;
        this.answered++;
        this.#answering++;
        stream.on('close', () => this.#answerEnds());
        respond();
        stream.end(Buffer.concat(message));
      }, this.delayMs);
    });
  }
}
