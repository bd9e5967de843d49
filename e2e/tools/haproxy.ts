/**
 * HAProxy: the machine's own, or the distribution's package. The package is installed when we are root, and otherwise
 * unpacked into the cache with the libraries that it needs, which takes no rights at all.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { Progress } from './progress.ts';

const run = promisify(execFile);
/** System folders that an ordinary user's PATH often lacks. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
const oldest = [2, 6] as const;
const advice =
  'install HAProxy 2.6 or later with your package manager (Debian, Ubuntu: apt install haproxy; Fedora: dnf install haproxy; ' +
  'macOS: brew install haproxy) or name its binary in SLUICE_HAPROXY';

/** Absolute path of an `haproxy` that runs here and is new enough. */
export async function provideHaproxy(cache: string, progress: Progress): Promise<string> {
  const named = process.env['SLUICE_HAPROXY'];
  if (named) {
    await check(named);
    return named;
  }
  const installed = await onPath('haproxy');
  if (installed) {
    await check(installed);
    return installed;
  }
  const cached = join(cache, 'haproxy', 'haproxy');
  if (await executable(cached)) return cached;
  if (!(await onPath('apt-get')) || !(await onPath('dpkg')))
    throw new Error(`HAProxy is not installed: ${advice}`);

  const failures: string[] = [];
  if (process.getuid?.() === 0) {
    try {
      return await install(progress);
    } catch (error) {
      failures.push(`installing it failed: ${summary(error)}`);
    }
  }
  try {
    return await unpack(cache, progress);
  } catch (error) {
    failures.push(`unpacking the package failed: ${summary(error)}`);
  }
  throw new Error(`HAProxy is not installed, and ${failures.join('; ')}. Please ${advice}`);
}

async function install(progress: Progress): Promise<string> {
  progress('installing haproxy with apt-get');
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const arguments_ = ['install', '-y', '--no-install-recommends', 'haproxy'];
  try {
    await run('apt-get', arguments_, { env: environment });
  } catch {
    // Fresh machines have no package lists; machines with old ones are refused by the mirror.
    await run('apt-get', ['update'], { env: environment });
    await run('apt-get', arguments_, { env: environment });
  }
  const path = await onPath('haproxy');
  if (!path) throw new Error('apt-get installed haproxy, but no haproxy is on the PATH');
  await check(path);
  return path;
}

async function unpack(cache: string, progress: Progress): Promise<string> {
  progress('downloading haproxy from the distribution into the cache');
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'haproxy-'));
  try {
    const packages = await download(work);
    const root = join(work, 'root');
    await mkdir(root);
    for (const file of packages) await run('dpkg', ['-x', file, root]);
    const folder = join(cache, 'haproxy');
    await writeFile(join(work, 'haproxy'), wrapper, { mode: 0o755 });
    await rm(join(work, 'apt'), { recursive: true });
    await check(join(work, 'haproxy'));
    await rename(work, folder).catch(async (error: unknown) => {
      if (!(await executable(join(folder, 'haproxy')))) throw error;
    });
    return join(folder, 'haproxy');
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The package and those of its dependencies that this machine lacks; uses lists and caches of its own. */
async function download(work: string): Promise<string[]> {
  const state = join(work, 'apt');
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
  await run('apt-get', [...options, 'update']);
  await run('apt-get', [
    ...options,
    'install',
    '-y',
    '--no-install-recommends',
    '--download-only',
    'haproxy',
  ]);
  return (await readdir(archives))
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(archives, name));
}

/** Finds its libraries beside itself, wherever the cache lies. */
const wrapper = `#!/bin/sh
root="$(dirname "$(readlink -f "$0")")/root"
machine="$(uname -m)-linux-gnu"
LD_LIBRARY_PATH="$root/usr/lib/$machine:$root/lib/$machine\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$root/usr/sbin/haproxy" "$@"
`;

async function check(path: string): Promise<void> {
  const { stdout } = await run(path, ['-v']).catch((error: unknown) => {
    throw new Error(`${path} does not run: ${summary(error)}`, { cause: error });
  });
  const version = /version (\d+)\.(\d+)/.exec(stdout);
  const [major, minor] = [Number(version?.[1] ?? 0), Number(version?.[2] ?? 0)];
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
    throw new Error(`${path} is ${stdout.split('\n')[0]}: ${advice}`);
  }
}

async function onPath(name: string): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...systemFolders]) {
    const path = join(folder, name);
    if (folder !== '' && (await executable(path))) return path;
  }
  return undefined;
}

async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** The last line that a command wrote to stderr says most; apt-get prints warnings before it. */
function summary(error: unknown): string {
  const stderr = (error as { stderr?: string }).stderr?.trim();
  if (stderr) return stderr.split('\n').at(-1) ?? stderr;
  return error instanceof Error ? error.message : String(error);
}
