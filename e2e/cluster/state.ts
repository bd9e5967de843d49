import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `SLUICE_RUN_DIR` lets tests have an `up` of their own beside a developer's. */
const folder =
  process.env['SLUICE_RUN_DIR'] || join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), '.run');
const file = join(folder, 'cluster.json');

/** What `npm run up` leaves behind for `npm run down`. */
export interface UpState {
  readonly pid: number;
  /** When the process started, by the kernel's count: tells it from a later one that got the same number. */
  readonly started: string;
  /** Path of the kubeconfig to use; absent until the cluster is ready. */
  readonly kubeconfig?: string;
}

/** Paths in the folder that `up` keeps its files in. */
export const upFiles = { folder, kubeconfig: join(folder, 'kubeconfig'), log: join(folder, 'cluster.log') };

export function writeState(state: UpState): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, `${JSON.stringify(state)}\n`);
}

/** The state, if there is any; its process may be gone. */
export function readState(): UpState | undefined {
  try {
    const state: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return isState(state) ? state : undefined;
  } catch {
    return undefined;
  }
}

export function clearState(): void {
  rmSync(file, { force: true });
  rmSync(upFiles.kubeconfig, { force: true });
}

/** Whether the process that wrote the state still runs. */
export function isRunning(state: UpState): boolean {
  return startOf(state.pid) === state.started;
}

/** When a process started (field 22 of its stat), or `undefined` if there is none or it is dead already. */
export function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before it is in parentheses and may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function isState(value: unknown): value is UpState {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    typeof value.pid === 'number' &&
    'started' in value &&
    typeof value.started === 'string'
  );
}
