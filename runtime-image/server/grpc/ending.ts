/**
 * The end of a call that succeeded. An answer and the trailers after it leave in one write: a router can ask another pod for
 * an answer that has not begun, and for none that lacks its trailers, so a process that is killed between two writes
 * loses the call. And one write costs less than two.
 *
 * Node sends trailers in a later turn, and has no public way to send them in the same (see docs/decisions.md). What its own
 * JavaScript calls is called here a turn earlier, where nghttp2 asks for them; a Node whose inside looks different gets
 * the public way.
 */
import { constants, type ServerHttp2Stream } from 'node:http2';
import { succeeded } from './answer.ts';

/** What Node has for a stream below its JavaScript, as far as it is used. */
interface Handle {
  /** @param headers each as name, value and flags with a zero after the first two, and their number. @returns negative: an error */
  trailers(headers: readonly [text: string, count: number]): number;
}

const noFlags = '\0';
const entries = Object.entries(succeeded);
const encoded = [
  entries.map(([name, value]) => `${name}\0${value}\0${noFlags}`).join(''),
  entries.length,
] as const;

/** Sends an answer, whose headers were sent with `waitForTrailers`, and its trailers. */
export function endWithSuccess(stream: ServerHttp2Stream, pieces: readonly Uint8Array[]): void {
  const handle = handleOf(stream);
  stream.once('wantTrailers', () => {
    if (handle === undefined) stream.sendTrailers(succeeded);
    else if (handle.trailers(encoded) < 0) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  });
  const last = pieces.length - 1;
  for (const piece of pieces.slice(0, last)) stream.write(piece);
  stream.end(pieces[last]);
  // A single piece is Node's already. Told now that nothing follows, it asks for the trailers while it sends that, not after it.
  if (handle !== undefined && last === 0) stream._final(() => undefined);
}

let key: symbol | undefined;

function handleOf(stream: ServerHttp2Stream): Handle | undefined {
  key ??= Object.getOwnPropertySymbols(stream).find(({ description }) => description === 'kHandle');
  const handle: unknown = key === undefined ? undefined : Reflect.get(stream, key);
  return isHandle(handle) ? handle : undefined;
}

function isHandle(value: unknown): value is Handle {
  return (
    typeof value === 'object' && value !== null && 'trailers' in value && typeof value.trailers === 'function'
  );
}
