/**
 * Content that was fetched before, on a volume that pods share, by its SHA-256. Many may write at once: each writes beside the
 * final name and renames, and what has the same name has the same content.
 *
 * Nothing is loaded from here. It is copied to the pod's own volume and hashed on the way, so that whoever can write to the
 * shared volume cannot change a model whose digest is given, and so that whatever lies here can be removed at any time to
 * make room.
 * Without the cache everything works as well, so trouble with it is told and is no failure.
 */
import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { isFull, type PartialFile } from './partial-file.ts';

const partialPrefix = '.partial-';
const abandonedMs = 60 * 60_000;

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

  /** Undefined when the folder cannot be used. */
  static async open(folder: string, warn: (why: string) => void): Promise<Cache | undefined> {
    const cache = new Cache(folder, warn);
    try {
      await mkdir(cache.#blobs, { recursive: true });
      await mkdir(cache.#memories, { recursive: true });
      return cache;
    } catch (thrown) {
      warn(`the cache cannot be used: ${(thrown as Error).message}`);
      return undefined;
    }
  }

  private constructor(folder: string, warn: (why: string) => void) {
    this.#blobs = join(folder, 'blobs', 'sha256');
    this.#memories = join(folder, 'artifacts');
    this.#warn = warn;
  }

  /**
   * What the same version got for the same URI before, as long as it is still here. Whoever can write to the volume can
   * have written this, so it is for versions that accept any content.
   */
  async recall(owner: string, uri: string): Promise<Remembered | undefined> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#memoryPath(owner, uri), 'utf8'));
      return isRemembered(value) && (await exists(join(this.#blobs, value.digest))) ? value : undefined;
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
      const path = join(this.#blobs, sha256);
      if ((await stat(path)).size > maxBytes) return undefined;
      const content = await readFile(path);
      return createHash('sha256').update(content).digest('hex') === sha256 ? content : undefined;
    } catch {
      return undefined;
    }
  }

  /** Copies content into the file. False, and an empty file, when it is not here or has been damaged. */
  async read(sha256: string, into: PartialFile): Promise<boolean> {
    const path = join(this.#blobs, sha256);
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
      () => undefined,
    );
    if (file === undefined) return false;
    try {
      if ((await file.stat()).isFile()) {
        for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 2 ** 20 })) {
          await into.write(chunk as Buffer);
        }
        if (into.digest === sha256) {
          const now = new Date();
          await utimes(path, now, now).catch(() => undefined);
          return true;
        }
      }
      this.#warn(`the cache's copy of sha256:${sha256} is damaged and is removed`);
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
    } catch (thrown) {
      if (!isReadError(thrown)) throw thrown;
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
    if (await exists(place)) return;
    const partial = join(this.#blobs, partialName());
    try {
      for (;;) {
        try {
          if (typeof from === 'string')
            await copyFile(from, partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
          else await writeFile(partial, from, { flag: 'wx' });
          break;
        } catch (thrown) {
          await rm(partial, { force: true });
          if (!isFull(thrown) || !(await this.#removeOldest())) throw thrown;
        }
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

  /** Also what writers that were killed have left. */
  async #removeOldest(): Promise<boolean> {
    const found: { readonly path: string; readonly usedMs: number }[] = [];
    for (const name of await readdir(this.#blobs)) {
      const path = join(this.#blobs, name);
      const usedMs = (await stat(path).catch(() => undefined))?.mtimeMs;
      if (usedMs === undefined) continue;
      const isPartial = name.startsWith(partialPrefix);
      if (isPartial && Date.now() - usedMs < abandonedMs) continue;
      found.push({ path, usedMs: isPartial ? 0 : usedMs });
    }
    const [oldest] = found.sort((a, b) => a.usedMs - b.usedMs);
    if (oldest === undefined) return false;
    await rm(oldest.path, { force: true });
    return true;
  }

  #memoryPath(owner: string, uri: string): string {
    const key = createHash('sha256')
      .update(JSON.stringify([owner, uri]))
      .digest('hex');
    return join(this.#memories, `${key}.json`);
  }
}

const partialName = (): string => `${partialPrefix}${randomBytes(8).toString('hex')}`;

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Of reading, and not of the file that is written. */
const isReadError = (thrown: unknown): boolean =>
  thrown instanceof Error && 'code' in thrown && ['EIO', 'ESTALE', 'EISDIR'].includes(String(thrown.code));

function isRemembered(value: unknown): value is Remembered {
  if (typeof value !== 'object' || value === null) return false;
  const { digest, files } = value as Partial<Record<keyof Remembered, unknown>>;
  if (!isDigest(digest) || typeof files !== 'object' || files === null) return false;
  return Object.values(files).every(isDigest);
}

const isDigest = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
