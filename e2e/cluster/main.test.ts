import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { KubeClient } from '../../kube-client/client.ts';
import { loadConnection } from '../../kube-client/connection.ts';
import { resources } from '../../kube-client/resources.ts';

const run = promisify(execFile);
const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'up-'));
const env = { ...process.env, SLUICE_RUN_DIR: folder };
const stateFile = join(folder, 'cluster.json');

after(async () => {
  await run(process.execPath, [main, 'down'], { env });
  rmSync(folder, { recursive: true });
});

async function command(...args: string[]): Promise<string> {
  return (await run(process.execPath, [main, ...args], { env })).stdout;
}

function serving(): number {
  return (JSON.parse(readFileSync(stateFile, 'utf8')) as { pid: number }).pid;
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('up leaves a cluster behind, down ends it, and neither minds that a cluster crashed', async () => {
  const first = await command('up', '--bare');
  const kubeconfig = /export KUBECONFIG=(.+)/.exec(first)?.[1] ?? assert.fail(first);
  const connection = loadConnection({ kubeconfig });
  const nodes = await new KubeClient(connection).list(resources.nodes);
  assert.equal(nodes.items.length, 3);
  await connection.close?.();
  assert.match(await command('up', '--bare'), /runs already/);

  const crashed = serving();
  process.kill(crashed, 'SIGKILL');
  while (isAlive(crashed)) await delay(20);
  assert.match(await command('down'), /No cluster runs/);
  assert.ok(!existsSync(stateFile));

  assert.match(await command('up', '--bare'), /is up/);
  const second = serving();
  assert.match(await command('down'), /is down/);
  assert.ok(!isAlive(second));
  assert.ok(!existsSync(stateFile) && !existsSync(kubeconfig));
});
