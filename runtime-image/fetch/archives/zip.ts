/** zip archives. */
import { crc32 } from 'node:zlib';
import type { Entry } from 'yauzl';
import * as yauzl from 'yauzl';
import { Failure } from '../../termination.ts';
import { type Extractor, limits, unsafe } from './policy.ts';

/** Of the upper half of the external attributes, where the archive was made on a Unix. */
const fileTypeMask = 0o170000;
const fileTypes: ReadonlyMap<number, 'file' | 'folder'> = new Map([
  [0, 'file'],
  [0o100000, 'file'],
  [0o040000, 'folder'],
]);

/** @throws Failure ArtifactUnsafe, ArtifactTooLarge, VolumeFull, ArtifactUnsupported, ArtifactCorrupt */
export async function unzip(path: string, extractor: Extractor): Promise<void> {
  try {
    // Names are judged by our own rules, which need to see them as they are.
    const archive = await yauzl.openPromise(path, {
      lazyEntries: true,
      autoClose: false,
      // Below.
      validateEntrySizes: false,
      strictFileNames: true,
    });
    try {
      if (archive.entryCount > limits.entries)
        throw unsafe(`the archive has more than ${limits.entries} entries`);
      for await (const entry of archive.eachEntry()) {
        const name = extractor.admit({ path: entry.fileName, ...typeOf(entry) });
        if (entry.isEncrypted())
          throw new Failure('ArtifactUnsupported', `the archive's entry ${entry.fileName} is encrypted`);
        if (name === undefined) continue;
        const content = await archive.openReadStreamPromise(entry);
        await extractor.write(name, checked(entry, content));
      }
    } finally {
      archive.close();
    }
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    // The library refuses names before it hands out the entry.
    if (/^(absolute path|invalid relative path|invalid characters in fileName)/.test(why))
      throw unsafe(`the archive has a bad name: ${why}`, thrown);
    if (/unsupported compression method|multi-disk/.test(why))
      throw new Failure('ArtifactUnsupported', `the archive cannot be read: ${why}`, { cause: thrown });
    throw new Failure('ArtifactCorrupt', `the archive cannot be read: ${why}`, { cause: thrown });
  }
}

/** The content, as long as it is what the archive says: as long, and with the same checksum. */
async function* checked(entry: Entry, content: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const size = entry.uncompressedSize;
  let bytes = 0;
  let checksum = 0;
  for await (const chunk of content) {
    bytes += chunk.byteLength;
    if (bytes > size) break;
    checksum = crc32(chunk, checksum);
    yield chunk;
  }
  if (bytes !== size) throw new Error(`an entry of ${size} bytes has ${bytes > size ? 'more' : bytes}`);
  if (checksum !== entry.crc32)
    throw new Error(`the checksum of ${JSON.stringify(entry.fileName.slice(0, 200))} is wrong`);
}

function typeOf(entry: Entry): { readonly type: 'file' | 'folder' | 'other'; readonly what: string } {
  const what = 'a link or a device';
  const madeOnUnix = entry.versionMadeBy >>> 8 === 3;
  const mode = madeOnUnix ? (entry.externalFileAttributes >>> 16) & fileTypeMask : 0;
  const type = fileTypes.get(mode) ?? 'other';
  return { type: type === 'file' && entry.fileName.endsWith('/') ? 'folder' : type, what };
}
