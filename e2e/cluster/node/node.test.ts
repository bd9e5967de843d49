/** Real processes under a fake API. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { resources } from '../../../kube-client/resources.ts';
import { addressesOf } from './addresses.ts';
import { type FakeApi, fakeApi, podObject } from './fake-api.ts';
import type { Image } from './images.ts';
import { type RunningNode, startNode } from './node.ts';
import type { Container, Pod, PodSpec } from './pod.ts';
import { podKubeconfigOf } from './pod-kubeconfig.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const script = (code: string): Image => ({ entrypoint: [process.execPath, '-e', code] });

const server = `
const http = require('node:http');
let ready = process.env.READY !== 'no';
http.createServer((request, response) => {
  if (request.url === '/unready') ready = false;
  if (request.url === '/ready') response.statusCode = ready ? 200 : 503;
  if (request.url === '/live') response.statusCode = process.env.LIVE === 'no' ? 500 : 200;
  response.end(JSON.stringify(process.env));
}).listen(8080, process.env.SLUICE_BIND_ADDRESS);
process.on('SIGTERM', () => { console.log('got SIGTERM'); process.exit(0); });
`;

const images = {
  'test/server': script(server),
  'test/env': script(
    'console.log(JSON.stringify(process.env)); console.log(JSON.stringify(process.argv.slice(1)))',
  ),
  'test/sh': { entrypoint: ['/bin/sh', '-c'] },
};

interface EventObject {
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly involvedObject: { readonly name: string };
}

describe('a node', () => {
  let api: FakeApi;
  let node: RunningNode;
  let folder: string;
  let counter = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sn-'));
    api = fakeApi();
    node = await startNode({
      client: { api },
      name: 'n1',
      capacity: { cpu: '4', memory: '4Gi', pods: '50', 'nvidia.com/gpu': '2' },
      podAddresses: addressesOf('127.77.0.0/16'),
      rootDir: folder,
      address: '127.77.255.254',
      kubeconfig: podKubeconfigOf('https://127.0.0.1:6443', 'CA'),
      images,
      logger: silent,
      policy: {
        restartBackOff: { initial: 200, max: 2_000 },
        imageBackOff: { initial: 200, max: 2_000 },
        retry: 100,
        volumeRefresh: 100,
        memoryPeriod: 50,
      },
    });
  });

  after(async () => {
    await node.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function run(spec: Partial<PodSpec> & { containers: readonly Container[] }): string {
    const name = `p${++counter}`;
    api.put(resources.pods, podObject(name, { nodeName: 'n1', terminationGracePeriodSeconds: 5, ...spec }));
    return name;
  }

  function pod(name: string): Pod | undefined {
    return api.all<Pod>(resources.pods).find(({ metadata }) => metadata.name === name);
  }

  function condition(name: string, type: string): string | undefined {
    return pod(name)?.status?.conditions?.find((item) => item.type === type)?.status;
  }

  function reasons(name: string): string[] {
    return api
      .all<EventObject>(resources.coreEvents)
      .filter(({ involvedObject }) => involvedObject.name === name)
      .map(({ reason, message }) => `${reason}: ${message}`);
  }

  async function until(what: string, holds: () => unknown): Promise<void> {
    const deadline = Date.now() + 15_000;
    while (!holds()) {
      assert.ok(
        Date.now() < deadline,
        `${what}: ${JSON.stringify(api.all<Pod>(resources.pods).map((p) => p.status))}`,
      );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  it('passes what the pod says: env, downward values, mount paths, a kubeconfig', async () => {
    api.put(resources.configmaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings', namespace: 'default' },
      data: { color: 'green', 'a.txt': 'hello' },
    });
    api.put(resources.services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kubernetes', namespace: 'default' },
      spec: { clusterIP: '127.96.0.1', ports: [{ name: 'https', port: 443 }] },
    });
    const name = run({
      restartPolicy: 'Never',
      volumes: [
        { name: 'data', emptyDir: {} },
        { name: 'settings', configMap: { name: 'settings' } },
        { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
      ],
      containers: [
        {
          name: 'c',
          image: 'test/env',
          args: ['/data/x', '--dir=/data', '/database', '$(COLOR)'],
          env: [
            { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'GREETING', value: 'hi $(POD_NAME) $$(POD_NAME) $(NOBODY)' },
            { name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } },
            { name: 'CPUS', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
            { name: 'FILE', value: '/etc/settings/a.txt' },
          ],
          resources: { limits: { cpu: '1500m', 'nvidia.com/gpu': '1' } },
          volumeMounts: [
            { name: 'data', mountPath: '/data' },
            { name: 'settings', mountPath: '/etc/settings' },
            { name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
          ],
        },
      ],
    });
    await until('succeeded', () => pod(name)?.status?.phase === 'Succeeded');
    const [line = '', args = ''] = logOf(name)
      .split('\n')
      .map((text) => text.split(' ').slice(3).join(' '));
    const env = JSON.parse(line) as Record<string, string>;
    assert.equal(env['GREETING'], `hi ${name} $(POD_NAME) $(NOBODY)`);
    assert.equal(env['COLOR'], 'green');
    assert.equal(env['CPUS'], '2');
    assert.equal(readFileSync(env['FILE'] ?? '', 'utf8'), 'hello');
    assert.equal(env['KUBERNETES_SERVICE_HOST'], '127.96.0.1');
    assert.match(env['NVIDIA_VISIBLE_DEVICES'] ?? '', /^GPU-[0-9a-f-]{36}$/);
    const kubeconfig = JSON.parse(readFileSync(env['KUBECONFIG'] ?? '', 'utf8'));
    assert.match(readFileSync(kubeconfig.users[0].user.tokenFile, 'utf8'), /^token-\d+$/);
    assert.deepEqual(
      (JSON.parse(args) as string[]).map((arg) => arg.replace(folder, '').replace(/\/pods\/[^/]+/, '')),
      ['/v/data/x', '--dir=/v/data', '/database', 'green'],
    );
    api.deletePod(`default/${name}`);
    await until('gone', () => !pod(name));
  });

  function logOf(name: string, container = 'c', run = 0): string {
    const uid = pod(name)?.metadata.uid ?? '';
    return readFileSync(join(folder, 'pods', uid.slice(0, 13), 'c', container, `${run}.log`), 'utf8');
  }

  it('registers and holds a lease', () => {
    const [registered] = api.all<{ status: { allocatable: object } }>(resources.nodes);
    assert.deepEqual(registered?.status.allocatable, {
      cpu: '4',
      memory: '4Gi',
      pods: '50',
      'nvidia.com/gpu': '2',
    });
    assert.equal(api.all(resources.leases).length, 1);
  });

  it('runs a server, tells its readiness, and takes it down', async () => {
    const probe = { httpGet: { path: '/ready', port: 'http' }, periodSeconds: 1, failureThreshold: 1 };
    const name = run({
      containers: [
        {
          name: 'c',
          image: 'registry.example:5000/test/server:1',
          ports: [{ name: 'http', containerPort: 8080 }],
          readinessProbe: probe,
        },
      ],
    });
    await until('ready', () => condition(name, 'Ready') === 'True');
    const address = pod(name)?.status?.podIP;
    assert.match(address ?? '', /^127\.77\./);
    assert.equal(pod(name)?.status?.phase, 'Running');
    const answer = await fetch(`http://${address}:8080/env`);
    const environment = (await answer.json()) as Record<string, string>;
    assert.deepEqual(
      Object.keys(environment)
        .filter((key) => !['PWD', 'OLDPWD', '_'].includes(key) && !key.startsWith('KUBERNETES_'))
        .sort(),
      ['HOME', 'HOSTNAME', 'LANG', 'PATH', 'SLUICE_BIND_ADDRESS', 'TMPDIR'],
    );
    await fetch(`http://${address}:8080/unready`);
    await until('unready', () => condition(name, 'Ready') === 'False');
    assert.ok(
      reasons(name).includes('Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503'),
    );
    api.deletePod(`default/${name}`);
    await until('gone', () => !pod(name));
    assert.ok(reasons(name).includes('Killing: Stopping container c'));
    await assert.rejects(fetch(`http://${address}:8080/env`));
  });

  it('restarts what crashes, and backs off', async () => {
    const name = run({
      containers: [{ name: 'c', image: 'test/sh', args: ['echo bye > /dev/termination-log-x; exit 3'] }],
    });
    await until(
      'back-off',
      () => pod(name)?.status?.containerStatuses?.[0]?.state.waiting?.reason === 'CrashLoopBackOff',
    );
    const status = pod(name)?.status?.containerStatuses?.[0];
    assert.match(
      status?.state.waiting?.message ?? '',
      /^back-off 200ms restarting failed container=c pod=p\d+_default\(/,
    );
    assert.equal(status?.lastState.terminated?.exitCode, 3);
    assert.equal(status?.lastState.terminated?.reason, 'Error');
    await until('third restart', () => (pod(name)?.status?.containerStatuses?.[0]?.restartCount ?? 0) >= 3);
    assert.equal(pod(name)?.status?.phase, 'Running');
    api.deletePod(`default/${name}`);
    await until('gone', () => !pod(name));
  });
});
