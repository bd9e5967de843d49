/** tar archives, plain or compressed with gzip or zstd. */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { Failure } from '../../termination.ts';
import type { Extractor } from './policy.ts';

const blockBytes = 512;
/** Of a PAX header or a long name, which the parser holds in memory. */
const maxMetaBytes = 64 * 1024;

/** @throws Failure ArtifactUnsafe, ArtifactTooLarge, VolumeFull, ArtifactUnsupported, ArtifactCorrupt */
export async function untar(path: string, extractor: Extractor): Promise<void> {
  const failed = new AbortController();
  let writing: Promise<void> = Promise.resolve();
  const parser = new Parser({
    strict: true,
    maxMetaEntrySize: maxMetaBytes,
    // Decompression is ours, and a compressed archive within the archive is a file like any other.
    brotli: false,
    onReadEntry: (entry) => {
      if (failed.signal.aborted) {
        entry.resume();
        return;
      }
      const taken = writing.then(() => take(entry, extractor));
      writing = taken;
      taken.catch((thrown) => {
        failed.abort(thrown);
        entry.resume();
      });
    },
  });
  // What the parser leaves out on its own would be missing, or be taken for what it is not.
  parser.on('ignoredEntry', ({ type, path: name }: ReadEntry) => {
    if (type === 'TapeVolumeHeader') return;
    const shown = JSON.stringify(name.slice(0, 200));
    failed.abort(unsupported(`the archive's entry ${shown} is of type ${type}, which is not supported`));
  });
  parser.on('meta', (text: string) => {
    if (/^\d+ GNU\.sparse\./m.test(text))
      failed.abort(unsupported('the archive has sparse files: files with holes are not supported'));
  });
  try {
    const feed = async (source: AsyncIterable<Buffer>) => {
      let bytes = 0;
      for await (const chunk of source) {
        bytes += chunk.byteLength;
        // The parser waits for whoever reads an entry.
        if (!parser.write(chunk)) await once(parser, 'drain', { signal: failed.signal });
      }
      if (bytes % blockBytes !== 0) throw new Error('it ends within a block');
      const ended = once(parser, 'end', { signal: failed.signal });
      parser.end();
      await ended;
    };
    const packed = createReadStream(path, { highWaterMark: 2 ** 18 });
    const decompress = await decompression(path);
    const { signal } = failed;
    await (decompress === undefined
      ? pipeline(packed, feed, { signal })
      : pipeline(packed, decompress, feed, { signal }));
    await writing;
  } catch (thrown) {
    failed.abort(thrown);
    const reason: unknown = failed.signal.reason;
    // Whoever reads an entry waits for its rest, which does not come any more: the parser has to end it.
    parser.on('error', () => undefined);
    parser.end();
    await writing.catch(() => undefined);
    if (reason instanceof Failure) throw reason;
    const why = reason instanceof Error ? reason.message : String(reason);
    throw new Failure('ArtifactCorrupt', `the archive cannot be read: ${why}`, { cause: reason });
  }
}

const unsupported = (message: string): Failure => new Failure('ArtifactUnsupported', message);

async function take(entry: ReadEntry, extractor: Extractor): Promise<void> {
  const type = types[entry.type] ?? 'other';
  const path = extractor.admit({ path: entry.path, type, what: `a ${entry.type}` });
  if (path === undefined) {
    entry.resume();
    return;
  }
  await extractor.write(path, entry);
}

const types: Readonly<Record<string, 'file' | 'folder'>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'folder',
  GNUDumpDir: 'folder',
};

/** By the first bytes, since names lie. */
async function decompression(path: string) {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    const start = buffer.subarray(0, bytesRead).toString('hex');
    if (start.startsWith('1f8b')) return createGunzip();
    return start === '28b52ffd' ? createZstdDecompress() : undefined;
  } finally {
    await file.close();
  }
}
