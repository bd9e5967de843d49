/**
 * A network namespace of our own, for clusters with a real API server: that one refuses loopback addresses in
 * EndpointSlices, so pods need others, and those must not disturb the machine.
 */
import { spawn, spawnSync } from 'node:child_process';

/** Set in processes that run inside. */
const marker = 'SLUICE_NETWORK_NAMESPACE';

/** Everything in 10.0.0.0/8 is local in there, so that every pod and Service can have its own address. */
const prepare = 'ip link set lo up && ip route add local 10.0.0.0/8 dev lo && exec "$@"';

/** Whether this environment asks for a cluster that needs a namespace, and we aren't in one yet. */
export function needsNamespace(env: NodeJS.ProcessEnv = process.env): boolean {
  return Boolean(env['KUBEBUILDER_ASSETS']) && env['SLUICE_CLUSTER'] !== 'external' && !env[marker];
}

/** The command line that runs a command inside a namespace; where we aren't root, as root of a user namespace. */
export function insideNamespace(command: readonly string[]): string[] {
  const flags = process.getuid?.() === 0 ? ['--net'] : ['--map-root-user', '--net'];
  return ['unshare', ...flags, '--', 'sh', '-c', prepare, 'sh', ...command];
}

/**
 * Runs a command to its end, inside a namespace where the cluster needs one, with our terminal; resolves to its exit
 * code. Signals that reach us are passed on.
 */
export async function launch(command: readonly string[]): Promise<number> {
  const inside = needsNamespace();
  if (inside) requirePrograms();
  const [program = '', ...args] = inside ? insideNamespace(command) : command;
  const env = inside ? { ...process.env, [marker]: '1' } : process.env;
  const child = spawn(program, args, { stdio: 'inherit', env });
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    for (const signal of signals) process.off(signal, pass);
  }
}

/**
 * To be called first in a program that starts a cluster: where that needs a namespace, runs the whole program again
 * inside one and ends with its exit code; else does nothing.
 */
export async function enterNamespace(): Promise<void> {
  if (!needsNamespace()) return;
  process.exit(await launch([process.execPath, ...process.execArgv, ...process.argv.slice(1)]));
}

function requirePrograms(): void {
  for (const [program, from] of [
    ['unshare', 'util-linux'],
    ['ip', 'iproute2'],
  ] as const) {
    if (spawnSync(program, ['--version']).error === undefined) continue;
    throw new Error(`a cluster of KUBEBUILDER_ASSETS needs the program ${program} (package ${from})`);
  }
}
