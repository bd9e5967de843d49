/** Debian's packages: installed, or unpacked into a folder with the libraries that the machine lacks. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

interface Commands {
  /** Absolute paths. */
  readonly aptGet: string;
  readonly dpkg: string;
  readonly environment: NodeJS.ProcessEnv;
}

export class Debian {
  readonly #commands: Commands;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** Installs a package; needs root. */
  async install(name: string): Promise<void> {
    const install = () => this.#aptGet('-o', 'DPkg::Lock::Timeout=120', 'install', ...quietly, name);
    try {
      await install();
    } catch {
      // Fresh machines have no package lists; machines with old ones are refused by the mirror.
      await this.#aptGet('update');
      await install();
    }
  }

  /**
   * Unpacks a package into `cache/program`, whole or not at all, also when several processes do so at once.
   * @param check rejects when the program at the path does not run
   * @returns path of the program, which finds its libraries wherever the cache lies
   */
  async unpack(
    name: string,
    program: string,
    cache: string,
    check: (path: string) => Promise<void>,
  ): Promise<string> {
    const { dpkg, environment } = this.#commands;
    await mkdir(cache, { recursive: true });
    const work = await mkdtemp(join(cache, `${program}-`));
    try {
      const root = join(work, 'root');
      await mkdir(root);
      const packages = await this.#download(name, join(work, 'apt'));
      for (const file of packages) await run(dpkg, ['-x', file, root], { env: environment });
      await rm(join(work, 'apt'), { recursive: true });
      await writeFile(join(work, program), wrapper(program, await folderOf(program, root)), { mode: 0o755 });
      await check(join(work, program));
      const folder = join(cache, program);
      await rename(work, folder).catch(async (error: unknown) => {
        if (!(await readdir(folder).catch((): string[] => [])).includes(program)) throw error;
      });
      return join(folder, program);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  /** The package and those of its dependencies that this machine lacks; uses lists and caches of its own. */
  async #download(name: string, state: string): Promise<string[]> {
    const archives = join(state, 'cache', 'archives');
    await mkdir(join(archives, 'partial'), { recursive: true });
    await mkdir(join(state, 'lists', 'partial'), { recursive: true });
    const options = [
      `Dir::State=${state}`,
      'Dir::State::status=/var/lib/dpkg/status',
      `Dir::Cache=${join(state, 'cache')}`,
      `Dir::Cache::archives=${archives}`,
      'Debug::NoLocking=1',
      'APT::Sandbox::User=root',
    ].flatMap((option) => ['-o', option]);
    await this.#aptGet(...options, 'update');
    // Also one that counts as installed, but is not where programs are looked for.
    await this.#aptGet(...options, 'install', ...quietly, '--reinstall', '--download-only', name);
    return (await readdir(archives))
      .filter((file) => file.endsWith('.deb'))
      .map((file) => join(archives, file));
  }

  async #aptGet(...given: readonly string[]): Promise<void> {
    const { aptGet, environment } = this.#commands;
    await run(aptGet, given, { env: { ...environment, DEBIAN_FRONTEND: 'noninteractive' } });
  }
}

const quietly = ['-y', '--no-install-recommends'] as const;

async function folderOf(program: string, root: string): Promise<string> {
  for (const folder of ['usr/sbin', 'usr/bin', 'sbin', 'bin']) {
    const files = await readdir(join(root, folder)).catch((): string[] => []);
    if (files.includes(program)) return folder;
  }
  throw new Error(`the package holds no ${program}`);
}

/** Finds its libraries beside itself. */
function wrapper(program: string, folder: string): string {
  return `#!/bin/sh
root="$(dirname "$(readlink -f "$0")")/root"
machine="$(uname -m)-linux-gnu"
LD_LIBRARY_PATH="$root/usr/lib/$machine:$root/lib/$machine\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$root/${folder}/${program}" "$@"
`;
}

/** What went wrong, on one line: the last that a command wrote to stderr says most; apt-get prints warnings before it. */
export function failure(error: unknown): string {
  const stderr = (error as { stderr?: string }).stderr?.trim();
  if (stderr) return stderr.split('\n').at(-1) ?? stderr;
  return error instanceof Error ? error.message : String(error);
}
