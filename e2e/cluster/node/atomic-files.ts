/**
 * Writes the files of a volume so that readers see all of the old ones or all of the new ones: the content lies in a
 * folder of its own, `..data` is a link to it that is replaced in one step, and the visible names are links through `..data`.
 */
import { mkdir, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

export interface VolumeFile {
  readonly content: Buffer;
  /** Permission bits. */
  readonly mode: number;
}

/** Path inside the volume to file. */
export type VolumeFiles = ReadonlyMap<string, VolumeFile>;

let counter = 0;

export async function writeFiles(folder: string, files: VolumeFiles): Promise<void> {
  for (const path of files.keys()) assertInside(path);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const content = `..${Date.now()}.${++counter}`;
  await mkdir(join(folder, content), { mode: 0o755 });
  for (const [path, file] of files) {
    const full = join(folder, content, path);
    await mkdir(dirname(full), { recursive: true, mode: 0o755 });
    await writeFile(full, file.content, { mode: file.mode });
  }
  const before = await readlink(join(folder, '..data')).catch(() => undefined);
  await rm(join(folder, '..data_tmp'), { force: true });
  await symlink(content, join(folder, '..data_tmp'));
  await rename(join(folder, '..data_tmp'), join(folder, '..data'));
  const wanted = new Set([...files.keys()].map((path) => path.split('/')[0] ?? path));
  const present = (await readdir(folder)).filter((name) => !name.startsWith('..'));
  for (const name of wanted) {
    if (!present.includes(name)) await symlink(join('..data', name), join(folder, name));
  }
  for (const name of present) if (!wanted.has(name)) await rm(join(folder, name), { force: true });
  if (before !== undefined) await rm(join(folder, before), { recursive: true, force: true });
}

function assertInside(path: string): void {
  const plain = normalize(path);
  const climbs = plain.split('/').includes('..');
  if (path === '' || path.startsWith('/') || climbs || path.startsWith('..')) {
    throw new RangeError(`invalid path in a volume: ${JSON.stringify(path)}`);
  }
}
