/**
 * A call with a stream of requests or of answers, in the words of grpc-js, for which the health and reflection services are
 * written: emits `data`, `end` and `cancelled`, and takes `write` and `end`.
 */
import { EventEmitter } from 'node:events';
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
  trailersOf,
} from './answer.ts';
import { frame, type Message, MessageReader, parseTimeout } from './framing.ts';
import { decode, encode, expand, type MethodDescription, type StreamHandler } from './method.ts';

export class StreamingCall extends EventEmitter {
  /** Of a method whose request is a single message. */
  request: unknown;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #context: CallContext;
  readonly #description: MethodDescription;
  readonly #handler: StreamHandler;
  readonly #reader: MessageReader;
  #deadline: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(
    incoming: Incoming,
    context: CallContext,
    description: MethodDescription,
    handler: StreamHandler,
  ) {
    super();
    this.#stream = incoming.stream;
    this.#headers = incoming.headers;
    this.#context = context;
    this.#description = description;
    this.#handler = handler;
    this.#reader = new MessageReader(context.maxRequestBytes);
  }

  start(): void {
    try {
      this.#limitTime();
    } catch (thrown) {
      return this.#fail(InferenceError.from(thrown));
    }
    this.#stream.on('close', () => this.#close());
    if (this.#description.requestStream) this.#handler(this);
    void this.#receive();
  }

  /** Nothing more is read of a client that does not read what it is sent. */
  write(message: unknown): void {
    const stream = this.#stream;
    if (this.#ended || stream.destroyed || stream.closed) return;
    if (!stream.headersSent) stream.respond(answerHeaders(this.#context), { waitForTrailers: true });
    for (const piece of frame(encode(this.#description, message))) stream.write(piece);
  }

  end(): void {
    this.#end(succeeded);
  }

  #limitTime(): void {
    const ms = parseTimeout(this.#headers['grpc-timeout'] as string | undefined);
    if (ms === undefined) return;
    const late = new InferenceError('DeadlineExceeded', 'the time limit of the call has passed');
    this.#deadline = setTimeout(() => this.#fail(late), Math.min(ms, 2 ** 31 - 1)).unref();
  }

  async #receive(): Promise<void> {
    const stream = this.#stream;
    const { budget } = this.#context;
    // Of the messages of the moment: what has been heard is given back.
    let share = budget.share();
    try {
      for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        share.addChunk(chunk.byteLength);
        this.#reader.push(chunk);
        for (let message = this.#reader.next(); message !== undefined; message = this.#reader.next()) {
          await this.#hear(message, share);
          share.release();
          share = budget.share();
          share.addChunk(this.#reader.held);
        }
      }
      if (this.#reader.held > 0) throw invalid('the requests end within a message');
      if (this.#description.requestStream) this.emit('end');
      else if (this.request === undefined) throw invalid('the request ends before its message does');
    } catch (thrown) {
      if (!stream.destroyed) this.#fail(InferenceError.from(thrown));
    } finally {
      share.release();
    }
  }

  async #hear(message: Message, share: ByteShare): Promise<void> {
    const { maxRequestBytes } = this.#context;
    const bytes = await expand(message, this.#headers['grpc-encoding'], maxRequestBytes, share);
    if (this.#ended) return;
    const request = decode(this.#description, bytes);
    if (this.#description.requestStream) this.emit('data', request);
    else if (this.request !== undefined) throw invalid('there is more than one message in the request');
    else {
      this.request = request;
      this.#handler(this);
    }
    const stream = this.#stream;
    if (stream.writableNeedDrain) {
      await new Promise<void>((resolve) => {
        stream.once('drain', resolve).once('close', resolve);
      });
    }
  }

  #fail(status: Status): void {
    if (this.#stream.headersSent) this.#end(trailersOf(status));
    else {
      this.#ended = true;
      endWithStatus(this.#stream, this.#context, status);
    }
  }

  #end(trailers: object): void {
    const stream = this.#stream;
    if (this.#ended || stream.destroyed || stream.closed) return;
    this.#ended = true;
    clearTimeout(this.#deadline);
    if (!stream.headersSent) stream.respond(answerHeaders(this.#context), { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ ...trailers }));
    stream.end();
  }

  #close(): void {
    clearTimeout(this.#deadline);
    this.#ended = true;
    this.emit('cancelled');
  }
}
