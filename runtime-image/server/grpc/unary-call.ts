/** One call with one request and one answer: receives, decodes, hands over, answers once. */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { ByteShare } from '../byte-budget.ts';
import { InferenceError, invalid } from '../protocol/errors.ts';
import {
  answerHeaders,
  type CallContext,
  endWithStatus,
  type Incoming,
  type Status,
  succeeded,
} from './answer.ts';
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

/** Longest that a request may take to come; as over HTTP/1.1. */
const requestTimeoutMs = 300_000;

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
  readonly #slow: NodeJS.Timeout;
  #message: Message | undefined;
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
    this.#slow = setTimeout(() => this.#fail(tooSlow()), requestTimeoutMs).unref();
  }

  start(): void {
    this.#stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#stream.on('end', () => void this.#handOver());
    this.#stream.on('close', () => this.#close());
  }

  onCancel(listener: () => void): void {
    this.#cancel = listener;
  }

  #receive(chunk: Buffer): void {
    if (this.#answered) return;
    try {
      this.#share.addChunk(chunk.byteLength);
      this.#reader.push(chunk);
      if (this.#message !== undefined) throw invalid('there is more than one message in the request');
      this.#message = this.#reader.next();
    } catch (thrown) {
      this.#fail(InferenceError.from(thrown));
    }
  }

  async #handOver(): Promise<void> {
    clearTimeout(this.#slow);
    if (this.#answered) return;
    try {
      const message = this.#message;
      if (message === undefined) throw invalid('the request ends before its message does');
      if (this.#reader.held > 0) throw invalid('there is more than one message in the request');
      this.timeoutMs = parseTimeout(this.headers['grpc-timeout'] as string | undefined);
      if (this.timeoutMs === 0)
        throw new InferenceError('DeadlineExceeded', 'the time limit of the call is 0');
      const { maxRequestBytes } = this.#context;
      const bytes = await expand(message, this.headers['grpc-encoding'], maxRequestBytes, this.#share);
      // The client may have gone meanwhile, and nobody would cancel what begins now.
      if (this.#answered) return;
      this.request = decode(this.#description, bytes);
      this.#handler(this, this.#done);
    } catch (thrown) {
      this.#fail(InferenceError.from(thrown));
    }
  }

  readonly #done: Done = (error, answer) => {
    if (error === null) this.#answer(answer);
    else this.#fail('details' in error ? { code: error.code, message: error.details } : error);
  };

  #answer(answer: unknown): void {
    const stream = this.#stream;
    if (this.#answered || stream.destroyed || stream.closed) return;
    this.#answered = true;
    const pieces = frame(encode(this.#description, answer));
    stream.respond(answerHeaders(this.#context), { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers(succeeded));
    const last = pieces.length - 1;
    for (const piece of pieces.slice(0, last)) stream.write(piece);
    stream.end(pieces[last]);
  }

  #fail(status: Status): void {
    if (this.#answered) return;
    this.#answered = true;
    endWithStatus(this.#stream, this.#context, status);
  }

  #close(): void {
    clearTimeout(this.#slow);
    this.#share.release();
    if (this.#answered) return;
    this.#answered = true;
    this.#cancel?.();
  }
}

function tooSlow(): InferenceError {
  return new InferenceError(
    'DeadlineExceeded',
    `the request did not come within ${requestTimeoutMs / 1000} s`,
  );
}
