/** Opens an archive that has been fetched and verified. */
import { stat } from 'node:fs/promises';
import type { ArtifactFile } from '#contract';
import type { ByteBudget } from '../partial-file.ts';
import { Extractor } from './policy.ts';
import { untar } from './tar.ts';
import { unzip } from './zip.ts';

/** @returns what was written below the folder. @throws Failure */
export async function openArchive(
  kind: 'tar' | 'zip',
  path: string,
  folder: string,
  budget: ByteBudget,
): Promise<readonly ArtifactFile[]> {
  const extractor = new Extractor({ folder, archiveBytes: (await stat(path)).size, budget });
  await (kind === 'tar' ? untar : unzip)(path, extractor);
  return extractor.files;
}
