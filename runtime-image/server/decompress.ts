/** Undoes what a client compressed, over either protocol, within the limit of one request and within its share of the budget. */
import { createGunzip, createInflate } from 'node:zlib';
import type { ByteShare } from './byte-budget.ts';
import { joinOwned } from './own-buffer.ts';
import { InferenceError, invalid } from './protocol/errors.ts';

const decompressors = { gzip: createGunzip, deflate: createInflate } as const;
export type Compression = keyof typeof decompressors;
export const compressions = Object.keys(decompressors).join(', ');

/** A decompressor's window and what it writes to: far more than the least that it can be given. */
const ownBytes = 64 * 1024;

export function isCompression(name: string): name is Compression {
  return Object.hasOwn(decompressors, name);
}

/**
 * A few bytes may become a thousand times as many, so each piece is added to the share before the next is made.
 * @param what was compressed, for messages: "the body"
 * @throws InferenceError TooLarge, Exhausted, or Cancelled once the share is given back; InvalidArgument when it is broken
 */
export async function decompress(
  what: string,
  bytes: Uint8Array,
  compression: Compression,
  maxBytes: number,
  share: ByteShare,
): Promise<Buffer> {
  share.add(ownBytes);
  const stream = decompressors[compression]();
  stream.end(bytes);
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of stream as AsyncIterable<Buffer>) {
      length += piece.byteLength;
      if (length > maxBytes) {
        throw new InferenceError(
          'TooLarge',
          `${what} has more than ${maxBytes} bytes when decompressed, the most that this server takes`,
        );
      }
      share.add(piece.byteLength);
      pieces.push(piece);
    }
  } catch (thrown) {
    if (thrown instanceof InferenceError) throw thrown;
    throw invalid(`${what} is not valid ${compression}`);
  }
  return joinOwned(pieces, length);
}
