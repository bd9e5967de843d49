/**
 * The model folder: an artifact is put together beside it and moved there only when it is whole and right. Safe against a
 * second writer of the same folder, and against being killed at any moment.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ArtifactFile, type ArtifactRecord, artifactRecordFile } from '#contract';
import { changedFile, readRecord } from '../artifact-record.ts';
import { ByteBudget, full, PartialFile, partialName, partialPrefix } from './partial-file.ts';

/** Something partial that nobody has written to for so long belongs to nobody. */
const abandonedMs = 10 * 60_000;

/** Whether a path of the model folder is the store's own, and cannot be content's. */
export const isReserved = (path: string): boolean =>
  path.split('/', 1)[0] === artifactRecordFile || path.startsWith(partialPrefix);

/** What is asked of what is there already. */
export interface Wanted {
  readonly uri: string;
  /** Lower-case hex; undefined accepts whatever the same URI brought. */
  readonly sha256: string | undefined;
  /** Files beside the artifact's own. */
  readonly files: readonly { readonly path: string; readonly sha256?: string }[];
}

/** The artifact that is already there, when it is the one wanted. */
export async function findStored(folder: string, wanted: Wanted): Promise<ArtifactRecord | undefined> {
  const record = await readRecord(folder);
  if (record === undefined) return undefined;
  const same = wanted.sha256 === undefined ? record.uri === wanted.uri : record.digest === wanted.sha256;
  const complete = wanted.files.every(({ path, sha256 }) =>
    record.files.some((file) => file.path === path && (sha256 === undefined || file.sha256 === sha256)),
  );
  if (!same || !complete) return undefined;
  return (await changedFile(folder, record)) === undefined ? record : undefined;
}

/** One artifact on its way in. */
export class Staging {
  /** Holds what will be the model folder's content. */
  readonly content: string;
  readonly budget: ByteBudget;
  readonly #folder: string;
  readonly #own: string;
  readonly #open: PartialFile[] = [];

  static async create(folder: string, maxBytes: number): Promise<Staging> {
    await mkdir(folder, { recursive: true });
    await removeAbandoned(folder);
    const own = join(folder, partialName());
    await mkdir(join(own, 'content'), { recursive: true });
    return new Staging(folder, own, new ByteBudget(maxBytes));
  }

  private constructor(folder: string, own: string, budget: ByteBudget) {
    this.#folder = folder;
    this.#own = own;
    this.content = join(own, 'content');
    this.budget = budget;
  }

  /** A new file of the content. @throws Failure VolumeFull */
  async file(path: string): Promise<PartialFile> {
    const place = join(this.content, path);
    await mkdir(dirname(place), { recursive: true }).catch(full);
    return this.#create(place);
  }

  /** A new file beside the content. */
  async temporary(): Promise<PartialFile> {
    return this.#create(join(this.#own, randomBytes(8).toString('hex')));
  }

  /** What is sealed and not needed any more; its bytes count no longer. */
  async remove(file: PartialFile): Promise<void> {
    await rm(file.path, { force: true });
    this.budget.giveBack(file.bytes);
  }

  async #create(place: string): Promise<PartialFile> {
    const file = await PartialFile.create(place, this.budget).catch(full);
    this.#open.push(file);
    return file;
  }

  /** Makes the content the model folder's. */
  async commit(uri: string, digest: string, files: readonly ArtifactFile[]): Promise<ArtifactRecord> {
    const record: ArtifactRecord = { uri, digest, files };
    const written = join(this.#own, artifactRecordFile);
    await writeFile(written, JSON.stringify(record), { flush: true }).catch(full);
    // The record goes first and comes last: it must never stand beside content of another artifact.
    await rm(join(this.#folder, artifactRecordFile), { force: true });
    for (const name of await readdir(this.#folder)) {
      if (!name.startsWith(partialPrefix))
        await rm(join(this.#folder, name), { recursive: true, force: true });
    }
    for (const name of await readdir(this.content))
      await rename(join(this.content, name), join(this.#folder, name));
    await rename(written, join(this.#folder, artifactRecordFile));
    const directory = await open(this.#folder, 'r');
    await directory.sync();
    await directory.close();
    return record;
  }

  /** Leaves nothing behind that is not committed. */
  async discard(): Promise<void> {
    for (const file of this.#open) await file.close();
    await rm(this.#own, { recursive: true, force: true });
  }
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(partialPrefix)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > abandonedMs)
      await rm(path, { recursive: true, force: true });
  }
}
