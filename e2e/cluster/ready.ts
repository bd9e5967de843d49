import { KubeClient } from '../../kube-client/client.ts';
import { loadConnection } from '../../kube-client/connection.ts';
import { Informer } from '../../kube-client/informer.ts';
import type { KubeObject } from '../../kube-client/object.ts';
import { type Resource, resources } from '../../kube-client/resources.ts';
import { conditionOf, type Node } from './controllers/machinery/kinds.ts';

/**
 * Waits until pods can be created and run: the default service account is there, and all nodes are ready and free of the
 * taints that say otherwise.
 * @throws Error naming what is missing after `timeoutMs`.
 */
export async function untilReady(
  kubeconfig: string,
  nodes: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const connection = loadConnection({ kubeconfig });
  const client = new KubeClient(connection);
  try {
    await Promise.all([
      until<KubeObject>(
        client,
        resources.serviceaccounts,
        (accounts) => accounts.some(({ metadata }) => metadata.name === 'default'),
        'the default service account',
        timeoutMs,
        'default',
      ),
      until<Node>(
        client,
        resources.nodes,
        (seen) => nodes.every((name) => seen.some((node) => node.metadata.name === name && isUsable(node))),
        `nodes ${nodes.join(', ')}`,
        timeoutMs,
      ),
    ]);
  } finally {
    await connection.close?.();
  }
}

function isUsable(node: Readonly<Node>): boolean {
  const ready = conditionOf(node.status?.conditions, 'Ready')?.status === 'True';
  return ready && !node.spec?.taints?.some(({ key }) => key.startsWith('node.kubernetes.io/'));
}

async function until<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  done: (objects: readonly Readonly<T>[]) => boolean,
  what: string,
  timeoutMs: number,
  namespace?: string,
): Promise<void> {
  const informer = new Informer<T>(client, resource, namespace === undefined ? {} : { namespace });
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), timeoutMs);
      const check = () => {
        if (done(informer.list())) resolve();
      };
      informer.subscribe(check);
      // An empty collection makes no event.
      informer.synced.then(check, reject);
      informer.start();
    });
  } finally {
    clearTimeout(timer);
    await informer.stop();
  }
}
