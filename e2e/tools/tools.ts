/**
 * The programs that demo, scenarios and benchmarks drive, brought on first use: kubectl and Helm (from a development
 * dependency), HAProxy and what measures it (from the machine or its distribution). Holds provisioning only; knows
 * nothing of clusters.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clients, provideClients } from './clients.ts';
import { provideHaproxy } from './haproxy.ts';
import { type Progress, progressOnStderr } from './progress.ts';
import { provideYardsticks, type Yardstick } from './yardsticks.ts';

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

/** What a benchmark measures with. */
export async function yardsticks<Name extends Yardstick>(
  names: readonly Name[],
  progress: Progress = progressOnStderr,
): Promise<Readonly<Record<Name, string>>> {
  return provideYardsticks(names, cache, progress);
}
