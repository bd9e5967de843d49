/** The framing of gRPC over HTTP/2: messages with a length before them, time limits and texts in headers. Pure. */
import { joinOwned, lengthOf } from '../own-buffer.ts';
import { InferenceError, invalid } from '../protocol/errors.ts';

/** One byte that says whether the message is compressed, and four of its length. */
const prefixBytes = 5;

export interface Message {
  readonly compressed: boolean;
  readonly bytes: Buffer;
}

/** Takes a stream of chunks apart into messages; holds no more than the chunks of the one that is not complete. */
export class MessageReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #held = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of a message that has begun and not ended. */
  get held(): number {
    return this.#held;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#held += chunk.byteLength;
  }

  /** The next message that has come as a whole. @throws InferenceError TooLarge as soon as its length is known */
  next(): Message | undefined {
    if (this.#held < prefixBytes) return undefined;
    const prefix = this.#prefix();
    const length = prefix.readUInt32BE(1);
    if (length > this.#maxBytes) {
      throw new InferenceError(
        'TooLarge',
        `the message has ${length} bytes; the most that this server takes is ${this.#maxBytes}`,
      );
    }
    const flag = prefix[0];
    if (flag !== 0 && flag !== 1) throw invalid(`the flag before a message is ${flag}; it has to be 0 or 1`);
    const end = prefixBytes + length;
    if (this.#held < end) return undefined;
    const all = this.#joined();
    const rest = all.subarray(end);
    this.#chunks = rest.byteLength > 0 ? [rest] : [];
    this.#held = rest.byteLength;
    return { compressed: flag === 1, bytes: all.subarray(prefixBytes, end) };
  }

  /** Chunks are joined once, when the message is complete, and not at every one that comes. */
  #prefix(): Buffer {
    const [first] = this.#chunks;
    return first !== undefined && first.byteLength >= prefixBytes ? first : this.#joined();
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const all = joinOwned(this.#chunks, this.#held);
    this.#chunks = [all];
    return all;
  }
}

/** Below this, copying the pieces of a message together costs less than writing them one by one. */
const copyBelow = 65_536;

/** A message with its prefix, as what has to be written; large pieces are not copied. */
export function frame(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  const length = lengthOf(pieces);
  const prefix = Buffer.allocUnsafe(prefixBytes);
  prefix[0] = 0;
  prefix.writeUInt32BE(length, 1);
  if (length < copyBelow) return [Buffer.concat([prefix, ...pieces], prefixBytes + length)];
  const framed: Uint8Array[] = [];
  let small: Uint8Array[] = [prefix];
  for (const piece of pieces) {
    if (piece.byteLength < copyBelow) small.push(piece);
    else {
      if (small.length > 0) framed.push(Buffer.concat(small));
      framed.push(piece);
      small = [];
    }
  }
  if (small.length > 0) framed.push(Buffer.concat(small));
  return framed;
}

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Milliseconds of a `grpc-timeout` header; undefined when there is none. @throws InferenceError when it is none */
export function parseTimeout(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, amount, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  if (amount === undefined || unit === undefined) {
    throw invalid(`grpc-timeout is ${JSON.stringify(header.slice(0, 40))}; it has to be like 100m or 2S`);
  }
  return Number(amount) * (unitMs[unit] ?? Number.NaN);
}

/** The text of a status as a header carries it: printable ASCII as it is, everything else percent-encoded. */
export function encodeStatusText(text: string): string {
  const plain = /^[ -$&-~]*$/;
  if (plain.test(text)) return text;
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
