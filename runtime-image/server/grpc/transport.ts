/**
 * gRPC over clear-text HTTP/2, as a server. The library that is used elsewhere, @grpc/grpc-js, takes twice the time for a
 * small call and offers clients a window of 64 KiB, for which every large tensor waits; see docs/benchmarks.md.
 * Services are described and implemented as for that library, so that its health and reflection services run on this
 * one, and its client is what the tests ask with.
 */
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { InferenceError, quote } from '../protocol/errors.ts';
import { type CallContext, endWithHttpStatus, endWithStatus } from './answer.ts';
import { type Method, methodsOf, type Service, type StreamHandler, type UnaryHandler } from './method.ts';
import { StreamingCall } from './streaming-call.ts';
import { UnaryCall } from './unary-call.ts';

/** Of one connection. Each may hold a whole request in memory. */
const maxStreams = 1000;
/** Bytes that a client may send ahead, on one stream and on one connection. */
const streamWindow = 2 ** 20;
const connectionWindow = 16 * 2 ** 20;
const maxFrame = 2 ** 18;
/** Protobuf alone: gRPC-Web and JSON are framed or written otherwise. */
const grpcType = /^application\/grpc(\+proto)?\s*(;|$)/i;

export class GrpcTransport {
  readonly #context: CallContext;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #methods = new Map<string, Method>();
  #calls = 0;

  constructor(context: CallContext) {
    this.#context = context;
    this.#server = createServer({
      // Megabytes. The budget bounds what requests hold, over all connections; this limit knows nothing of that.
      maxSessionMemory: 4096,
      settings: { maxConcurrentStreams: maxStreams, initialWindowSize: streamWindow, maxFrameSize: maxFrame },
    });
    // A peer that vanished without a word is found by the kernel.
    this.#server.on('connection', (socket) => socket.setKeepAlive(true, 60_000));
    this.#server.on('session', (session) => this.#welcome(session));
    this.#server.on('stream', (stream, headers) => this.#take(stream, headers));
    // Its streams are told too, and that is where it matters.
    this.#server.on('sessionError', () => undefined);
  }

  /** Unary calls whose request has begun to come and whose answer has not left yet. Streams may last for ever, and do not count. */
  get calls(): number {
    return this.#calls;
  }

  /** As grpc-js's server takes them. */
  addService(service: Service, handlers: Readonly<Record<string, UnaryHandler | StreamHandler>>): void {
    for (const method of methodsOf(service, handlers)) this.#methods.set(method.description.path, method);
  }

  /** @returns the address that it listens at; rejects when it cannot be had */
  listen(address: string | undefined, port: number): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, ...(address === undefined ? {} : { host: address }) }, () =>
        resolve(this.#server.address() as AddressInfo),
      );
    });
  }

  /** Takes no more connections, and no more calls on those that there are; resolves when the last call has ended. */
  async drain(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    await closed;
  }

  /** Ends everything now. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
  }

  #welcome(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    session.setLocalWindowSize(connectionWindow);
  }

  #take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // A client that goes away is nobody's error; calls hear of it by the stream's closing.
    stream.on('error', () => undefined);
    if (headers[':method'] !== 'POST') return endWithHttpStatus(stream, 405);
    if (!grpcType.test(headers['content-type'] ?? '')) return endWithHttpStatus(stream, 415);
    const path = headers[':path'] ?? '';
    const method = this.#methods.get(path);
    if (method === undefined) {
      const unknown = new InferenceError('Unimplemented', `this server has no method ${quote(path)}`);
      return endWithStatus(stream, this.#context, unknown);
    }
    const { description, handler } = method;
    const incoming = { stream, headers, path };
    if (description.requestStream || description.responseStream)
      return new StreamingCall(incoming, this.#context, description, handler as StreamHandler).start();
    this.#calls += 1;
    stream.once('close', () => {
      this.#calls -= 1;
    });
    new UnaryCall(incoming, this.#context, description, handler as UnaryHandler).start();
  }
}
