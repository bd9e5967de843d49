/**
 * One process group per container. It ends as a whole: when its first process ends, when it is killed, and when
 * the node itself disappears, however that happens.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { constants as systemConstants } from 'node:os';
import { join } from 'node:path';

export interface Launch {
  /** Program and arguments; the program is looked up on the PATH of `env`. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
  /** Bytes to feed to the standard input; absent means that it is empty. */
  readonly stdin?: NodeJS.ReadableStream;
}

export interface Ended {
  /** As a container runtime tells it: 128 + n after signal n. */
  readonly exitCode: number;
}

export interface ContainerProcess {
  readonly pid: number;
  /** Resolves when all processes are gone and their output was delivered. */
  readonly ended: Promise<Ended>;
  /** To the first process only, as with containers. */
  signal(signal: NodeJS.Signals): void;
  /** To everything. */
  kill(): void;
}

/** Thrown when the program cannot be started at all. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/**
 * A shell that leaves a watcher behind in the group and becomes the program. The watcher waits at the read end of
 * a pipe whose write end only the node holds: when the node is gone, for whatever reason, the read returns and
 * the group is killed. It ignores the signals that a program may send to its own group.
 */
const wrapper = [
  '(trap "" HUP INT TERM; exec <&3 3<&- >/dev/null 2>&1; read -r _; kill -KILL 0) &',
  'exec 3<&-; unset PWD OLDPWD; exec "$@"',
].join('\n');

/** Milliseconds that output may still arrive after the group was killed; only a process that left it can hold it up. */
const outputGrace = 1_000;

const signalNumbers: Readonly<Record<string, number>> = systemConstants.signals;

export function startProcess(launch: Launch): ContainerProcess {
  const [program, ...args] = launch.command;
  if (program === undefined) throw new StartError('no command specified');
  const path = findProgram(program, launch.env['PATH'] ?? '', launch.cwd);
  try {
    if (!statSync(launch.cwd).isDirectory()) throw new Error('not a directory');
  } catch {
    throw new StartError(`chdir to cwd ("${launch.cwd}") failed: no such file or directory`);
  }
  const child = spawn('/bin/sh', ['-c', wrapper, 'sh', ...namesForShell(launch.env), path, ...args], {
    cwd: launch.cwd,
    env: { ...launch.env },
    detached: true,
    stdio: [launch.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe', 'pipe'],
  });
  const { pid } = child;
  // Without a pid the error arrives as an event, too late for the caller.
  child.on('error', () => {});
  if (pid === undefined) throw new StartError(`failed to start ${program}`);
  for (const stdio of child.stdio) stdio?.on('error', () => {});
  child.stdout?.on('data', (chunk: Buffer) => launch.onOutput('stdout', chunk));
  child.stderr?.on('data', (chunk: Buffer) => launch.onOutput('stderr', chunk));
  if (launch.stdin && child.stdin) launch.stdin.pipe(child.stdin);
  return {
    pid,
    ended: untilEnd(child, pid),
    signal: (signal) => {
      child.kill(signal);
    },
    kill: () => killGroup(pid),
  };
}

/** A shell loses variables that it cannot name, such as `a.b`; `env` gives them to the program all the same. */
function namesForShell(env: Readonly<Record<string, string>>): readonly string[] {
  const lost = Object.entries(env).filter(([name]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
  return lost.length === 0 ? [] : ['/usr/bin/env', ...lost.map(([name, value]) => `${name}=${value}`)];
}

/** Whether the process has a handler for the signal. A process that is gone has none. */
export function handles(pid: number, signal: NodeJS.Signals): boolean {
  try {
    const [, caught = '0'] =
      /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
    return ((BigInt(`0x${caught}`) >> BigInt((signalNumbers[signal] ?? 1) - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}

function untilEnd(child: ChildProcess, pid: number): Promise<Ended> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      // The first process is gone; a container would take the others with it.
      killGroup(pid);
      const exitCode = code ?? 128 + (signal ? (signalNumbers[signal] ?? 0) : 0);
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve({ exitCode });
      }, outputGrace);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ exitCode });
      });
      // The watcher's pipe keeps `close` waiting otherwise.
      child.stdio[3]?.destroy();
    });
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left.
  }
}

function findProgram(program: string, path: string, cwd: string): string {
  if (program.includes('/')) {
    const full = program.startsWith('/') ? program : join(cwd, program);
    if (isExecutable(full)) return full;
    throw new StartError(
      `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "${program}": stat ${program}: no such file or directory`,
    );
  }
  for (const folder of path.split(':')) {
    const full = join(folder, program);
    if (folder !== '' && isExecutable(full)) return full;
  }
  throw new StartError(
    `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "${program}": executable file not found in $PATH`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
