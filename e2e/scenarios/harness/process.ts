/** Runs a program to its end and keeps what it said. */
import { spawn } from 'node:child_process';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** Milliseconds after which the program is ended; 120 s by default. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Resolves whatever the exit code is; rejects when the program cannot be started or does not end in time. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { env = process.env, input, timeoutMs = 120_000, signal } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, signal, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let late = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, killedBy) => {
      clearTimeout(timer);
      if (late) {
        reject(
          new Error(`${[program, ...args].join(' ')} did not end within ${timeoutMs} ms\n${stdout}${stderr}`),
        );
      } else resolve({ code: code ?? 128 + Number(killedBy !== null), stdout, stderr });
    });
    // A program that ends early closes its input, which is its right.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
  });
}

/** The same, but an exit code other than 0 is an error that holds what the program said. */
export async function must(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, options);
  if (code !== 0) {
    throw new Error(`${[program, ...args].join(' ')} ended with ${code}\n${stderr.trim() || stdout.trim()}`);
  }
  return stdout;
}
