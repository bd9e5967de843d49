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

/**
 * Hands over what comes of a body, until it ends or enough has come. The request itself goes on, whatever happens: its answer has to
 * go out on its socket.
 *
 * @param take answers whether to go on; what it throws ends the reading
 * @throws InferenceError TooSlow, Cancelled
 */
function receive(request: IncomingMessage, take: (chunk: Buffer) => boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const end = (settle: () => void) => {
    clearTimeout(timer);
    request.off('data', onData);
    if (!request.readableEnded) request.pause();
    settle();
  };
  const fail = (thrown: unknown) => end(() => reject(thrown));
  const onData = (chunk: Buffer) => {
    try {
      if (!take(chunk)) end(resolve);
    } catch (thrown) {
      fail(thrown);
    }
  };
  const seconds = transferTimeoutMs / 1000;
  const late = () => fail(new InferenceError('TooSlow', `the body did not come within ${seconds} s`));
  const timer = setTimeout(late, transferTimeoutMs).unref();
  const cut = (cause?: unknown) =>
    fail(new InferenceError('Cancelled', 'the client ended the request before its body', { cause }));
  request
    .on('data', onData)
    .once('end', () => end(resolve))
    .on('error', cut)
    .once('close', cut);
  return promise;
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
  await receive(request, (chunk) => {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) return false;
    share.addChunk(Math.max(0, Math.min(chunk.byteLength, bytes - announced)));
    chunks.push(chunk);
    return true;
  });
  if (bytes > maxBytes) throw tooLarge(maxBytes);
  const [only] = chunks;
  const body = chunks.length === 1 && only !== undefined ? only : joinOwned(chunks, bytes);
  const encoding = request.headers['content-encoding'] ?? '';
  if (encoding === 'identity' || encoding === '') return body;
  if (isCompression(encoding)) return decompress('the body', body, encoding, maxBytes, share);
  throw invalid(`Content-Encoding ${quote(encoding)} is none of identity, ${compressions}`);
}
