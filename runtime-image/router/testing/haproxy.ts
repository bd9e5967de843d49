/** The HAProxy that process tests run. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const provider = join(import.meta.dirname, '..', '..', '..', 'e2e', 'tools', 'haproxy.ts');
const cache = join(import.meta.dirname, '..', '..', '..', '.cache', 'tools');

/** Its path: the machine's own, or one that is brought into the cache. @throws Error that says how to get one */
export async function findHaproxy(): Promise<string> {
  // A process of its own, because the image's code must not import what only tests of the cluster have.
  const script = `const { provideHaproxy } = await import(${JSON.stringify(provider)});
    process.stdout.write(await provideHaproxy(${JSON.stringify(cache)}, (line) => console.error(line)));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  return stdout.trim();
}
