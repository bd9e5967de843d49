/** What ends a call: headers, status, and refusing the rest of a request that has its answer already. */
import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { ByteBudget } from '../byte-budget.ts';
import type { InferenceError } from '../protocol/errors.ts';
import { encodeStatusText } from './framing.ts';

/** How a call ended. Codes are those of google.rpc.Code. */
export interface Status {
  readonly code: number;
  readonly message: string;
}

/** What a call needs of the server that it belongs to. */
export interface CallContext {
  readonly maxRequestBytes: number;
  readonly budget: ByteBudget;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Told of each unary call that ends before its handler has heard of it: too large, too slow, badly framed. */
  readonly onRefused: (path: string, error: InferenceError) => void;
  /** Headers of every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether what fails says so after the headers of an answer, for a fire drill. */
  readonly failsLate?: () => boolean;
}

/** One stream of HTTP/2 with what its first headers said. */
export interface Incoming {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
}

export function answerHeaders({ headers }: CallContext): OutgoingHttpHeaders {
  return {
    ':status': 200,
    'content-type': 'application/grpc+proto',
    'grpc-accept-encoding': 'identity,deflate,gzip',
    ...headers,
  };
}

export const succeeded: OutgoingHttpHeaders = { 'grpc-status': '0' };

export function trailersOf({ code, message }: Status): OutgoingHttpHeaders {
  return { 'grpc-status': String(code), 'grpc-message': encodeStatusText(message) };
}

/** Answers with a status alone, in the one block of headers that there is then; but for a drill, in trailers. */
export function endWithStatus(stream: ServerHttp2Stream, context: CallContext, status: Status): void {
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  if (context.failsLate?.()) return endLate(stream, context, status);
  stream.respond({ ...answerHeaders(context), ...trailersOf(status) }, { endStream: true });
  refuseRest(stream);
}

function endLate(stream: ServerHttp2Stream, context: CallContext, status: Status): void {
  stream.respond(answerHeaders(context), { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers(trailersOf(status)));
  stream.resume().end();
}

/** Answers what is no gRPC with a status of HTTP. */
export function endWithHttpStatus(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ':status': status }, { endStream: true });
  refuseRest(stream);
}

/** The client is told to send no more of a request that has its answer already. */
function refuseRest(stream: ServerHttp2Stream): void {
  if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
}
