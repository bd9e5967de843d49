/** A file on its way in: written beside its final name, and hashed while it is written. */
import { createHash, type Hash, randomBytes } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { Failure } from '../termination.ts';

/** What names begin with of what is on its way. */
export const partialPrefix = '.partial-';

/** One that nobody else has. */
export const partialName = (): string => `${partialPrefix}${randomBytes(8).toString('hex')}`;

/** What an artifact may have in bytes, all of its files together. */
export class ByteBudget {
  readonly max: number;
  #used = 0;

  constructor(max: number) {
    this.max = max;
  }

  get used(): number {
    return this.#used;
  }

  /** @throws Failure ArtifactTooLarge */
  take(bytes: number): void {
    if (this.#used + bytes > this.max)
      throw new Failure('ArtifactTooLarge', `the artifact is larger than ${this.max} bytes`);
    this.#used += bytes;
  }

  giveBack(bytes: number): void {
    this.#used -= bytes;
  }

  /** @throws Failure ArtifactTooLarge when so many more cannot be taken */
  expect(more: number, total: number): void {
    if (this.#used + more > this.max) {
      throw new Failure('ArtifactTooLarge', `the artifact has ${total} bytes; at most ${this.max} are taken`);
    }
  }
}

export interface Sealed {
  /** Lower-case hex of the SHA-256. */
  readonly sha256: string;
  readonly bytes: number;
}

export class PartialFile {
  readonly path: string;
  /** Bytes that have arrived, since the last restart. */
  bytes = 0;
  /** Bytes that there will be, once that is known. */
  expected: number | undefined;
  readonly #file: FileHandle;
  readonly #budget: ByteBudget;
  #hash: Hash = createHash('sha256');
  /** Bytes in the hash. */
  #hashed = 0;
  #hashing: Promise<void> = Promise.resolve();
  #generation = 0;

  /** The file must not exist. */
  static async create(path: string, budget: ByteBudget): Promise<PartialFile> {
    return new PartialFile(path, await open(path, 'wx+', 0o644), budget);
  }

  private constructor(path: string, file: FileHandle, budget: ByteBudget) {
    this.path = path;
    this.#file = file;
    this.#budget = budget;
  }

  /** @throws Failure ArtifactTooLarge when so many bytes in all are more than may come */
  expect(total: number): void {
    this.#budget.expect(total - this.bytes, total);
    this.expected = total;
  }

  /** Appends. @throws Failure ArtifactTooLarge, VolumeFull */
  async write(chunk: Uint8Array): Promise<void> {
    const at = this.bytes;
    this.#hash.update(chunk);
    await this.writeAt(at, chunk);
    this.#hashed = this.bytes;
  }

  /** Anywhere, without hashing: `hashUpTo` follows. @throws Failure ArtifactTooLarge, VolumeFull */
  async writeAt(position: number, chunk: Uint8Array): Promise<void> {
    this.#budget.take(chunk.byteLength);
    this.bytes += chunk.byteLength;
    for (let offset = 0; offset < chunk.byteLength; ) {
      const { bytesWritten } = await this.#file
        .write(chunk, offset, chunk.byteLength - offset, position + offset)
        .catch(full);
      offset += bytesWritten;
    }
  }

  /** Hashes what lies on the disk without a gap, in the background. */
  hashUpTo(end: number): void {
    const generation = this.#generation;
    this.#hashing = this.#hashing.then(async () => {
      const block = Buffer.allocUnsafe(2 ** 20);
      while (generation === this.#generation && this.#hashed < end) {
        const wanted = Math.min(block.byteLength, end - this.#hashed);
        const { bytesRead } = await this.#file.read(block, 0, wanted, this.#hashed);
        if (bytesRead === 0) throw new Error(`${this.path} ends at byte ${this.#hashed}`);
        if (generation !== this.#generation) return;
        this.#hash.update(block.subarray(0, bytesRead));
        this.#hashed += bytesRead;
      }
    });
    // Told by `filledTo` or `seal`.
    this.#hashing.catch(() => undefined);
  }

  /** All parts are here: resolves when they are hashed. */
  async filledTo(total: number): Promise<void> {
    this.hashUpTo(total);
    await this.#hashing;
  }

  /** Back to nothing: the source cannot continue where it was. */
  async restart(): Promise<void> {
    this.#generation++;
    await this.#hashing.catch(() => undefined);
    await this.#file.truncate(0);
    this.#budget.giveBack(this.bytes);
    this.#hashing = Promise.resolve();
    this.#hash = createHash('sha256');
    this.#hashed = 0;
    this.bytes = 0;
    this.expected = undefined;
  }

  /** Of what has been written in order so far: lower-case hex. */
  get digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Whole. Not flushed to the disk: whoever uses the file hashes it first. */
  async seal(): Promise<Sealed> {
    await this.#hashing;
    await this.#file.close();
    return { sha256: this.#hash.digest('hex'), bytes: this.bytes };
  }

  /** Harmless after `seal`. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}

/** What writing threw. The node's disk is full of whatever is on it, so the artifact is not to blame: another pod may have room. */
export function full(thrown: unknown): never {
  if (!isFull(thrown)) throw thrown;
  const message = 'the volume of the model folder has no room for the artifact';
  throw new Failure('VolumeFull', message, { cause: thrown });
}

export const isFull = (thrown: unknown): boolean =>
  thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT');
