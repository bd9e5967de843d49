/** `file:` URIs: files below one folder that the administrator names, and nothing else, whatever links say. */
import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { env } from '#contract';
import { Failure } from '../termination.ts';
import type { Partial } from './store.ts';

/** @throws Failure ArtifactRefused, ArtifactNotFound */
export async function fetchFile(uri: string, root: string | undefined, into: Partial): Promise<void> {
  if (root === undefined)
    throw new Failure('ConfigurationInvalid', `${env.fileRoot} is not set, so no file can be fetched`);
  const path = await locate(uri, root);
  // Not blocking: opening a named pipe would otherwise wait for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (thrown) => {
      throw new Failure('ArtifactNotFound', `${uri} cannot be opened`, { cause: thrown });
    },
  );
  try {
    if (!(await file.stat()).isFile()) throw new Failure('ArtifactRefused', `${uri} is not a regular file`);
    for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 2 ** 20 })) {
      await into.write(chunk as Buffer);
    }
  } finally {
    await file.close();
  }
}

async function locate(uri: string, root: string): Promise<string> {
  const base = await realpath(root).catch((thrown) => {
    throw new Failure('ConfigurationInvalid', `${env.fileRoot} does not exist`, { cause: thrown });
  });
  const path = await realpath(join(base, relative(uri))).catch((thrown) => {
    throw new Failure('ArtifactNotFound', `${uri} does not exist`, { cause: thrown });
  });
  if (!path.startsWith(base.endsWith(sep) ? base : base + sep)) {
    throw new Failure('ArtifactRefused', `${uri} leads out of the folder that files are served from`);
  }
  return path;
}

/** `file:a/b`, `file:/a/b`, `file://a/b` and `file:///a/b` all mean a/b below the root. */
function relative(uri: string): string {
  const rest = uri.replace(/^file:/i, '').replace(/^\/+/, '');
  let path: string;
  try {
    path = decodeURIComponent(rest);
  } catch {
    throw new Failure('ArtifactRefused', `${JSON.stringify(uri)} is not a valid URI`);
  }
  if (path === '' || path.includes('\0') || path.split('/').includes('..')) {
    throw new Failure(
      'ArtifactRefused',
      `${JSON.stringify(uri)} does not name a file below the folder that files are served from`,
    );
  }
  return path;
}
