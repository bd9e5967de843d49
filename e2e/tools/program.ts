/**
 * A program of the distribution: the machine's own, or Debian's package. The package is installed when we are root, and
 * otherwise unpacked into the cache with the libraries that it needs, which takes no rights at all.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { Debian, failure } from './debian.ts';
import type { Progress } from './progress.ts';

export interface Program {
  /** As people call it. */
  readonly title: string;
  /** Of the executable. */
  readonly name: string;
  /** Debian's package that holds it. */
  readonly package: string;
  /** That the package, once installed, starts a server of its own, which nobody asked for: it is unpacked only. */
  readonly startsServer?: true;
  /** How others than Debian call the package: `Fedora: dnf install …`. */
  readonly elsewhere: string;
  /** Environment variable in which one can name a binary of one's own. */
  readonly variable: string;
  /** How it says its version: an argument, and what it prints then, with major and minor number. */
  readonly version: { readonly argument: string; readonly pattern: RegExp };
  readonly oldest: readonly [major: number, minor: number];
}

/** What of this machine decides where a program comes from. */
export interface Machine {
  readonly environment: NodeJS.ProcessEnv;
  readonly root: boolean;
}

const thisMachine: Machine = { environment: process.env, root: process.getuid?.() === 0 };
/** System folders that an ordinary user's PATH often lacks. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/**
 * Absolute path of the program: one that runs here and is new enough.
 * @throws Error that says what was tried, and what to do
 */
export async function provide(
  program: Program,
  cache: string,
  progress: Progress,
  machine: Machine = thisMachine,
): Promise<string> {
  const { title, name } = program;
  const own = machine.environment[program.variable] || (await onPath(name, machine));
  if (own) {
    await check(program, own);
    return own;
  }
  const cached = join(cache, name, name);
  if (await executable(cached)) return cached;
  const [aptGet, dpkg] = [await onPath('apt-get', machine), await onPath('dpkg', machine)];
  if (!aptGet || !dpkg) throw new Error(`${title} is not installed: please ${advice(program)}`);

  const debian = new Debian({ aptGet, dpkg, environment: machine.environment });
  const failures: string[] = [];
  if (machine.root && !program.startsServer) {
    try {
      progress(`installing ${program.package} with apt-get`);
      await debian.install(program.package);
      const installed = await onPath(name, machine);
      if (!installed) throw new Error(`no ${name} is on the PATH afterwards`);
      await check(program, installed);
      return installed;
    } catch (error) {
      failures.push(`installing ${program.package} failed: ${failure(error)}`);
    }
  }
  try {
    progress(`downloading ${program.package} from the distribution into the cache`);
    return await debian.unpack(program.package, name, cache, (path) => check(program, path));
  } catch (error) {
    failures.push(`unpacking ${program.package} failed: ${failure(error)}`);
  }
  throw new Error(`${title} is not installed, and ${failures.join('; ')}. Please ${advice(program)}`);
}

function advice({ title, oldest, package: name, elsewhere, variable }: Program): string {
  return (
    `install ${title} ${oldest.join('.')} or later with your package manager ` +
    `(Debian, Ubuntu: apt install ${name}; ${elsewhere}) or name its binary in ${variable}`
  );
}

/** @throws Error when the binary does not run or is too old */
async function check(program: Program, path: string): Promise<void> {
  const { argument, pattern } = program.version;
  const said = await promisify(execFile)(path, [argument]).then(
    ({ stdout, stderr }) => stdout + stderr,
    // Some exit with a failure after they have said it.
    (error: { stdout: string; stderr: string }) => error.stdout + error.stderr || failure(error),
  );
  const found = pattern.exec(said);
  if (!found) throw new Error(`${path} does not run: ${said.trim().split('\n').at(-1)}`);
  const [major, minor] = [Number(found[1]), Number(found[2])];
  const [leastMajor, leastMinor] = program.oldest;
  if (major < leastMajor || (major === leastMajor && minor < leastMinor))
    throw new Error(`${path} is ${program.title} ${major}.${minor}: please ${advice(program)}`);
}

async function onPath(name: string, { environment }: Machine): Promise<string | undefined> {
  for (const folder of [...(environment['PATH'] ?? '').split(delimiter), ...systemFolders]) {
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
