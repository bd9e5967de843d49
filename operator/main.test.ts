import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ScriptedApi } from '../kube-client/testing/scripted-api.ts';
import { until } from '../kube-client/testing/until.ts';

type Line = Record<string, unknown> & { message: string };

/** The operator as a process, as the image starts it. */
class Process {
  readonly lines: Line[] = [];
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;

  constructor(name: string, flags: readonly string[] = []) {
    const main = fileURLToPath(new URL('./main.ts', import.meta.url));
    const ports = ['--metrics-port=0', '--health-port=0'];
    const args = [main, '--runtime-image=sluice/runtime:1', ...ports, ...flags];
    const env = {
      PATH: process.env['PATH'],
      KUBECONFIG: kubeconfig,
      POD_NAME: name,
      POD_NAMESPACE: 'system',
    };
    const bind = { SLUICE_BIND_ADDRESS: '127.0.0.1' };
    this.child = spawn(process.execPath, args, {
      env: { ...env, ...bind },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    createInterface(this.child.stdout!).on('line', (line) => this.lines.push(JSON.parse(line) as Line));
    this.exit = once(this.child, 'exit').then(([code]) => code as number | null);
    processes.push(this);
  }

  said(pattern: RegExp): boolean {
    return this.lines.some(({ message }) => pattern.test(message));
  }

  async get(server: 'metrics' | 'health', path: string): Promise<{ status: number; text: string }> {
    const started = this.lines.find(({ message }) => message === 'started')!;
    const port = (started['ports'] as Record<string, number>)[server];
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text() };
  }
}

let folder: string;
let kubeconfig: string;
let api: ScriptedApi;
let processes: Process[] = [];

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-operator-'));
  kubeconfig = join(folder, 'kubeconfig');
});
after(() => rmSync(folder, { recursive: true }));

beforeEach(async () => {
  api = new ScriptedApi();
  // Every collection but that of leases is empty, and stays so.
  api.standing.push(({ path, query }, response) => {
    if (path.includes('/leases')) return false;
    if (query.has('watch')) response.writeHead(200).flushHeaders();
    else response.end('{"metadata":{"resourceVersion":"1"},"items":[]}');
    return true;
  });
  await api.start();
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${api.port}` } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
      users: [{ name: 'c', user: { token: 'x' } }],
    }),
  );
});

afterEach(async () => {
  for (const { child, exit } of processes) {
    child.kill('SIGKILL');
    await exit;
  }
  processes = [];
  await api.stop();
});

const lease = () =>
  (api.objects.get('system/sluice-operator') as { spec?: { holderIdentity?: string } } | undefined)?.spec;

test('it leads, is ready, and on SIGTERM gives the lease back and ends with 0', async () => {
  const a = new Process('a');
  await until('a works', () => a.said(/holds the lease/));
  assert.equal(lease()?.holderIdentity, 'a');
  assert.equal((await a.get('health', '/readyz')).status, 200);
  assert.match((await a.get('metrics', '/metrics')).text, /^sluice_leader 1$/m);
  a.child.kill('SIGTERM');
  assert.equal(await a.exit, 0);
  assert.equal(lease()?.holderIdentity, '');
});

test('a second replica is ready without leading, and takes over when the first ends', async () => {
  const a = new Process('a');
  await until('a works', () => a.said(/holds the lease/));
  // Its tries are so far apart that only its watch can tell it in time.
  const b = new Process('b', ['--retry-period=20s', '--renew-deadline=30s', '--lease-duration=40s']);
  await until('b has its caches', () => b.said(/caches are filled/));
  assert.equal((await b.get('health', '/readyz')).status, 200);
  assert.match((await b.get('metrics', '/metrics')).text, /^sluice_leader 0$/m);
  const ended = performance.now();
  a.child.kill('SIGTERM');
  await until('b works', () => b.said(/holds the lease/));
  assert.ok(performance.now() - ended < 10_000, `took over after ${performance.now() - ended} ms`);
  assert.equal(lease()?.holderIdentity, 'b');
});

test('a process that has lost the lease ends with 1 and says why', async () => {
  const a = new Process('a', ['--retry-period=100ms']);
  await until('a works', () => a.said(/holds the lease/));
  api.put('sluice-operator', { ...lease(), holderIdentity: 'thief' }, 'system');
  assert.equal(await a.exit, 1);
  assert.match(a.lines.at(-1)!.message, /the operator ends: the lease is not ours any more: thief holds it/);
  assert.equal(lease()?.holderIdentity, 'thief');
});

test('it is not ready before its caches are full, and can be stopped before that', async () => {
  api.standing.unshift(({ path }) => path.includes('/models'));
  const a = new Process('a');
  await until('a serves', () => a.said(/^started$/));
  const { status, text } = await a.get('health', '/readyz');
  assert.deepEqual([status, text.trim()], [503, 'caches are not filled yet']);
  assert.equal((await a.get('health', '/healthz')).status, 200);
  a.child.kill('SIGTERM');
  assert.equal(await a.exit, 0);
});

test('a wrong flag ends it with 2', async () => {
  const a = new Process('a', ['--log-level=loud']);
  assert.equal(await a.exit, 2);
});
