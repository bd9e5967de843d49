/**
 * The model folder: writes an artifact beside its final name while hashing it, and moves it there only when it is
 * whole and right. Safe against a second writer of the same folder, and against being killed at any moment.
 */
import { createHash, type Hash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { modelFile } from '#contract';
import { Failure } from '../termination.ts';

export interface Stored {
  /** Lower-case hex of the SHA-256. */
  readonly digest: string;
  readonly bytes: number;
}

const partialPrefix = '.partial-';
/** A partial file that nobody has written to for so long belongs to nobody. */
const abandonedMs = 10 * 60_000;
/** Where the artifact came from, so that one without a digest is recognised as well. */
const originFile = `.${modelFile}.origin.json`;

/** The artifact that is already there, when it is the one wanted. Its content is always hashed, never trusted. */
export async function findStored(
  folder: string,
  uri: string,
  sha256: string | undefined,
): Promise<Stored | undefined> {
  const path = join(folder, modelFile);
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return undefined;
  const wanted = sha256 ?? (await recordedDigest(folder, uri));
  if (wanted === undefined) return undefined;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash);
  return hash.digest('hex') === wanted ? { digest: wanted, bytes: found.size } : undefined;
}

async function recordedDigest(folder: string, uri: string): Promise<string | undefined> {
  try {
    const origin: unknown = JSON.parse(await readFile(join(folder, originFile), 'utf8'));
    if (typeof origin !== 'object' || origin === null) return undefined;
    const { uri: from, digest } = origin as { uri?: unknown; digest?: unknown };
    return from === uri && typeof digest === 'string' ? digest : undefined;
  } catch {
    return undefined;
  }
}

/** One artifact on its way in. */
export class Partial {
  /** Bytes written since the last restart. */
  bytes = 0;
  readonly #folder: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #maxBytes: number;
  #hash: Hash = createHash('sha256');

  static async create(folder: string, maxBytes: number): Promise<Partial> {
    await mkdir(folder, { recursive: true });
    await removeAbandoned(folder);
    const path = join(folder, `${partialPrefix}${randomBytes(8).toString('hex')}`);
    return new Partial(folder, path, await open(path, 'wx', 0o644), maxBytes);
  }

  private constructor(folder: string, path: string, file: FileHandle, maxBytes: number) {
    this.#folder = folder;
    this.#path = path;
    this.#file = file;
    this.#maxBytes = maxBytes;
  }

  /** @throws Failure ArtifactTooLarge, also when the volume is full */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.bytes + chunk.byteLength > this.#maxBytes) {
      throw new Failure('ArtifactTooLarge', `the artifact is larger than ${this.#maxBytes} bytes`);
    }
    this.#hash.update(chunk);
    let offset = 0;
    while (offset < chunk.byteLength) {
      const { bytesWritten } = await this.#file
        .write(chunk, offset, chunk.byteLength - offset, this.bytes + offset)
        .catch(full);
      offset += bytesWritten;
    }
    this.bytes += chunk.byteLength;
  }

  /** Back to nothing: the source cannot continue where it was. */
  async restart(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash('sha256');
    this.bytes = 0;
  }

  /** On disk, checked, and under its final name. @throws Failure ArtifactCorrupt */
  async commit(uri: string, sha256: string | undefined): Promise<Stored> {
    const digest = this.#hash.digest('hex');
    if (sha256 !== undefined && digest !== sha256) {
      throw new Failure('ArtifactCorrupt', `the artifact's SHA-256 is ${digest}; it has to be ${sha256}`);
    }
    await this.#file.sync();
    await this.#file.close();
    // Removed first: a record of another artifact must never stand beside this one.
    await rm(join(this.#folder, originFile), { force: true });
    await rename(this.#path, join(this.#folder, modelFile));
    await writeFile(join(this.#folder, originFile), JSON.stringify({ uri, digest }));
    const directory = await open(this.#folder, 'r');
    await directory.sync();
    await directory.close();
    return { digest, bytes: this.bytes };
  }

  /** Leaves nothing behind. Harmless after a commit. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#path, { force: true });
  }
}

function full(thrown: unknown): never {
  if (thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT')) {
    throw new Failure('ArtifactTooLarge', 'the artifact does not fit on the volume', { cause: thrown });
  }
  throw thrown;
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(partialPrefix)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > abandonedMs) await rm(path, { force: true });
  }
}
