/** Real processes under a fake API: probes, hooks, sidecars, the many ways to end, logs and commands. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { resources } from '../../../kube-client/resources.ts';
import type { Container } from './pod.ts';
import { World } from './testing.ts';

/** Processes whose environment or arguments hold the marker. */
function processesWith(marker: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        const [environ, line] = ['environ', 'cmdline'].map((file) =>
          readFileSync(`/proc/${name}/${file}`, 'latin1'),
        );
        return environ?.includes(marker) || line?.includes(marker);
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe('lifetimes', () => {
  const world = new World();
  const { api } = world;
  before(() => world.start());
  after(() => world.end());

  const sh = (name: string, code: string, more: Partial<Container> = {}): Container => ({
    name,
    image: 'test/sh',
    args: [code],
    ...more,
  });
  const untilTerm = 'trap "echo term; exit 0" TERM; while :; do sleep 0.02; done';

  it('starts init containers in order, sidecars before the main one, and ends them after it', async () => {
    const order = (word: string, then = '') => `echo ${word} >> $D/order; ${then}`;
    const loop = (word: string) =>
      order(word, `trap "echo end-${word} >> $D/order; exit 0" TERM; while :; do sleep 0.02; done`);
    // Outside of the pod's volumes, since those go with the pod and the order of its end is read afterwards.
    const file = join(world.folder, 'order');
    const there = { env: [{ name: 'D', value: world.folder }] };
    const name = world.run({
      initContainers: [
        sh('i1', order('i1'), there),
        sh('s1', loop('s1'), {
          ...there,
          restartPolicy: 'Always',
          startupProbe: { exec: { command: ['grep', '-q', 's1', file] }, periodSeconds: 1 },
        }),
        sh('s2', loop('s2'), { ...there, restartPolicy: 'Always' }),
        sh('i2', order('i2'), there),
      ],
      containers: [sh('c', loop('c'), there)],
    });
    await world.until('ready', () => world.condition(name, 'Ready') === 'True');
    assert.equal(world.condition(name, 'Initialized'), 'True');
    await world.until('main', () => readFileSync(file, 'utf8').includes('c\n'));
    const started = readFileSync(file, 'utf8').trim().split('\n');
    assert.deepEqual([started[0], started[1], started.at(-1)], ['i1', 's1', 'c']);
    await world.remove(name);
    assert.match(readFileSync(file, 'utf8'), /end-c\nend-s2\nend-s1\n$/);
  });

  it('does not start the main container while an init container fails', async () => {
    const name = world.run({ initContainers: [sh('i', 'exit 1')], containers: [sh('c', untilTerm)] });
    await world.until(
      'init back-off',
      () => world.pod(name)?.status?.initContainerStatuses?.[0]?.state.waiting?.reason === 'CrashLoopBackOff',
    );
    assert.equal(world.pod(name)?.status?.phase, 'Pending');
    assert.equal(world.container(name)?.state.waiting?.reason, 'PodInitializing');
    await world.remove(name);
  });

  it('restarts after a failed liveness probe, with a startup probe before it', async () => {
    const name = world.run({
      containers: [
        {
          name: 'c',
          image: 'test/server',
          startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 20 },
          livenessProbe: { httpGet: { path: '/live', port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    await world.until('started', () => world.container(name)?.started);
    await fetch(`http://${world.pod(name)?.status?.podIP}:8080/sick`);
    await world.until(
      'restarted',
      () => world.container(name)?.restartCount === 1 && world.container(name)?.started,
    );
    assert.ok(world.events(name).includes('Killing: Container c failed liveness probe, will be restarted'));
    assert.ok(
      world.events(name).includes('Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 500'),
    );
    assert.deepEqual(world.log(name), ['got SIGTERM']);
    await world.remove(name);
  });

  it('runs preStop before SIGTERM, and SIGKILL when the grace is over', async () => {
    const hook = {
      lifecycle: { preStop: { exec: { command: ['/bin/sh', '-c', 'echo hook >> $D/stopped'] } } },
    };
    const stubborn =
      'trap "echo term >> $D/stopped" TERM; echo up >> $D/stopped; while :; do sleep 0.02; done';
    const name = world.run({
      terminationGracePeriodSeconds: 2,
      containers: [sh('c', stubborn, { ...hook, env: [{ name: 'D', value: world.folder }] })],
    });
    const file = join(world.folder, 'stopped');
    await world.until('up', () => existsSync(file));
    await world.remove(name);
    assert.equal(readFileSync(file, 'utf8'), 'up\nhook\nterm\n');
    assert.equal(world.last(name)?.status?.containerStatuses?.[0]?.state.terminated?.exitCode, 137);
    assert.equal(world.last(name)?.status?.phase, 'Failed');
  });

  it('ends by force, by deadline, and completely', async () => {
    const marker = `marker-${process.pid}-force`;
    const env = { env: [{ name: 'MARKER', value: marker }] };
    const forced = world.run({
      containers: [sh('c', 'sleep 1000 & trap "" TERM; sleep 1000; sleep 1000', env)],
    });
    await world.until('running', () => processesWith(marker).length >= 3);
    api.deletePod(`default/${forced}`, 0);
    await world.until('dead', () => processesWith(marker).length === 0);
    const late = world.run({ activeDeadlineSeconds: 1, containers: [sh('c', untilTerm)] });
    await world.until('failed', () => world.pod(late)?.status?.phase === 'Failed');
    assert.equal(world.pod(late)?.status?.reason, 'DeadlineExceeded');
    await world.remove(late);
  });

  it('serves logs: tail, previous, timestamps, follow', async () => {
    const name = world.run({
      containers: [
        sh(
          'c',
          'if [ -e x ]; then echo two; sleep 0.3; echo three; sleep 1000; else touch x; echo one; exit 1; fi',
        ),
      ],
    });
    await world.until(
      'second run',
      () => world.container(name)?.restartCount === 1 && world.log(name, 'c', 1)[0] === 'two',
    );
    const path = `/containerLogs/default/${name}/c`;
    assert.equal(await get(`${path}?previous=true`), 'one\n');
    const followed = get(`${path}?follow=true&timestamps=true`);
    await world.until('third line', () => world.log(name, 'c', 1).includes('three'));
    assert.equal(await get(`${path}?tailLines=1`), 'three\n');
    assert.equal(await get(`${path}?limitBytes=2`), 'tw');
    assert.equal(await get(`/containerLogs/default/${name}/x`), `container "x" not found in pod "${name}"`);
    api.deletePod(`default/${name}`, 1);
    assert.match(await followed, /^\d{4}-\S+Z two\n\d{4}-\S+Z three\n$/);
    await world.until('gone', () => !world.pod(name));
  });

  it('answers only who it knows', async () => {
    const name = world.run({ containers: [sh('c', untilTerm)] });
    await world.until('running', () => world.container(name)?.state.running);
    assert.equal(await get(`/containerLogs/default/${name}/c`, false), 'Unauthorized');
    await world.remove(name);
  });

  it('runs commands in containers', async () => {
    const name = world.run({
      containers: [sh('c', untilTerm, { env: [{ name: 'COLOR', value: 'green' }] })],
    });
    await world.until('running', () => world.container(name)?.state.running);
    const query = new URLSearchParams([
      ['command', '/bin/sh'],
      ['command', '-c'],
      ['command', 'echo $COLOR; cat; exit 7'],
      ['input', '1'],
      ['output', '1'],
    ]);
    const { port, host, tls } = kubelet();
    const socket = new WebSocket(
      `wss://${host}:${port}/exec/default/${name}/c?${query}`,
      ['v5.channel.k8s.io'],
      tls,
    );
    const received: Record<number, string> = {};
    socket.on('message', (data: Buffer) => {
      received[data[0] ?? 0] = (received[data[0] ?? 0] ?? '') + data.subarray(1);
    });
    await once(socket, 'open');
    socket.send(Buffer.from('\0typed'));
    socket.send(Buffer.from([255, 0]));
    await once(socket, 'close');
    assert.equal(received[1], 'green\ntyped');
    assert.equal(JSON.parse(received[3] ?? '{}').details.causes[0].message, '7');
    await world.remove(name);
  });

  function kubelet() {
    const [node] = api.all<{
      status: { daemonEndpoints: { kubeletEndpoint: { Port: number } }; addresses: { address: string }[] };
    }>(resources.nodes);
    const tls = { ca: world.authority.cert, ...world.authority.issue({ commonName: 'kube-apiserver' }) };
    return {
      port: node?.status.daemonEndpoints.kubeletEndpoint.Port,
      host: node?.status.addresses[0]?.address ?? '',
      tls,
    };
  }

  async function get(path: string, known = true): Promise<string> {
    const { port, host, tls } = kubelet();
    const options = known ? tls : { ca: tls.ca };
    const request = https.get({ host, port, path, agent: false, ...options });
    const [response] = await once(request, 'response');
    return text(response);
  }
});

describe('a node that goes away', () => {
  it('takes its processes along when it stops, and starts the pods again when it is back', async () => {
    const world = new World();
    await world.start();
    const marker = `marker-${process.pid}-stop`;
    const name = world.run({
      containers: [
        { name: 'c', image: 'test/sh', args: ['sleep 1000'], env: [{ name: 'M', value: marker }] },
      ],
    });
    await world.until('running', () => world.container(name)?.state.running);
    const before = world.pod(name);
    await world.stop();
    assert.deepEqual(processesWith(marker), []);
    assert.ok(world.pod(name));
    await world.start();
    await world.until(
      'running again',
      () => world.container(name)?.restartCount === 1 && world.container(name)?.state.running,
    );
    assert.equal(world.container(name)?.lastState.terminated?.exitCode, 255);
    assert.equal(world.pod(name)?.status?.podIP, before?.status?.podIP);
    await world.end();
    assert.deepEqual(processesWith(marker), []);
  });

  it('lets go of what had ended before it began', async () => {
    const world = new World();
    await world.start();
    const name = world.run({
      restartPolicy: 'Never',
      containers: [{ name: 'c', image: 'test/sh', args: ['exit 0'] }],
    });
    await world.until('succeeded', () => world.pod(name)?.status?.phase === 'Succeeded');
    await world.stop();
    world.api.deletePod(`default/${name}`);
    world.api.fail('delete', 1, 409);
    await world.start();
    await world.until('gone', () => !world.pod(name));
    await world.end();
  });

  it('leaves nothing behind when it is killed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sn-'));
    const marker = `marker-${process.pid}-kill`;
    const code = `
      import { startProcess } from ${JSON.stringify(new URL('./container-process.ts', import.meta.url).href)};
      const env = { PATH: process.env.PATH, M: process.argv[1] };
      startProcess({ command: ['sh', '-c', 'trap "" TERM; sleep 1000 & sleep 1000; sleep 1000'], env, cwd: '/', onOutput() {} });
      setInterval(() => {}, 1000);
      console.log('up');
    `;
    const node: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', code, marker], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    assert.ok(node.stdout);
    await once(node.stdout, 'data');
    const world = new World();
    await world.until('children', () => processesWith(marker).length >= 5);
    node.kill('SIGKILL');
    await world.until('all dead', () => processesWith(marker).length === 0);
    await world.end();
    rmSync(folder, { recursive: true });
  });
});
