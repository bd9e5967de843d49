/** A node under the embedded API server. For tests of this room. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeClient } from '../../../kube-client/client.ts';
import { type Connection, connect, loadConnection } from '../../../kube-client/connection.ts';
import { resources } from '../../../kube-client/resources.ts';
import { type ApiServer, startApiServer } from '../api/server.ts';
import { createAuthority } from '../assets/certificates.ts';
import { addressesOf } from './addresses.ts';
import { type RunningNode, startNode } from './node.ts';
import { podKubeconfigOf } from './pod-kubeconfig.ts';
import type { PodPolicy } from './policy.ts';
import { silent, testImages } from './testing.ts';

export interface Served {
  readonly server: ApiServer;
  /** With all rights. */
  readonly client: KubeClient;
  /** Whom the node's requests are from. */
  readonly user: string;
  readonly folder: string;
  stop(): Promise<void>;
}

/** @param block third octet of the addresses that the test takes: 127.`block`.0.0/16 and the one after it */
export async function serveNode(block: number, policy: Partial<PodPolicy> = {}): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'sn-'));
  const user = 'system:node:n1';
  const serviceCidr = `127.${block}.0.0/16`;
  const server = await startApiServer({
    host: '127.0.0.1',
    port: 0,
    dataDir: join(folder, 'api'),
    serviceCidr,
  });
  const admin = loadConnection({ kubeconfig: server.adminKubeconfig });
  const own: Connection = connect({
    server: server.url,
    ca: { data: server.caPem },
    token: { data: server.tokenFor(user) },
  });
  const client = new KubeClient(admin);
  // What controllers would have made by now.
  const namespace = 'default';
  await client.create(resources.serviceaccounts, namespace, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'default', namespace },
  });
  await client.create(resources.configmaps, namespace, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-root-ca.crt', namespace },
    data: { 'ca.crt': server.caPem },
  });
  const node: RunningNode = await startNode({
    client: new KubeClient(own),
    name: 'n1',
    capacity: { cpu: '4', memory: '4Gi', pods: '50' },
    podAddresses: addressesOf(`127.${block + 1}.0.0/24`),
    rootDir: join(folder, 'n1'),
    address: `127.${block + 1}.1.1`,
    kubeconfig: podKubeconfigOf(server.url, server.caPem),
    images: testImages,
    serving: { ...createAuthority('kubelets').issue({ commonName: 'n1' }), clientCa: server.caPem },
    logger: silent,
    policy,
  });
  return {
    server,
    client,
    user,
    folder,
    async stop() {
      await node.stop();
      await Promise.all([admin.close?.(), own.close?.()]);
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
