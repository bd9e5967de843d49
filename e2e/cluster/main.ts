/**
 * `npm run up`: a local cluster with Sluice installed, in the background until `npm run down`.
 *
 * `main.ts up` starts `main.ts serve`, which holds the cluster, waits until it is ready and goes; `main.ts down` ends
 * exactly that process, and with it everything it started. With `--bare` the cluster stays empty, for those who run the
 * operator by hand.
 */
import { execFile, fork } from 'node:child_process';
import { copyFileSync, mkdirSync, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { progressOnStderr } from '../tools/progress.ts';
import { tools } from '../tools/tools.ts';
import { enterNamespace } from './assets/network.ts';
import { startCluster } from './cluster.ts';
import { clearState, isRunning, readState, startOf, upFiles, writeState } from './state.ts';

const run = promisify(execFile);
const repository = fileURLToPath(new URL('../../', import.meta.url));
/** How long `down` waits for a good end, in milliseconds. */
const downMs = 45_000;

type News =
  | { readonly kind: 'progress'; readonly message: string }
  | { readonly kind: 'ready'; readonly kubeconfig: string }
  | { readonly kind: 'failed'; readonly message: string };

async function up(): Promise<void> {
  const bare = process.argv.includes('--bare');
  const before = readState();
  if (before !== undefined && isRunning(before) && before.kubeconfig !== undefined) {
    announce(before.kubeconfig, 'runs already');
    return;
  }
  await enterNamespace();
  clearState();
  const { haproxy, kubectl, helm } = await tools(progressOnStderr);
  mkdirSync(upFiles.folder, { recursive: true });
  const log = openSync(upFiles.log, 'w', 0o600);
  const child = fork(fileURLToPath(import.meta.url), ['serve'], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...process.env, SLUICE_HAPROXY: haproxy },
  });
  const abandon = () => child.kill('SIGTERM');
  process.once('SIGINT', abandon).once('SIGTERM', abandon);
  const kubeconfig = await new Promise<string>((resolve, reject) => {
    child.on('message', (news: News) => {
      if (news.kind === 'progress') progressOnStderr(news.message);
      else if (news.kind === 'ready') resolve(news.kubeconfig);
      else reject(new Error(news.message));
    });
    child.once('exit', (code, signal) =>
      reject(new Error(`the cluster ended (${signal ?? `exit code ${code}`}); see ${upFiles.log}`)),
    );
  });
  try {
    if (!bare) {
      progressOnStderr('installing Sluice with Helm');
      await install(helm, kubeconfig);
    }
  } catch (error) {
    child.kill('SIGTERM');
    throw error;
  }
  child.disconnect();
  child.unref();
  announce(kubeconfig, 'is up', kubectl);
}

/** Holds the cluster until it is told to end or a part of it is lost. */
async function serve(): Promise<void> {
  const tell = (news: News) => {
    if (process.connected) process.send?.(news, () => {});
  };
  writeState({ pid: process.pid, started: startOf(process.pid) ?? '' });
  const told = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve()).once('SIGINT', () => resolve());
  });
  process.on('SIGHUP', () => {});
  try {
    const cluster = await startCluster({ progress: (message) => tell({ kind: 'progress', message }) });
    copyFileSync(cluster.kubeconfig, upFiles.kubeconfig);
    const { kubeconfig } = upFiles;
    writeState({ pid: process.pid, started: startOf(process.pid) ?? '', kubeconfig });
    console.log(`ready; logs are in ${cluster.logs}`);
    tell({ kind: 'ready', kubeconfig });
    const lost = await Promise.race([told, cluster.lost]);
    if (lost instanceof Error) console.error(lost.message);
    await cluster.stop();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.error(error);
    tell({ kind: 'failed', message });
    process.exitCode = 1;
  } finally {
    clearState();
    if (process.connected) process.disconnect();
  }
}

async function down(): Promise<void> {
  const state = readState();
  if (state === undefined || !isRunning(state)) {
    clearState();
    console.log('No cluster runs.');
    return;
  }
  process.kill(state.pid, 'SIGTERM');
  const deadline = performance.now() + downMs;
  while (isRunning(state)) {
    if (performance.now() > deadline) {
      // Its parts end with it, and the pods' processes with them.
      process.kill(state.pid, 'SIGKILL');
    }
    await delay(50);
  }
  clearState();
  console.log('The cluster is down.');
}

async function install(helm: string, kubeconfig: string): Promise<void> {
  const args = ['upgrade', '--install', 'sluice', `${repository}charts/sluice`];
  args.push('--namespace', 'sluice-system', '--create-namespace', '--wait', '--timeout', '2m');
  // The examples' models come with a package of this repository, not from the network.
  args.push('--set', 'artifacts.schemes={https,s3,gs,oci,hf,file}', '--kubeconfig', kubeconfig);
  await run(helm, args, { maxBuffer: 2 ** 24 });
}

function announce(kubeconfig: string, what: string, kubectl?: string): void {
  console.log(`\nThe cluster ${what}. Use it with\n\n  export KUBECONFIG=${kubeconfig}\n`);
  if (kubectl !== undefined) console.log(`kubectl, if you have none: ${kubectl}`);
  if (process.env['KUBEBUILDER_ASSETS']) {
    const user = process.getuid?.() === 0 ? [] : ['--user', '--preserve-credentials'];
    const enter = ['nsenter', `--target=${readState()?.pid}`, '--net', ...user, 'COMMAND'].join(' ');
    console.log(`It has a network of its own; enter it with: ${enter}`);
  }
  console.log('It ends with: npm run down');
}

const commands: Readonly<Record<string, () => Promise<void>>> = { up, serve, down };
const command = commands[process.argv[2] ?? ''];
if (command === undefined) {
  console.error('usage: main.ts up [--bare] | down');
  process.exitCode = 2;
} else {
  try {
    await command();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
