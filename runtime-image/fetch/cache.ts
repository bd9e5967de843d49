/**
 * Content that was fetched before, on a volume that pods share, by its SHA-256. Many may write at once: each writes beside the
 * final name and renames, and what has the same name has the same content.
 *
 * Nothing is loaded from here. It is copied to the pod's own volume and hashed on the way, so that whoever can write to the
 * shared volume cannot change a model whose digest is given, and so that whatever lies here can be removed at any time to
 * make room.
 * Without the cache everything works as well, so trouble with it is told and is no failure.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, lstat, mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest } from '../artifact-record.ts';
import { Failure } from '../termination.ts';
import { isFull, type PartialFile, partialName, partialPrefix } from './partial-file.ts';

const abandonedMs = 60 * 60_000;
/** Of what is remembered of one artifact. */
const maxMemoryBytes = 2 ** 20;

/** Digests, lower-case hex, of what a version fetched though its spec gives none. */
export interface Remembered {
  /** Of the artifact's file or manifest. */
  readonly digest: string;
  /** Of the files beside it. */
  readonly files: Readonly<Record<string, string>>;
}

export class Cache {
  readonly #blobs: string;
  readonly #memories: string;
  readonly #warn: (why: string) => void;
  readonly #freeBytes: typeof freeBytes;

  /**
   * @param free bytes that a folder's volume has room for; for tests
   * @returns undefined when the folder cannot be used
   */
  static async open(
    folder: string,
    warn: (why: string) => void,
    free: typeof freeBytes = freeBytes,
  ): Promise<Cache | undefined> {
    const cache = new Cache(folder, warn, free);
    try {
      await mkdir(cache.#blobs, { recursive: true });
      await mkdir(cache.#memories, { recursive: true });
      return cache;
    } catch (thrown) {
      warn(`the cache cannot be used: ${(thrown as Error).message}`);
      return undefined;
    }
  }

  private constructor(folder: string, warn: (why: string) => void, free: typeof freeBytes) {
    this.#blobs = join(folder, 'blobs', 'sha256');
    this.#memories = join(folder, 'artifacts');
    this.#warn = warn;
    this.#freeBytes = free;
  }

  /**
   * What the same version got for the same URI before, as long as it is still here. Whoever can write to the volume can
   * have written this, so it is for versions that accept any content.
   */
  async recall(owner: string, uri: string): Promise<Remembered | undefined> {
    try {
      const content = await readSmall(this.#memoryPath(owner, uri), maxMemoryBytes);
      const value: unknown = JSON.parse(content?.toString('utf8') ?? 'null');
      return isRemembered(value) && (await isFile(join(this.#blobs, value.digest))) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  async remember(owner: string, uri: string, remembered: Remembered): Promise<void> {
    try {
      const partial = join(this.#memories, partialName());
      await writeFile(partial, JSON.stringify(remembered));
      await rename(partial, this.#memoryPath(owner, uri));
    } catch (thrown) {
      this.#warn(`the cache could not remember the artifact: ${(thrown as Error).message}`);
    }
  }

  /** A small document, verified. */
  async document(sha256: string, maxBytes: number): Promise<Buffer | undefined> {
    try {
      const content = await readSmall(join(this.#blobs, sha256), maxBytes);
      if (content === undefined) return undefined;
      return createHash('sha256').update(content).digest('hex') === sha256 ? content : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * Copies content into the file. False, and an empty file, when it is not here, has been damaged or cannot be read.
   * @throws Failure when the file cannot take it
   */
  async read(sha256: string, into: PartialFile): Promise<boolean> {
    const path = join(this.#blobs, sha256);
    const file = await open(path, asItLies).catch(() => undefined);
    if (file === undefined) return false;
    try {
      const stats = await file.stat();
      if (stats.isFile()) {
        into.expect(stats.size);
        for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 2 ** 20 })) {
          await into.write(chunk as Buffer);
        }
        if (into.digest === sha256) {
          const now = new Date();
          await file.utimes(now, now).catch(() => undefined);
          return true;
        }
      }
      this.#warn(`the cache's copy of sha256:${sha256} is damaged and is removed`);
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
    } catch (thrown) {
      if (thrown instanceof Failure) throw thrown;
      this.#warn(`the cache's copy of sha256:${sha256} cannot be read: ${(thrown as Error).message}`);
    } finally {
      await file.close();
    }
    await into.restart();
    return false;
  }

  /** Adds what lies at a path, or a document; makes room by removing what was used longest ago. */
  async add(sha256: string, from: string | Buffer): Promise<void> {
    const place = join(this.#blobs, sha256);
    if (await isFile(place)) return;
    const partial = join(this.#blobs, partialName());
    const copy = () =>
      typeof from === 'string'
        ? copyFile(from, partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
        : writeFile(partial, from, { flag: 'wx' });
    try {
      const bytes = typeof from === 'string' ? (await stat(from)).size : from.byteLength;
      await this.#makeRoom(bytes, await this.#freeBytes(this.#blobs));
      try {
        await copy();
      } catch (thrown) {
        if (!isFull(thrown)) throw thrown;
        // Others write at the same time, and a quota need not show in what a volume says of itself.
        await rm(partial, { force: true });
        await this.#makeRoom(bytes, 0);
        await copy();
      }
      const file = await open(partial, 'r+');
      await file.sync();
      await file.close();
      await rename(partial, place);
    } catch (thrown) {
      await rm(partial, { force: true }).catch(() => undefined);
      this.#warn(`the cache could not take sha256:${sha256}: ${(thrown as Error).message}`);
    }
  }

  /**
   * Removes what was used longest ago until so many bytes are free.
   * @throws Error, and removes nothing, when there would never be enough
   */
  async #makeRoom(bytes: number, free: number): Promise<void> {
    if (free >= bytes) return;
    const found = await this.#byLastUse();
    const most = found.reduce((sum, { size }) => sum + size, free);
    if (most < bytes) throw new Error(`${bytes} bytes are more than the ${most} that could be made free`);
    let left = bytes - free;
    for (const { path, size } of found) {
      if (left <= 0) return;
      await rm(path, { recursive: true, force: true });
      left -= size;
    }
  }

  /** Oldest first; before them what writers that were killed have left. */
  async #byLastUse(): Promise<readonly { readonly path: string; readonly size: number }[]> {
    const found: { readonly path: string; readonly size: number; readonly usedMs: number }[] = [];
    for (const name of await readdir(this.#blobs)) {
      const path = join(this.#blobs, name);
      const stats = await lstat(path).catch(() => undefined);
      if (stats === undefined) continue;
      const isPartial = name.startsWith(partialPrefix);
      if (isPartial && Date.now() - stats.mtimeMs < abandonedMs) continue;
      found.push({ path, size: stats.size, usedMs: isPartial ? 0 : stats.mtimeMs });
    }
    return found.sort((a, b) => a.usedMs - b.usedMs);
  }

  #memoryPath(owner: string, uri: string): string {
    const key = createHash('sha256')
      .update(JSON.stringify([owner, uri]))
      .digest('hex');
    return join(this.#memories, `${key}.json`);
  }
}

/** Of the volume that has the folder. */
async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Others can write here: no link is followed, and no named pipe waited for. */
const asItLies = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** A file's content; undefined when it is none, or larger than it may be. */
async function readSmall(path: string, maxBytes: number): Promise<Buffer | undefined> {
  const file = await open(path, asItLies);
  try {
    const stats = await file.stat();
    if (!stats.isFile() || stats.size > maxBytes) return undefined;
    const content = Buffer.alloc(stats.size);
    const { bytesRead } = await file.read(content, 0, content.byteLength, 0);
    return content.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const isFile = (path: string): Promise<boolean> =>
  lstat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );

function isRemembered(value: unknown): value is Remembered {
  if (typeof value !== 'object' || value === null) return false;
  const { digest, files } = value as Partial<Record<keyof Remembered, unknown>>;
  if (!isDigest(digest) || typeof files !== 'object' || files === null) return false;
  return Object.values(files).every(isDigest);
}
