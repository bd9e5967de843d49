/** Reads a request body within a limit, and undoes its content encoding within the same limit. */
import type { IncomingMessage } from 'node:http';
import type { ByteShare } from '../byte-budget.ts';
import { compressions, decompress, isCompression } from '../decompress.ts';
import { joinOwned } from '../own-buffer.ts';
import { InferenceError, invalid, quote } from '../protocol/errors.ts';
import { transferTimeoutMs } from '../time-limits.ts';

function tooLarge(maxBytes: number): InferenceError {
  return new InferenceError(
    'TooLarge',
    `the body is larger than ${maxBytes} bytes, the most that this server takes`,
  );
}

/** What comes of a body. Neither leaving it nor its end in time destroys the request, whose answer has to go out yet. */
async function* inTime(request: IncomingMessage): AsyncGenerator<Buffer> {
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  const late = Promise.withResolvers<never>();
  const seconds = transferTimeoutMs / 1000;
  const timer = setTimeout(() => {
    late.reject(new InferenceError('TooSlow', `the body did not come within ${seconds} s`));
  }, transferTimeoutMs).unref();
  try {
    for (;;) {
      const { done, value } = await Promise.race([chunks.next(), late.promise]);
      if (done === true) return;
      yield value;
    }
  } finally {
    clearTimeout(timer);
    // Not waited for: one that still waits for a chunk ends with that.
    void chunks.return?.()?.catch(() => undefined);
  }
}

/**
 * @throws InferenceError TooLarge, TooSlow, Exhausted or Cancelled, as soon as that is known; InvalidArgument when the encoding is
 *   unknown or broken
 */
export async function readBody(
  request: IncomingMessage,
  maxBytes: number,
  share: ByteShare,
): Promise<Uint8Array> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  // All at once where the size is known, so that a request is refused before, not after, most of it has come.
  share.add(announced);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of inTime(request)) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) break;
      share.addChunk(Math.max(0, Math.min(chunk.byteLength, bytes - announced)));
      chunks.push(chunk);
    }
  } catch (thrown) {
    if (thrown instanceof InferenceError) throw thrown;
    throw new InferenceError('Cancelled', 'the client ended the request before its body', { cause: thrown });
  }
  if (bytes > maxBytes) throw tooLarge(maxBytes);
  const [only] = chunks;
  const body = chunks.length === 1 && only !== undefined ? only : joinOwned(chunks, bytes);
  const encoding = request.headers['content-encoding'] ?? '';
  if (encoding === 'identity' || encoding === '') return body;
  if (isCompression(encoding)) return decompress('the body', body, encoding, maxBytes, share);
  throw invalid(`Content-Encoding ${quote(encoding)} is none of identity, ${compressions}`);
}
