import { isNotFound } from '../../../../kube-client/errors.ts';
import { splitKey } from '../../../../kube-client/object.ts';
import { resources } from '../../../../kube-client/resources.ts';
import { timestamp } from '../deployment/status.ts';
import type { Context, Controller } from '../machinery/context.ts';
import { conditionOf, isFinished, isReady, type Node, type Pod } from '../machinery/kinds.ts';
import { evictionTime, staleConditions, taintsOf } from './decide.ts';

/** Silence after which a node counts as lost: four missed Leases of the usual ten seconds. */
export const defaultGraceMs = 40_000;

/**
 * Watches over nodes: one that falls silent becomes Unknown, what ails it becomes taints, its pods no longer count as
 * ready, and those that don't tolerate it are sent away.
 */
export function nodeLifecycleController(context: Context, graceMs: number = defaultGraceMs): Controller {
  const { client, caches, events, now } = context;

  function seenAt(node: Readonly<Node>): number {
    const renewed = caches.leases.get(`kube-node-lease/${node.metadata.name}`)?.spec?.renewTime;
    const heartbeat = conditionOf(node.status?.conditions, 'Ready')?.lastHeartbeatTime;
    const times = [renewed, heartbeat, node.metadata.creationTimestamp].map((time) => Date.parse(time ?? ''));
    return Math.max(...times.filter((time) => !Number.isNaN(time)));
  }

  async function refreshed(node: Readonly<Node>): Promise<Readonly<Node>> {
    const name = node.metadata.name ?? '';
    let latest = node;
    const conditions = staleConditions(node, seenAt(node), graceMs, now());
    if (conditions !== undefined) {
      latest = caches.nodes.wrote(
        await client.patch<Node>(
          resources.nodes,
          undefined,
          name,
          { metadata: { resourceVersion: node.metadata.resourceVersion }, status: { conditions } },
          { type: 'merge', subresource: 'status' },
        ),
      );
      events.record(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
    }
    const taints = taintsOf(latest, now());
    if (taints !== undefined) {
      latest = caches.nodes.wrote(
        await client.patch<Node>(
          resources.nodes,
          undefined,
          name,
          { metadata: { resourceVersion: latest.metadata.resourceVersion }, spec: { taints } },
          { type: 'merge' },
        ),
      );
    }
    return latest;
  }

  async function markNotReady(pod: Readonly<Pod>): Promise<void> {
    const { namespace = '', name = '' } = pod.metadata;
    const condition = { type: 'Ready', status: 'False', lastTransitionTime: timestamp(now()) };
    await quietly(
      client.patch(
        resources.pods,
        namespace,
        name,
        { status: { conditions: [condition] } },
        { type: 'strategic', subresource: 'status' },
      ),
    );
    events.record(pod, 'Warning', 'NodeNotReady', 'Node is not ready');
  }

  async function evict(pod: Readonly<Pod>): Promise<void> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    events.record(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${namespace}/${name}`);
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: timestamp(now()),
    };
    await quietly(
      client.patch(
        resources.pods,
        namespace,
        name,
        { status: { conditions: [condition] } },
        { type: 'strategic', subresource: 'status' },
      ),
    );
    await quietly(client.delete(resources.pods, namespace, name, { preconditions: { uid } }));
    caches.pods.deleted(pod);
  }

  return {
    name: 'node-lifecycle',
    watch: (enqueue) => [
      caches.nodes.subscribe(({ key }) => enqueue(key)),
      caches.leases.subscribe(({ key }) => enqueue(splitKey(key).name)),
      caches.pods.subscribe(({ now: pod, before }) => {
        const node = pod?.spec.nodeName;
        if (node && (before?.spec.nodeName !== node || isReady(pod) !== isReady(before))) enqueue(node);
      }),
    ],
    async visit(name) {
      const known = caches.nodes.get(name);
      if (known === undefined || known.metadata.deletionTimestamp !== undefined) return undefined;
      const node = await refreshed(known);
      const taints = node.spec?.taints ?? [];
      const lost = conditionOf(node.status?.conditions, 'Ready')?.status === 'Unknown';
      let next = lost ? Number.POSITIVE_INFINITY : seenAt(node) + graceMs + 1 - now();
      for (const pod of caches.pods.byIndex('node', name)) {
        if (isFinished(pod)) continue;
        if (lost && isReady(pod)) await markNotReady(pod);
        if (pod.metadata.deletionTimestamp !== undefined) continue;
        const due = evictionTime(pod, taints, now());
        if (due === undefined) continue;
        if (due <= now()) await evict(pod);
        else next = Math.min(next, due - now());
      }
      return Number.isFinite(next) ? Math.max(next, 100) : undefined;
    },
  };
}

async function quietly(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
