/** Starts a command of the image as a real process, for tests: collects its log, and always ends it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { env, nodeFlags, type TerminationMessage } from '#contract';

const entry = fileURLToPath(new URL('../main.ts', import.meta.url));

/** Folder that holds silero_vad_v5.onnx and silero_vad_v6.onnx. */
export const sileroFolder = join(
  dirname(createRequire(import.meta.url).resolve('@ricky0123/vad-web/package.json')),
  'dist',
);

export type LogLine = Readonly<Record<string, unknown>>;

export class ImageProcess implements AsyncDisposable {
  /** A folder of its own, removed at the end. */
  readonly folder: string;
  readonly log: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;
  #heard = Promise.withResolvers<void>();

  constructor(
    command: string,
    variables: Readonly<Record<string, string>>,
    folder = temporaryFolder(),
    args: readonly string[] = [],
  ) {
    this.folder = folder;
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_')),
    );
    this.#child = spawn(process.execPath, [...nodeFlags, entry, command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...inherited, [env.terminationLog]: join(folder, 'termination'), ...variables },
    });
    this.#exited = once(this.#child, 'exit').then(([code, signal]) => (signal === null ? Number(code) : -1));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', (line) => this.#hear(line));
    }
    void this.#exited.then(() => this.#wake());
  }

  #hear(line: string): void {
    try {
      this.log.push(JSON.parse(line));
    } catch {
      this.log.push({ text: line });
    }
    this.#wake();
  }

  #wake(): void {
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }

  /** The first line with the message; fails when the process ends without saying it. */
  async logged(message: string): Promise<LogLine> {
    for (;;) {
      const line = this.log.find((candidate) => candidate['message'] === message);
      if (line !== undefined) return line;
      if (this.ended)
        throw new Error(`ended without ${JSON.stringify(message)}: ${JSON.stringify(this.log)}`);
      await this.#heard.promise;
    }
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Exit code; -1 when it was killed. */
  get exited(): Promise<number> {
    return this.#exited;
  }

  get termination(): TerminationMessage {
    return JSON.parse(readFileSync(join(this.folder, 'termination'), 'utf8'));
  }

  get residentBytes(): number {
    return residentBytesOf(this.#child.pid!);
  }

  get cpuSeconds(): number {
    return cpuSecondsOf(this.#child.pid!);
  }

  /** Process ids of the processes that it has started and that live, oldest first. */
  get children(): number[] {
    const { pid } = this.#child;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ended) this.#child.kill('SIGKILL');
    await this.#exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'sluice-'));
}

/** Memory that a process holds now, of which shared libraries are a part. */
export function residentBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** Processor time of all threads of a process so far, in seconds. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // After the name, which may hold spaces; times are in hundredths of a second wherever Node runs.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
