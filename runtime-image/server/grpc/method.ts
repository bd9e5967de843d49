/** The methods of a service as the transport sees them, from the description and the handlers that grpc-js takes. */

import type { IncomingHttpHeaders } from 'node:http2';
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
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
  /** The time limit that the client has set, in milliseconds; undefined when there is none. */
  readonly timeoutMs: number | undefined;
  /** The one listener: called when nobody waits for the answer any more. */
  onCancel(listener: () => void): void;
}

/** A status that is not OK; grpc-js calls its text `details`. */
export interface HandlerError {
  readonly code: number;
  readonly details: string;
}
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

const decompressors: Readonly<Record<string, (bytes: Buffer, options: object) => Promise<Buffer>>> = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
};

/** A message as it was before its sender compressed it. @throws InferenceError */
export async function expand(
  message: Message,
  encoding: string | string[] | undefined,
  maxBytes: number,
): Promise<Buffer> {
  if (encoding === undefined || encoding === 'identity') {
    throw invalid('a message is marked as compressed, and grpc-encoding says nothing of that');
  }
  const name = String(encoding);
  const decompress = Object.hasOwn(decompressors, name) ? decompressors[name] : undefined;
  if (decompress === undefined) {
    throw new InferenceError('Unimplemented', `grpc-encoding ${quote(name)} is none of gzip, deflate`);
  }
  try {
    return await decompress(message.bytes, { maxOutputLength: maxBytes });
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
    if (code !== 'ERR_BUFFER_TOO_LARGE') throw invalid(`the message is not valid ${name}`);
    throw new InferenceError('TooLarge', `the message has more than ${maxBytes} bytes when decompressed`);
  }
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
