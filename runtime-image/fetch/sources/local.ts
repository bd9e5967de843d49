/** `file:` and `pvc:` artifacts: files below one folder, and nothing else, whatever links say. */
import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { Failure } from '../../termination.ts';
import type { PartialFile } from '../partial-file.ts';
import type { LocalFile } from './plan.ts';

/** @throws Failure ArtifactRefused, ArtifactNotFound, ArtifactTooLarge */
export async function copyLocal(source: LocalFile, into: PartialFile): Promise<void> {
  const { uri } = source;
  const path = await locate(source);
  // Not blocking: opening a named pipe would otherwise wait for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (thrown) => {
      throw new Failure('ArtifactNotFound', `${uri} cannot be opened`, { cause: thrown });
    },
  );
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Failure('ArtifactRefused', `${uri} is not a regular file`);
    into.expect(stats.size);
    for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 2 ** 20 })) {
      await into.write(chunk as Buffer);
    }
  } finally {
    await file.close();
  }
}

async function locate({ root, path: wanted, uri }: LocalFile): Promise<string> {
  const base = await realpath(root).catch((thrown) => {
    throw new Failure('ConfigurationInvalid', `the folder ${root} does not exist`, { cause: thrown });
  });
  const path = await realpath(join(base, wanted)).catch((thrown) => {
    throw new Failure('ArtifactNotFound', `${uri} does not exist`, { cause: thrown });
  });
  if (!path.startsWith(base.endsWith(sep) ? base : base + sep)) {
    throw new Failure('ArtifactRefused', `${uri} leads out of the folder that files are served from`);
  }
  return path;
}
