/** HTTP/2 as bytes, for clients that do what no library lets them. */
import { createConnection, type Socket } from 'node:net';

export const frameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  continuation: 9,
} as const;
export const flag = { endStream: 1, endHeaders: 4 } as const;

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Fields as HPACK literals: no table, no Huffman, and no check of what they hold. */
export function fields(list: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value, 'latin1');
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    const length = [127];
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
    return Buffer.concat([Buffer.from([...length, rest]), bytes]);
  };
  return Buffer.concat(list.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** A connection on which frames can be sent. What comes back is counted by type. */
export class Http2Socket {
  readonly socket: Socket;
  readonly received: Record<number, number> = {};
  closed = false;
  #buffered = Buffer.alloc(0);

  constructor(address: string, port: number) {
    this.socket = createConnection(port, address);
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.send(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(frameType.settings, 0, 0));
  }

  send(...parts: readonly Buffer[]): void {
    if (!this.closed) this.socket.write(Buffer.concat(parts));
  }

  /** A request by its fields, whole, unless there is a body. */
  request(stream: number, list: readonly (readonly [string, string])[], body?: Buffer): void {
    const flags = flag.endHeaders | (body === undefined ? flag.endStream : 0);
    this.send(
      frame(frameType.headers, flags, stream, fields(list)),
      ...(body === undefined ? [] : [frame(frameType.data, flag.endStream, stream, body)]),
    );
  }

  #take(chunk: Buffer): void {
    this.#buffered = Buffer.concat([this.#buffered, chunk]);
    while (this.#buffered.length >= 9) {
      const length = 9 + this.#buffered.readUIntBE(0, 3);
      if (this.#buffered.length < length) return;
      const type = this.#buffered[3]!;
      this.received[type] = (this.received[type] ?? 0) + 1;
      this.#buffered = this.#buffered.subarray(length);
    }
  }
}
