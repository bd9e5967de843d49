/**
 * Memory that holds one request and nothing else. It may be moved to a worker as it is, where any other has to be copied:
 * what comes from a socket is a view of memory that other requests lie in too.
 */

/** As far as typed arrays ask. */
const alignment = 8;
const owned = new WeakSet<ArrayBufferLike>();

/**
 * Chunks in one piece, in memory of its own. Its end is aligned, since that is where raw contents of tensors lie.
 * @param bytes of all chunks together
 */
export function joinOwned(chunks: readonly Uint8Array[], bytes: number): Buffer {
  const { buffer } = Buffer.allocUnsafeSlow(Math.ceil(bytes / alignment) * alignment);
  const joined = Buffer.from(buffer, buffer.byteLength - bytes, bytes);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.byteLength;
  }
  owned.add(buffer);
  return joined;
}

/** Of all chunks together. */
export function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Whether the memory holds one request and nothing else. */
export function isOwned(buffer: ArrayBufferLike): buffer is ArrayBuffer {
  return owned.has(buffer);
}
