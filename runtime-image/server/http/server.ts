/** The protocol over HTTP/1.1: requests in, answers out. What they mean is decided by the core and the model. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { versionHeader } from '#contract';
import type { Logger } from '../../logger.ts';
import type { ByteBudget } from '../byte-budget.ts';
import {
  fixedRepository,
  modelMetadata,
  modelStatistics,
  repositoryIndex,
  serverMetadata,
} from '../describe.ts';
import { Cancellation } from '../execution/cancellation.ts';
import type { ServedModel } from '../model.ts';
import { lengthOf } from '../own-buffer.ts';
import { InferenceError, invalid, quote } from '../protocol/errors.ts';
import { type EncodedAnswer, encodeJsonAnswer } from '../protocol/json-answer.ts';
import { decodeJsonRequest } from '../protocol/json-request.ts';
import { transferTimeoutMs } from '../time-limits.ts';
import { traceContextOf, traceFields } from '../tracing/trace-context.ts';
import { readBody } from './body.ts';
import { MethodNotAllowed, type Route, route } from './routes.ts';

const headerLengthName = 'Inference-Header-Content-Length';

/** Longer than proxies keep idle connections, so that it is they who close them, and no request meets a closed one. */
const keepAliveMs = 120_000;
/** When Node itself gives a request up: a body that is late has been answered before, so this is for headers. */
const requestTimeoutMs = transferTimeoutMs + 60_000;

export interface HttpOptions {
  readonly model: ServedModel;
  readonly maxRequestBytes: number;
  readonly budget: ByteBudget;
  readonly logger: Logger;
  /** Whether connections should end with the answer that they carry now. */
  readonly closing: () => boolean;
}

/** What connections are told that bring no request, by the code of Node's error. */
const badRequests: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** An HTTP server that is not listening yet. */
export function createHttpServer(options: HttpOptions): Server {
  const server = createServer(
    { keepAliveTimeout: keepAliveMs, requestTimeout: requestTimeoutMs },
    (request, response) => {
      response.setHeader(versionHeader, options.model.version);
      if (options.closing()) response.setHeader('Connection', 'close');
      answer(options, request, response).catch((thrown) => fail(options, request, response, thrown));
    },
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Nothing to answer to a connection that is gone; anything else was no HTTP.
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    const status = badRequests[error.code ?? ''] ?? '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });
  return server;
}

async function answer(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { model } = options;
  const to: Route = route(request.method ?? 'GET', request.url ?? '/');
  switch (to.call) {
    case 'serverMetadata':
      return sendJson(response, 200, serverMetadata());
    case 'live':
      return sendJson(response, 200, { live: true });
    case 'ready':
      return sendReady(response, model);
    case 'repositoryIndex': {
      const share = options.budget.share();
      try {
        const body = await readBody(request, options.maxRequestBytes, share);
        return sendJson(response, 200, repositoryIndex(model, wantsOnlyReady(body)));
      } finally {
        share.release();
      }
    }
    case 'repositoryChange':
      throw invalid(fixedRepository);
    case 'allStatistics':
      return sendJson(response, 200, { model_stats: [modelStatistics(model)] });
    case 'modelMetadata':
      model.check(to.model, to.version);
      return sendJson(response, 200, modelMetadata(model));
    case 'modelReady':
      model.check(to.model, to.version);
      return sendReady(response, model);
    case 'statistics':
      model.check(to.model, to.version);
      return sendJson(response, 200, { model_stats: [modelStatistics(model)] });
    case 'infer':
      model.check(to.model, to.version);
      return infer(options, request, response);
  }
}

function wantsOnlyReady(body: Uint8Array): boolean {
  if (body.byteLength === 0) return false;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof value === 'object' && value !== null && 'ready' in value && value.ready === true;
  } catch {
    throw invalid('the request is not valid JSON');
  }
}

function sendReady(response: ServerResponse, model: ServedModel): void {
  const why = model.notReadyBecause;
  if (why === undefined) sendJson(response, 200, { ready: true });
  else sendJson(response, 503, { ready: false, error: why });
}

async function infer(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { model } = options;
  const gone = new Cancellation();
  response.once('close', () => {
    if (!response.writableFinished) gone.cancel();
  });
  const share = options.budget.share();
  // Until the answer has left or the client has: its chunks may be views of what was received.
  response.once('close', share.release);
  const body = await readBody(request, options.maxRequestBytes, share).catch((thrown: unknown) => {
    const error = InferenceError.from(thrown);
    model.refused('rest', error);
    throw error;
  });
  const about = { model: model.name, version: model.version };
  await model.infer(
    'rest',
    {
      decode: () => decodeJsonRequest(body, headerLength(request)),
      answer: (result, asked) => {
        const encoded = encodeJsonAnswer(result, about, asked);
        share.atLeast(lengthOf(encoded.chunks));
        sendAnswer(response, encoded);
      },
    },
    { cancellation: gone, trace: traceContextOf(request.headers) },
  );
}

function sendAnswer(response: ServerResponse, { headerLength: length, chunks }: EncodedAnswer): void {
  const unread = setTimeout(() => response.destroy(), transferTimeoutMs).unref();
  response.once('close', () => clearTimeout(unread));
  if (length === undefined) {
    response.setHeader('Content-Type', 'application/json');
  } else {
    response.setHeader('Content-Type', 'application/octet-stream');
    response.setHeader(headerLengthName, length);
  }
  send(response, 200, chunks);
}

function headerLength(request: IncomingMessage): number | undefined {
  const value = request.headers[headerLengthName.toLowerCase()];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !/^\d{1,10}$/.test(value)) {
    throw invalid(`${headerLengthName} is ${quote(String(value))}; it has to be a whole number`);
  }
  return Number(value);
}

function send(response: ServerResponse, status: number, chunks: readonly Uint8Array[]): void {
  const length = lengthOf(chunks);
  const { req: request } = response;
  // What is left of the body would be read as the next request's beginning.
  if (!request.complete) response.setHeader('Connection', 'close');
  response.writeHead(status, { 'Content-Length': length });
  for (const chunk of chunks) response.write(chunk);
  if (request.complete) response.end();
  else linger(request, response);
}

/** Longest that the rest of a body is read and thrown away after its answer. */
const lingerMs = 2000;

/** Closing while the client still writes would reset the connection, and with it the answer that is under way. */
function linger(request: IncomingMessage, response: ServerResponse): void {
  const end = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, lingerMs);
  request.once('close', end).once('end', end).resume();
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.setHeader('Content-Type', 'application/json');
  send(response, status, [Buffer.from(JSON.stringify(value))]);
}

function fail(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  if (thrown instanceof MethodNotAllowed) {
    response.setHeader('Allow', thrown.allow);
    return sendJson(response, 405, { error: thrown.message });
  }
  const error = InferenceError.from(thrown);
  if (error.fault === 'Internal') {
    options.logger.error('a request failed', {
      path: request.url,
      error: error.message,
      stack: error.stack,
      ...traceFields(traceContextOf(request.headers)),
    });
  }
  if (error.fault === 'Exhausted' || error.fault === 'Unavailable') response.setHeader('Retry-After', '1');
  sendJson(response, error.status, { error: error.message });
}
