/**
 * The server's side of SPDY/3.1, as far as Kubernetes still uses it: streams that the client opens inside one connection,
 * for commands and forwarded ports. Without flow control, which Kubernetes' own implementation does not have either.
 */
import { Duplex } from 'node:stream';
import { HeaderReader, HeaderWriter } from './spdy-headers.ts';

const types = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
} as const;
const fin = 1;
/** Payload of the frames that we send. */
const frameSize = 32 * 1024;
/** Payload that we accept. */
const longestFrame = 1024 * 1024;

export interface SpdyStream extends Duplex {
  readonly headers: Readonly<Record<string, string>>;
}

/** Serves the connection; calls back for every stream that the client opens, after having accepted it. */
export function serveSpdy(socket: Duplex, onStream: (stream: SpdyStream) => void): void {
  const streams = new Map<number, Stream>();
  const stalled = new Set<Stream>();
  const reader = new HeaderReader();
  const writer = new HeaderWriter();
  const end = () => {
    reader.close();
    writer.close();
    for (const stream of streams.values()) stream.destroy();
    socket.destroy();
  };

  class Stream extends Duplex implements SpdyStream {
    readonly id: number;
    readonly headers: Readonly<Record<string, string>>;

    constructor(id: number, headers: Readonly<Record<string, string>>) {
      super({ allowHalfOpen: true });
      this.id = id;
      this.headers = headers;
    }

    /** Bytes from the client; `undefined` is the end of them. */
    receive(bytes: Buffer | undefined): void {
      // A reader that lags holds all streams up: there is nothing in the protocol as we have it that holds one.
      if (!this.push(bytes ?? null) && bytes) stalled.add(this);
    }

    override _read(): void {
      stalled.delete(this);
      resume();
    }

    override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
      for (let at = frameSize; at < chunk.length; at += frameSize) {
        socket.write(dataFrame(this.id, 0, chunk.subarray(at - frameSize, at)));
      }
      const rest = Math.max(0, Math.ceil(chunk.length / frameSize) - 1) * frameSize;
      if (socket.write(dataFrame(this.id, 0, chunk.subarray(rest)))) done();
      else socket.once('drain', () => done());
    }

    override _final(done: (error?: Error | null) => void): void {
      if (socket.writable) socket.write(dataFrame(this.id, fin, Buffer.alloc(0)));
      done();
    }

    override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
      streams.delete(this.id);
      stalled.delete(this);
      resume();
      done(error);
    }
  }

  // One frame after the other: the compression of headers depends on their order.
  let pending: Buffer = Buffer.alloc(0);
  let handling = false;
  async function advance(): Promise<void> {
    if (handling) return;
    handling = true;
    try {
      while (pending.length >= 8 && stalled.size === 0) {
        const length = pending.readUIntBE(5, 3);
        if (length > longestFrame) throw new Error('frame too long');
        if (pending.length < 8 + length) break;
        const frame = pending.subarray(0, 8 + length);
        pending = pending.subarray(8 + length);
        await receive(frame);
      }
    } catch {
      end();
    } finally {
      handling = false;
    }
    if (stalled.size === 0) socket.resume();
    else socket.pause();
  }
  function resume(): void {
    if (stalled.size === 0) queueMicrotask(() => void advance());
  }

  async function receive(frame: Buffer): Promise<void> {
    const flags = frame.readUInt8(4);
    const payload = frame.subarray(8);
    if ((frame.readUInt8(0) & 0x80) === 0) {
      const stream = streams.get(frame.readUInt32BE(0));
      if (payload.length > 0) stream?.receive(Buffer.from(payload));
      if (flags & fin) stream?.receive(undefined);
      return;
    }
    switch (frame.readUInt16BE(2)) {
      case types.synStream: {
        const id = payload.readUInt32BE(0) & 0x7fffffff;
        const stream = new Stream(id, await reader.read(payload.subarray(10)));
        streams.set(id, stream);
        stream.on('error', () => {});
        const reply = Buffer.alloc(4);
        reply.writeUInt32BE(id);
        socket.write(controlFrame(types.synReply, Buffer.concat([reply, await writer.write({})])));
        if (flags & fin) stream.receive(undefined);
        onStream(stream);
        return;
      }
      case types.headers:
        await reader.read(payload.subarray(4));
        return;
      case types.rstStream:
        streams.get(payload.readUInt32BE(0) & 0x7fffffff)?.destroy();
        return;
      case types.ping:
        socket.write(controlFrame(types.ping, payload));
        return;
      default:
        // Settings and farewells need no answer.
        return;
    }
  }

  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    if (stalled.size > 0) socket.pause();
    void advance();
  });
  socket.on('error', end);
  socket.on('end', end);
  socket.on('close', end);
}

function dataFrame(id: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(id);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function controlFrame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8003);
  head.writeUInt16BE(type, 2);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}
