/** One call with one request and one answer: receives, decodes, hands over, answers once. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { ByteShare } from '../byte-budget.ts';
import { lengthOf } from '../own-buffer.ts';
import { InferenceError, invalid } from '../protocol/errors.ts';
import { transferTimeoutMs } from '../time-limits.ts';
import { answerHeaders, type CallContext, endWithStatus, type Incoming, type Status } from './answer.ts';
import { endWithSuccess } from './ending.ts';
import { frame, type Message, MessageReader, parseTimeout } from './framing.ts';
import {
  type Done,
  decode,
  encode,
  expand,
  type MethodDescription,
  type UnaryHandler,
  type UnaryRequest,
} from './method.ts';

export class UnaryCall implements UnaryRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  request: unknown;
  timeoutMs: number | undefined;
  readonly #stream: ServerHttp2Stream;
  readonly #context: CallContext;
  readonly #description: MethodDescription;
  readonly #handler: UnaryHandler;
  readonly #reader: MessageReader;
  readonly #share: ByteShare;
  /** Ends what takes too long: first the request, then the answer. */
  #timer: NodeJS.Timeout | undefined;
  /** Of the clock, where the client has set a time limit. */
  #deadline: number | undefined;
  #message: Message | undefined;
  #handedOver = false;
  #answered = false;
  #cancel: (() => void) | undefined;

  constructor(
    incoming: Incoming,
    context: CallContext,
    description: MethodDescription,
    handler: UnaryHandler,
  ) {
    this.#stream = incoming.stream;
    this.path = incoming.path;
    this.headers = incoming.headers;
    this.#context = context;
    this.#description = description;
    this.#handler = handler;
    this.#reader = new MessageReader(context.maxRequestBytes);
    this.#share = context.budget.share();
  }

  start(): void {
    this.#stream.on('close', () => this.#close());
    try {
      this.#limitTime();
    } catch (thrown) {
      return this.#refuse(thrown);
    }
    this.#stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#stream.on('end', () => void this.#handOver());
  }

  onCancel(listener: () => void): void {
    this.#cancel = listener;
  }

  /** The client's limit counts from its headers on, as it does for the client. */
  #limitTime(): void {
    const limitMs = parseTimeout(this.headers['grpc-timeout'] as string | undefined);
    if (limitMs === 0) throw late('the time limit of the call is 0');
    if (limitMs !== undefined) this.#deadline = this.#context.now() + limitMs;
    const ours = limitMs === undefined || limitMs > transferTimeoutMs;
    const ms = ours ? transferTimeoutMs : limitMs;
    const tooSlow = () => {
      const fault = ours ? 'TooSlow' : 'DeadlineExceeded';
      this.#refuse(new InferenceError(fault, `the request did not come within ${ms / 1000} s`));
    };
    this.#timer = setTimeout(tooSlow, ms).unref();
  }

  #receive(chunk: Buffer): void {
    if (this.#answered) return;
    try {
      this.#share.addChunk(chunk.byteLength);
      this.#reader.push(chunk);
      if (this.#message !== undefined) throw invalid('there is more than one message in the request');
      this.#message = this.#reader.next();
    } catch (thrown) {
      this.#refuse(thrown);
    }
  }

  async #handOver(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#answered) return;
    try {
      this.request = await this.#read();
    } catch (thrown) {
      return this.#refuse(thrown);
    }
    // The client may have gone meanwhile, and nobody would cancel what begins now.
    if (this.#answered) return;
    this.#handedOver = true;
    try {
      this.#handler(this, this.#done);
    } catch (thrown) {
      this.#fail(InferenceError.from(thrown));
    }
  }

  async #read(): Promise<unknown> {
    const message = this.#message;
    if (message === undefined) throw invalid('the request ends before its message does');
    if (this.#reader.held > 0) throw invalid('there is more than one message in the request');
    const { maxRequestBytes, now } = this.#context;
    const bytes = await expand(message, this.headers['grpc-encoding'], maxRequestBytes, this.#share);
    if (this.#deadline !== undefined) {
      this.timeoutMs = this.#deadline - now();
      if (this.timeoutMs <= 0) throw late('the time limit of the call passed before its request had come');
    }
    return decode(this.#description, bytes);
  }

  /** An answer that cannot be encoded, or has no room, throws: the call is still to be answered then. */
  readonly #done: Done = (error, answer) => {
    if (error === null) this.#answer(answer);
    else this.#fail('details' in error ? { code: error.code, message: error.details } : error);
  };

  #answer(answer: unknown): void {
    const stream = this.#stream;
    if (this.#answered || stream.destroyed || stream.closed) return;
    const pieces = frame(encode(this.#description, answer));
    this.#share.atLeast(lengthOf(pieces));
    this.#answered = true;
    this.#timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), transferTimeoutMs).unref();
    stream.respond(answerHeaders(this.#context), { waitForTrailers: true });
    endWithSuccess(stream, pieces);
  }

  /** Ends the call before its handler has heard of it. */
  #refuse(thrown: unknown): void {
    if (this.#answered) return;
    const error = InferenceError.from(thrown);
    this.#context.onRefused(this.path, error);
    this.#fail(error);
  }

  #fail(status: Status): void {
    if (this.#answered) return;
    this.#answered = true;
    endWithStatus(this.#stream, this.#context, status);
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#share.release();
    if (!this.#handedOver) this.#refuse(new InferenceError('Cancelled', 'the client ended the call'));
    if (this.#answered) return;
    this.#answered = true;
    this.#cancel?.();
  }
}

function late(message: string): InferenceError {
  return new InferenceError('DeadlineExceeded', message);
}
