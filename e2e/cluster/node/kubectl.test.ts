/** What kubectl does with the kubelet's server, through the embedded API server. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { KubeClient } from '../../../kube-client/client.ts';
import { type Connection, loadConnection } from '../../../kube-client/connection.ts';
import { resources } from '../../../kube-client/resources.ts';
import { clients } from '../../tools/tools.ts';
import { type ApiServer, startApiServer } from '../api/server.ts';
import { createAuthority } from '../assets/certificates.ts';
import { addressesOf } from './addresses.ts';
import { type RunningNode, startNode } from './node.ts';
import { podKubeconfigOf } from './pod-kubeconfig.ts';
import { dictionary } from './spdy-headers.ts';
import { silent, testImages } from './testing.ts';

describe('kubectl', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sn-'));
  const namespace = 'default';
  let program: string;
  let server: ApiServer;
  let connection: Connection;
  let node: RunningNode;

  before(async () => {
    program = (await clients()).kubectl;
    server = await startApiServer({
      host: '127.0.0.1',
      port: 0,
      dataDir: join(folder, 'api'),
      serviceCidr: '127.85.0.0/16',
    });
    connection = loadConnection({ kubeconfig: server.adminKubeconfig });
    const client = new KubeClient(connection);
    const named = (kind: string, name: string, rest: object = {}) => ({
      apiVersion: 'v1',
      kind,
      metadata: { name, namespace },
      ...rest,
    });
    await client.create(resources.serviceaccounts, namespace, named('ServiceAccount', 'default'));
    await client.create(
      resources.configmaps,
      namespace,
      named('ConfigMap', 'kube-root-ca.crt', { data: { 'ca.crt': server.caPem } }),
    );
    node = await startNode({
      client,
      name: 'n1',
      capacity: { cpu: '4', memory: '4Gi', pods: '20' },
      podAddresses: addressesOf('127.86.0.0/24'),
      rootDir: join(folder, 'n1'),
      address: '127.86.1.1',
      kubeconfig: podKubeconfigOf(server.url, server.caPem),
      images: testImages,
      serving: { ...createAuthority('kubelets').issue({ commonName: 'n1' }), clientCa: server.caPem },
      logger: silent,
    });
    const readinessProbe = { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1 };
    const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'test/server', readinessProbe }] };
    await client.create(resources.pods, namespace, named('Pod', 'web', { spec }));
    const { code } = await kubectl(['wait', '--for=condition=Ready', 'pod/web', '--timeout=20s']);
    assert.equal(code, 0);
  });

  after(async () => {
    await node.stop();
    await connection.close?.();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(args: readonly string[]): ChildProcess {
    return spawn(program, ['--kubeconfig', server.adminKubeconfig, ...args], {
      stdio: 'pipe',
      env: { HOME: folder },
    });
  }

  async function kubectl(
    args: readonly string[],
    input: string | Buffer = '',
  ): Promise<{ code: number; out: string; err: string }> {
    const child = start(args);
    assert.ok(child.stdin && child.stdout && child.stderr);
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ]);
    return { code, out, err };
  }

  it('runs commands, with their input, output and exit code', async () => {
    const { code, out, err } = await kubectl([
      'exec',
      'web',
      '--',
      'sh',
      '-c',
      'echo out; echo err >&2; exit 5',
    ]);
    assert.equal(code, 5);
    assert.equal(out, 'out\n');
    assert.match(err, /^err\n/);
    const counted = await kubectl(['exec', '-i', 'web', '--', 'wc', '-c'], Buffer.alloc(1_000_000));
    assert.deepEqual([counted.code, counted.out.trim()], [0, '1000000']);
    const missing = await kubectl(['exec', 'web', '--', 'no-such-program']);
    assert.notEqual(missing.code, 0);
    assert.match(missing.err, /executable file not found/);
  });

  it('forwards ports', async () => {
    const forward = start(['port-forward', 'pod/web', ':8080']);
    assert.ok(forward.stdout);
    let shown = '';
    while (!/127\.0\.0\.1:\d+/.test(shown)) shown += String((await once(forward.stdout, 'data'))[0]);
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(shown) ?? [];
    const answers = await Promise.all(
      Array.from(
        { length: 8 },
        async () =>
          ((await (await fetch(`http://127.0.0.1:${port}/`)).json()) as Record<string, string>)['HOSTNAME'],
      ),
    );
    assert.deepEqual(
      answers,
      Array.from({ length: 8 }, () => 'web'),
    );
    forward.kill();
    await once(forward, 'close');
  });

  it('describes the pod with its events', async () => {
    const { out } = await kubectl(['describe', 'pod', 'web']);
    assert.match(out, /Container started/);
    assert.match(out, /Ready\s+True/);
  });
});

describe('the dictionary of SPDY headers', () => {
  it('is that of the protocol', () => {
    assert.equal(dictionary.length, 1423);
    let [a, b] = [1, 0];
    for (const byte of dictionary) {
      a = (a + byte) % 65521;
      b = (b + a) % 65521;
    }
    assert.equal((b * 65536 + a).toString(16), 'e3c6a7c2');
  });
});
