import { KubeClient } from '../../../../kube-client/client.ts';
import { loadConnection } from '../../../../kube-client/connection.ts';
import { isNotFound } from '../../../../kube-client/errors.ts';
import { Informer } from '../../../../kube-client/informer.ts';
import { resources } from '../../../../kube-client/resources.ts';
import { timestamp } from '../deployment/status.ts';
import type { Pod, Taint } from '../machinery/kinds.ts';

export interface HollowNodeOptions {
  readonly kubeconfig: string;
  readonly name: string;
  readonly capacity: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  /** First two numbers of its pods' addresses, such as `10.244`. */
  readonly prefix?: string;
}

/**
 * For tests of controllers: a node whose pods run nothing. A bound pod is at once running and ready, unless its
 * annotation `test/ready` says `false`; a deleted one is gone at once. With `test/exit: "0"` or another code it has ended.
 */
export async function startHollowNode(options: HollowNodeOptions): Promise<() => Promise<void>> {
  const connection = loadConnection({ kubeconfig: options.kubeconfig });
  const client = new KubeClient(connection, { userAgent: 'hollow-node' });
  const now = () => timestamp(Date.now());
  const { name, capacity } = options;
  const prefix = options.prefix ?? '10.244';
  await client.create(resources.nodes, undefined, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...options.labels } },
    spec: { taints: options.taints ?? [] },
  });
  await client.patch(
    resources.nodes,
    undefined,
    name,
    {
      status: {
        capacity,
        allocatable: capacity,
        conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: now(), lastTransitionTime: now() }],
      },
    },
    { type: 'strategic', subresource: 'status' },
  );
  const pods = new Informer<Pod>(client, resources.pods, { fieldSelector: `spec.nodeName=${name}` });
  let serial = 0;
  const quietly = (work: Promise<unknown>) =>
    work.catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  const unsubscribe = pods.subscribe(({ now: pod }) => {
    if (pod === undefined) return;
    const { namespace = '', name: podName = '', deletionTimestamp, annotations } = pod.metadata;
    if (deletionTimestamp !== undefined) {
      void quietly(client.delete(resources.pods, namespace, podName, { gracePeriodSeconds: 0 }));
      return;
    }
    const exit = annotations?.['test/exit'];
    const ready = exit === undefined && annotations?.['test/ready'] !== 'false';
    const phase = exit === undefined ? 'Running' : exit === '0' ? 'Succeeded' : 'Failed';
    const before = pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    if (pod.status?.phase === phase && before === (ready ? 'True' : 'False')) return;
    serial += 1;
    const status = ready ? 'True' : 'False';
    const podIP = pod.status?.podIP ?? `${prefix}.${serial >> 8}.${serial & 255}`;
    const body = {
      status: {
        phase,
        podIP,
        podIPs: [{ ip: podIP }],
        startTime: now(),
        conditions: ['Initialized', 'PodScheduled', 'Ready', 'ContainersReady'].map((type) => ({
          type,
          status: type === 'Ready' || type === 'ContainersReady' ? status : 'True',
          lastTransitionTime: now(),
        })),
      },
    };
    void quietly(
      client.patch(resources.pods, namespace, podName, body, { type: 'strategic', subresource: 'status' }),
    );
  });
  pods.start();
  await pods.synced;
  return async () => {
    unsubscribe();
    await pods.stop();
    await connection.close?.();
  };
}
