/**
 * Reads files out of a ZIP archive: just enough of the format (stored and deflated entries, no encryption, no ZIP64)
 * to unpack tools on a machine that has no `unzip`.
 */
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32, createInflateRaw } from 'node:zlib';

/** One file of an archive, as its central directory describes it. Sizes are in bytes. */
export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  readonly compressedSize: number;
  readonly crc32: number;
  readonly method: number;
  readonly headerOffset: number;
}

const endSignature = 0x06054b50;
const entrySignature = 0x02014b50;
const headerSignature = 0x04034b50;
const endLength = 22;
const entryLength = 46;
const headerLength = 30;
const longestComment = 0xffff;
const stored = 0;
const deflated = 8;

/** The entries of the archive at `file`, in the order of its directory. Throws when it is not a ZIP archive. */
export async function zipEntries(file: string): Promise<ZipEntry[]> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(Math.min(size, endLength + longestComment));
    await handle.read(tail, 0, tail.length, size - tail.length);
    let end = tail.length - endLength;
    while (end >= 0 && tail.readUInt32LE(end) !== endSignature) end -= 1;
    if (end < 0) throw new Error(`${file} is not a ZIP archive`);
    const directory = Buffer.alloc(tail.readUInt32LE(end + 12));
    await handle.read(directory, 0, directory.length, tail.readUInt32LE(end + 16));
    return parseDirectory(directory, file);
  } finally {
    await handle.close();
  }
}

function parseDirectory(directory: Buffer, file: string): ZipEntry[] {
  const entries: ZipEntry[] = [];
  let at = 0;
  while (at + entryLength <= directory.length) {
    if (directory.readUInt32LE(at) !== entrySignature) throw new Error(`${file} has a damaged directory`);
    const nameLength = directory.readUInt16LE(at + 28);
    entries.push({
      name: directory.toString('utf8', at + entryLength, at + entryLength + nameLength),
      method: directory.readUInt16LE(at + 10),
      crc32: directory.readUInt32LE(at + 16),
      compressedSize: directory.readUInt32LE(at + 20),
      size: directory.readUInt32LE(at + 24),
      headerOffset: directory.readUInt32LE(at + 42),
    });
    at += entryLength + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

/** Writes one entry of the archive to `target` with permissions `mode`. Throws when size or checksum differ. */
export async function extractEntry(
  file: string,
  entry: ZipEntry,
  target: string,
  mode: number,
): Promise<void> {
  if (entry.method !== stored && entry.method !== deflated) {
    throw new Error(
      `${entry.name} in ${file} uses compression method ${entry.method}, which is not supported`,
    );
  }
  const handle = await open(file);
  const header = Buffer.alloc(headerLength);
  await handle.read(header, 0, headerLength, entry.headerOffset);
  if (header.readUInt32LE(0) !== headerSignature) throw new Error(`${entry.name} in ${file} has no header`);
  const start = entry.headerOffset + headerLength + header.readUInt16LE(26) + header.readUInt16LE(28);
  let sum = 0;
  let size = 0;
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sum = crc32(chunk, sum);
      size += chunk.length;
      done(null, chunk);
    },
  });
  // The stream owns the handle from here on, and closes it however the pipeline ends.
  const source = handle.createReadStream({
    start,
    end: start + entry.compressedSize - 1,
    highWaterMark: 1 << 20,
  });
  const sink = createWriteStream(target, { mode });
  await (entry.method === deflated
    ? pipeline(source, createInflateRaw({ chunkSize: 1 << 18 }), check, sink)
    : pipeline(source, check, sink));
  if (size !== entry.size || sum !== entry.crc32) throw new Error(`${entry.name} in ${file} is damaged`);
}
