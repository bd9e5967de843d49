/** What kubectl does with the kubelet's server, through the embedded API server. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { resources } from '../../../kube-client/resources.ts';
import { clients } from '../../tools/tools.ts';
import { dictionary } from './spdy-headers.ts';
import { type Served, serveNode } from './testing-server.ts';

describe('kubectl', () => {
  let program: string;
  let served: Served;

  before(async () => {
    program = (await clients()).kubectl;
    served = await serveNode(85);
    const readinessProbe = { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1 };
    await served.client.create(resources.pods, 'default', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'default' },
      spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'test/server', readinessProbe }] },
    });
    const { code } = await kubectl(['wait', '--for=condition=Ready', 'pod/web', '--timeout=20s']);
    assert.equal(code, 0);
  });

  after(() => served.stop());

  function start(args: readonly string[]): ChildProcess {
    return spawn(program, ['--kubeconfig', served.server.adminKubeconfig, ...args], {
      stdio: 'pipe',
      env: { HOME: served.folder },
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
