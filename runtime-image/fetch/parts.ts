/**
 * A large resource in parallel parts. Every request names the content it is a part of by its strong entity tag, so parts
 * of two different contents are never put together; each part continues where its connection broke.
 */
import type { Readable } from 'node:stream';
import { checkEncoding, checkRange, type DownloadOptions } from './download.ts';
import { type Resource, Transient } from './http-client.ts';
import type { PartialFile } from './partial-file.ts';
import { retrying } from './retry.ts';

/** One connection seldom fills the line to a store; more than a few are impolite. */
const connections = 4;

export interface Parts {
  readonly resource: Resource;
  readonly into: PartialFile;
  readonly total: number;
  /** Strong entity tag of the content. */
  readonly tag: string;
  readonly partBytes: number;
}

/** @throws Failure, Transient when the content has changed meanwhile; the file is empty again then */
export async function downloadParts(parts: Parts, options: DownloadOptions): Promise<void> {
  const { into, total, partBytes } = parts;
  const count = Math.ceil(total / partBytes);
  const done = new Array<boolean>(count).fill(false);
  let next = 0;
  let whole = 0;
  let failed = false;
  const worker = async () => {
    while (!failed && next < count) {
      const index = next++;
      const end = Math.min(total, (index + 1) * partBytes);
      try {
        await downloadPart(parts, index * partBytes, end, options, () => failed);
      } catch (thrown) {
        failed = true;
        throw thrown;
      }
      done[index] = true;
      while (done[whole] === true) whole++;
      // What lies on the disk without a gap is hashed while the rest arrives.
      into.hashUpTo(Math.min(total, whole * partBytes));
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(connections, count) }, worker));
  const failure = ends.find((end) => end.status === 'rejected');
  if (failure === undefined) return into.filledTo(total);
  await into.restart();
  throw failure.reason;
}

async function downloadPart(
  { resource, into, tag }: Parts,
  start: number,
  end: number,
  options: DownloadOptions,
  givenUp: () => boolean,
): Promise<void> {
  let at = start;
  let changed = false;
  const attempt = async () => {
    const answer = await options.client.open(resource, { range: `bytes=${at}-${end - 1}`, 'if-range': tag });
    const body: Readable = answer.body;
    body.on('error', () => undefined);
    try {
      // No try of this part mends that; the download as a whole begins again.
      changed = answer.statusCode !== 206;
      if (changed) return;
      checkRange(answer, at);
      checkEncoding(answer, resource);
      for await (const chunk of body) {
        if (givenUp()) return;
        const part = (chunk as Buffer).subarray(0, end - at);
        await into.writeAt(at, part);
        at += part.byteLength;
      }
      if (at < end) throw new Transient(`a part ended ${end - at} bytes early`);
    } finally {
      body.destroy();
    }
  };
  await retrying(resource.url, attempt, options, () => at);
  if (changed) throw new Transient('the content has changed while it was fetched');
}
