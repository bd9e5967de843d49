/** The node under the embedded API server: what the fake API promises, the real one keeps. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { KubeClient } from '../../../kube-client/client.ts';
import { isNotFound } from '../../../kube-client/errors.ts';
import { pathOf, resources } from '../../../kube-client/resources.ts';
import type { Pod, PodSpec } from './pod.ts';
import { type ServiceProxy, startServiceProxy } from './service-proxy.ts';
import { silent } from './testing.ts';
import { type Served, serveNode } from './testing-server.ts';

describe('a node under the embedded API server', () => {
  const namespace = 'default';
  let served: Served;
  let client: KubeClient;
  let proxy: ServiceProxy;

  before(async () => {
    served = await serveNode(79);
    client = served.client;
    proxy = await startServiceProxy({ client, logger: silent });
  });

  after(async () => {
    await proxy.stop();
    await served.stop();
  });

  async function run(name: string, spec: PodSpec): Promise<void> {
    await client.create(resources.pods, namespace, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      spec: { nodeName: 'n1', terminationGracePeriodSeconds: 3, ...spec },
    });
  }

  const get = (name: string) => client.get<Pod>(resources.pods, namespace, name);

  async function until<T>(what: string, read: () => Promise<T | undefined>): Promise<T> {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const value = await read();
      if (value !== undefined) return value;
      assert.ok(Date.now() < deadline, `never came: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  const isReady = (pod: Pod) =>
    pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');

  it('shows itself as a node', async () => {
    const shown = await client.get<{ status: { conditions: { type: string; status: string }[] } }>(
      resources.nodes,
      undefined,
      'n1',
    );
    assert.equal(shown.status.conditions.find(({ type }) => type === 'Ready')?.status, 'True');
    await client.get(resources.leases, 'kube-node-lease', 'n1');
  });

  it('runs a pod that speaks with the API server by its own token, logs, and goes', async () => {
    const code = `
      const fs = require('node:fs');
      const config = JSON.parse(fs.readFileSync(process.env.KUBECONFIG, 'utf8'));
      const { cluster } = config.clusters[0];
      const headers = { authorization: 'Bearer ' + fs.readFileSync(config.users[0].user.tokenFile, 'utf8') };
      const ca = Buffer.from(cluster['certificate-authority-data'], 'base64');
      require('node:https').get(cluster.server + '/apis/authentication.k8s.io/v1/selfsubjectreviews', { ca, headers }, (r) => {
        console.log('status', r.statusCode);
        r.resume();
      });
      setInterval(() => {}, 1000);
    `;
    await run('speaker', {
      containers: [{ name: 'c', image: 'test/sh', command: [process.execPath, '-e', code] }],
    });
    const path = `${pathOf(resources.pods, namespace, 'speaker')}/log`;
    const log = await until('log', async () => {
      const pod = await get('speaker');
      if (!isReady(pod)) return undefined;
      return (await (await client.raw('GET', path)).text()) || undefined;
    });
    // Known to the server, though it may not do this: anything but 401.
    assert.match(log, /^status (?!401)\d+\n$/);
    await client.delete(resources.pods, namespace, 'speaker');
    await until('gone', () =>
      get('speaker').then(
        () => undefined,
        (error: unknown) => (isNotFound(error) ? true : undefined),
      ),
    );
  });

  it('changes readiness, merges conditions of others, and serves behind a Service', async () => {
    await run('web', {
      readinessGates: [{ conditionType: 'example.com/gate' }],
      containers: [
        {
          name: 'c',
          image: 'test/server',
          readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    const address = await until('containers ready', async () => {
      const { status } = await get('web');
      return status?.containerStatuses?.[0]?.ready ? status.podIP : undefined;
    });
    const gate = { type: 'example.com/gate', status: 'True', lastTransitionTime: new Date().toISOString() };
    await client.patch(
      resources.pods,
      namespace,
      'web',
      { status: { conditions: [gate] } },
      { type: 'strategic', subresource: 'status' },
    );
    await until('ready', async () => (isReady(await get('web')) ? true : undefined));
    const service = await client.create<{ spec: { clusterIP: string } }>(resources.services, namespace, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    });
    await client.create(resources.endpointslices, namespace, {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'web-1', namespace, labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    });
    const call = () =>
      fetch(`http://${service.spec.clusterIP}/unready`).then(
        (answer) => answer.status,
        () => undefined,
      );
    assert.equal(await until('served', call), 200);
    await until('unready', async () => (isReady(await get('web')) ? undefined : true));
    const { status } = await get('web');
    assert.ok(status?.conditions?.some(({ type }) => type === 'example.com/gate'));
    assert.equal(status?.conditions?.find(({ type }) => type === 'Ready')?.reason, 'ContainersNotReady');
    const events = await client.list<{ reason: string; message: string; involvedObject: { name: string } }>(
      resources.coreEvents,
      { namespace },
    );
    assert.ok(
      events.items.some(
        ({ reason, involvedObject }) => reason === 'Unhealthy' && involvedObject.name === 'web',
      ),
    );
  });
});
