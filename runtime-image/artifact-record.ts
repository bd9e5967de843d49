/** What `fetch` says of the model folder, and which of its files is the model. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type ArtifactFile, type ArtifactRecord, artifactRecordFile, modelFile } from '#contract';

/** Undefined when there is none that can be understood. */
export async function readRecord(folder: string): Promise<ArtifactRecord | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(join(folder, artifactRecordFile), 'utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is ArtifactRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { uri, digest, files } = value as Partial<Record<keyof ArtifactRecord, unknown>>;
  return typeof uri === 'string' && typeof digest === 'string' && Array.isArray(files) && files.every(isFile);
}

function isFile(value: unknown): value is ArtifactFile {
  if (typeof value !== 'object' || value === null) return false;
  const { path, bytes, sha256 } = value as Partial<Record<keyof ArtifactFile, unknown>>;
  if (typeof path !== 'string' || path.split('/').some((part) => ['', '.', '..'].includes(part)))
    return false;
  return typeof bytes === 'number' && typeof sha256 === 'string';
}

/** A SHA-256 as records have it: lower-case hex. */
export const isDigest = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

/** The first file that is not what the record says, or undefined. Everything is hashed, nothing is trusted. */
export async function changedFile(folder: string, record: ArtifactRecord): Promise<string | undefined> {
  for (const { path, bytes, sha256 } of record.files) {
    const found = await stat(join(folder, path)).catch(() => undefined);
    if (found?.isFile() !== true || found.size !== bytes) return path;
    if ((await hashFile(join(folder, path))) !== sha256) return path;
  }
  return undefined;
}

/** Lower-case hex of the SHA-256. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash);
  return hash.digest('hex');
}

/** `model.onnx` at the top, or else the only `.onnx` file; otherwise all the `.onnx` files that there are. */
export function findModel(files: readonly ArtifactFile[]): string | readonly string[] {
  const models = files.map(({ path }) => path).filter((path) => path.endsWith('.onnx'));
  if (models.includes(modelFile)) return modelFile;
  const [only] = models;
  return only !== undefined && models.length === 1 ? only : models;
}
