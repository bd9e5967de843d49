/**
 * What an archive may hold: plain files and folders below one folder, and not too many or too much of them. Nothing of an
 * entry that breaks a rule is ever written.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { ArtifactFile } from '#contract';
import { Failure } from '../../termination.ts';
import { isPlainPath } from '../location.ts';
import { type ByteBudget, full } from '../partial-file.ts';
import { isReserved } from '../store.ts';

export const limits = {
  /** A model with its external data has some; a repository of thousands of tiny files is not a model. */
  entries: 10_000,
  /** Characters of a path. */
  path: 1024,
  segment: 255,
  depth: 32,
  /** Weights hardly compress. What expands to more than this many times its size is a bomb… */
  ratio: 200,
  /** …unless it is small anyway. */
  alwaysBytes: 64 * 2 ** 20,
} as const;

export interface Entry {
  readonly path: string;
  readonly type: 'file' | 'folder' | 'other';
  /** What `other` is, for the message. */
  readonly what: string;
}

export interface Extraction {
  /** Exists; empty, or holding only what other archives and files of the same artifact have left. */
  readonly folder: string;
  readonly archiveBytes: number;
  readonly budget: ByteBudget;
}

/** Takes the entries of one archive. */
export class Extractor {
  readonly #extraction: Extraction;
  readonly #names = new Set<string>();
  readonly #folders = new Set<string>();
  readonly #files: ArtifactFile[] = [];
  #entries = 0;
  #bytes = 0;

  constructor(extraction: Extraction) {
    this.#extraction = extraction;
  }

  /** What was written. */
  get files(): readonly ArtifactFile[] {
    return this.#files;
  }

  /**
   * The path to write a file to; undefined for a folder.
   * @throws Failure ArtifactUnsafe
   */
  admit(entry: Entry): string | undefined {
    if (++this.#entries > limits.entries) throw unsafe(`the archive has more than ${limits.entries} entries`);
    const shown = JSON.stringify(entry.path.slice(0, 200));
    if (entry.type === 'other')
      throw unsafe(`the archive's entry ${shown} is ${entry.what}; only files and folders are taken`);
    const path = entry.path.replace(/^(\.\/)+/, '').replace(/\/$/, '');
    if (entry.type === 'folder' && (path === '' || path === '.')) return undefined;
    const why = problem(path);
    if (why !== undefined) throw unsafe(`the archive's entry ${shown} ${why}`);
    if (entry.type === 'folder') return undefined;
    if (this.#names.has(path)) throw unsafe(`the archive has ${shown} twice`);
    this.#names.add(path);
    return path;
  }

  async #makeFolder(folder: string, path: string): Promise<void> {
    if (this.#folders.has(folder)) return;
    await mkdir(folder, { recursive: true }).catch(clash(path));
    // No entry makes links, so this cannot fail; if it ever could, nothing would be written outside.
    const [real, root] = [await realpath(folder), await realpath(this.#extraction.folder)];
    if (real !== root && !real.startsWith(root + sep)) throw unsafe(`${path} leads out of the model folder`);
    this.#folders.add(folder);
  }

  /** @throws Failure ArtifactUnsafe, ArtifactTooLarge, VolumeFull */
  async write(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    const { folder, archiveBytes, budget } = this.#extraction;
    const place = join(folder, path);
    await this.#makeFolder(dirname(place), path);
    const file = await open(place, 'wx', 0o644).catch(clash(path));
    const hash = createHash('sha256');
    let bytes = 0;
    try {
      for await (const chunk of content) {
        this.#bytes += chunk.byteLength;
        if (this.#bytes > limits.alwaysBytes && this.#bytes > limits.ratio * archiveBytes) {
          throw unsafe(`the archive expands to more than ${limits.ratio} times its size`);
        }
        budget.take(chunk.byteLength);
        hash.update(chunk);
        bytes += chunk.byteLength;
        for (let offset = 0; offset < chunk.byteLength; ) {
          const { bytesWritten } = await file.write(chunk, offset).catch(full);
          offset += bytesWritten;
        }
      }
    } finally {
      await file.close();
    }
    this.#files.push({ path, bytes, sha256: hash.digest('hex') });
  }
}

function problem(path: string): string | undefined {
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) return 'has an absolute path';
  if (path.split('/').includes('..')) return 'leads out of the folder';
  if (path.includes('\\') || [...path].some((letter) => letter < ' ' || letter === '\x7f'))
    return 'has a backslash or a control character in its path';
  if (!isPlainPath(path)) return 'has no plain path';
  if (isReserved(path)) return "has a name of Sluice's own";
  const segments = path.split('/');
  if (path.length > limits.path || segments.length > limits.depth) return 'has too long a path';
  if (segments.some((segment) => Buffer.byteLength(segment) > limits.segment)) return 'has too long a path';
  return undefined;
}

/** A file where a folder is needed, or the other way round, or two names that this file system takes for one. */
const clash =
  (path: string) =>
  (thrown: NodeJS.ErrnoException): never => {
    if (['EEXIST', 'ENOTDIR', 'EISDIR'].includes(thrown.code ?? ''))
      throw unsafe(`the archive's entry ${JSON.stringify(path.slice(0, 200))} is there already`, thrown);
    return full(thrown);
  };

export const unsafe = (message: string, cause?: unknown): Failure =>
  new Failure('ArtifactUnsafe', message, { cause });
