/** One cluster for a run of scenarios or for the demo: started or joined, with clients for it, and ended at the end. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { KubeClient } from '../../../kube-client/client.ts';
import { type Connection, loadConnection } from '../../../kube-client/connection.ts';
import { resources } from '../../../kube-client/resources.ts';
import { type Cluster, startCluster } from '../../cluster/cluster.ts';
import type { Clients } from '../../tools/clients.ts';
import { clients, tools } from '../../tools/tools.ts';
import { Kubectl } from './kubectl.ts';

export const repository = fileURLToPath(new URL('../../../', import.meta.url));

/** Images of the chart's defaults; on a cluster with a container runtime they must be named, since it pulls them. */
export const images = {
  operator: process.env['SLUICE_OPERATOR_IMAGE'] ?? 'sluice/operator:0.1.0',
  runtime: process.env['SLUICE_RUNTIME_IMAGE'] ?? 'sluice/runtime:0.1.0',
};

export interface Session {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  readonly shell: Kubectl;
  /** Creates a namespace whose name begins with `prefix`, in which only restricted pods may run. */
  namespace(prefix: string): Promise<string>;
  /** Ends everything that the session started. */
  close(): Promise<void>;
}

/** Starts the cluster that the environment asks for (see `startCluster`), or joins it. */
export async function openSession(progress: (line: string) => void): Promise<Session> {
  if (process.env['SLUICE_CLUSTER'] === 'external') {
    return session(await startCluster({ progress }), await clients(progress));
  }
  const { haproxy, ...programs } = await tools(progress);
  return session(await startCluster({ progress, haproxy }), programs);
}

function session(cluster: Cluster, programs: Clients): Session {
  const { kubeconfig } = cluster;
  const connection: Connection = loadConnection({ kubeconfig });
  const client = new KubeClient(connection, { userAgent: 'sluice-scenarios' });
  const shell = new Kubectl(programs, kubeconfig);
  return {
    cluster,
    client,
    shell,
    namespace: async (prefix) => {
      const name = `${prefix}-${randomBytes(3).toString('hex')}`;
      await client.create(resources.namespaces, undefined, {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
      });
      // Pods are refused until the account that they run as is there.
      await shell.kubectl(['wait', '--for=create', 'serviceaccount/default', '-n', name, '--timeout=30s']);
      return name;
    },
    close: async () => {
      await connection.close?.();
      await cluster.stop();
    },
  };
}
