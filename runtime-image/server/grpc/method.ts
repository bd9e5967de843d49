/** The methods of a service as the transport sees them, from the description and the handlers that grpc-js takes. */

import type { IncomingHttpHeaders } from 'node:http2';
import type { ByteShare } from '../byte-budget.ts';
import { compressions, decompress, isCompression } from '../decompress.ts';
import { InferenceError, invalid, quote } from '../protocol/errors.ts';
import type { Message } from './framing.ts';

/** One method of a service's description; those of proto-loader are of this shape. */
export interface MethodDescription {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly originalName?: string | undefined;
  requestDeserialize(bytes: Buffer): unknown;
  /** The bytes of a message; pieces are written one after the other. */
  responseSerialize(message: unknown): Uint8Array | readonly Uint8Array[];
}
export type Service = Readonly<Record<string, MethodDescription>>;

/** A call with one request and one answer. */
export interface UnaryRequest {
  readonly request: unknown;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** What is left of the time limit that the client has set, in milliseconds; undefined when there is none. */
  readonly timeoutMs: number | undefined;
  /** The one listener: called when nobody waits for the answer any more. */
  onCancel(listener: () => void): void;
}

/** A status that is not OK; grpc-js calls its text `details`. */
export interface HandlerError {
  readonly code: number;
  readonly details: string;
}
/** @throws when the answer cannot be encoded or there is no room for it; an error is to be given then */
export type Done = (error: InferenceError | HandlerError | null, answer?: unknown) => void;

export type UnaryHandler = (call: UnaryRequest, done: Done) => void;
/** Gets the call only: it emits `data` and `end` when requests stream, and takes `write` and `end`. */
export type StreamHandler = (call: unknown) => void;

export interface Method {
  readonly description: MethodDescription;
  readonly handler: UnaryHandler | StreamHandler;
}

/** @param handlers by the methods' names, capitalised or not */
export function methodsOf(
  service: Service,
  handlers: Readonly<Record<string, UnaryHandler | StreamHandler>>,
): readonly Method[] {
  return Object.entries(service).flatMap(([name, description]) => {
    const handler = handlers[name] ?? handlers[description.originalName ?? name];
    return handler === undefined ? [] : [{ description, handler }];
  });
}

/**
 * The bytes of a message as they were before its sender compressed them, if he did.
 * @throws InferenceError as decompress does; Unimplemented for a compression that is unknown
 */
export async function expand(
  { compressed, bytes }: Message,
  encoding: string | string[] | undefined,
  maxBytes: number,
  share: ByteShare,
): Promise<Buffer> {
  if (!compressed) return bytes;
  if (encoding === undefined || encoding === 'identity') {
    throw invalid('a message is marked as compressed, and grpc-encoding says nothing of that');
  }
  const name = String(encoding);
  if (isCompression(name)) return decompress('the message', bytes, name, maxBytes, share);
  throw new InferenceError('Unimplemented', `grpc-encoding ${quote(name)} is none of ${compressions}`);
}

/** @throws InferenceError InvalidArgument, whatever the decoder throws: the mistake is the client's */
export function decode(description: MethodDescription, bytes: Buffer): unknown {
  try {
    return description.requestDeserialize(bytes);
  } catch (thrown) {
    if (thrown instanceof InferenceError) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw invalid(`the message is not valid protobuf: ${why}`);
  }
}

export function encode(description: MethodDescription, message: unknown): readonly Uint8Array[] {
  const bytes = description.responseSerialize(message);
  return bytes instanceof Uint8Array ? [bytes] : bytes;
}
