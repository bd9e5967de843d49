import { isConflict, isNotFound } from '../../../kube-client/errors.ts';
import { resources } from '../../../kube-client/resources.ts';
import { timestamp } from '../controllers/deployment/status.ts';
import type { Context, Controller } from '../controllers/machinery/context.ts';
import { conditionOf, type Node, type Pod } from '../controllers/machinery/kinds.ts';
import { matches } from '../controllers/machinery/selector.ts';
import { type Decision, pass } from './pass.ts';

/**
 * The scheduler: binds pods to nodes. All pods that wait are looked at together (key `all`), so that the most
 * important comes first and what one takes is gone for the next; events that come in meanwhile lead to one more look.
 */
export function scheduler(context: Context): Controller {
  const { client, caches, events, now } = context;
  const assumed = new Map<string, string>();

  async function bind(pod: Readonly<Pod>, node: string): Promise<void> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    assumed.set(uid, node);
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    };
    try {
      await client.create(resources.pods, namespace, binding, { subresource: 'binding', name });
      events.record(pod, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${node}`);
    } catch (error) {
      assumed.delete(uid);
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  async function setScheduled(
    pod: Readonly<Pod>,
    reason: string,
    message: string,
    nominate: string | undefined,
  ): Promise<void> {
    const before = conditionOf(pod.status?.conditions, 'PodScheduled');
    const same = before?.status === 'False' && before.reason === reason && before.message === message;
    if (same && pod.status?.nominatedNodeName === nominate) return;
    const { namespace = '', name = '' } = pod.metadata;
    const lastTransitionTime =
      before?.status === 'False' ? (before.lastTransitionTime ?? timestamp(now())) : timestamp(now());
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason,
      message,
      lastProbeTime: null,
      lastTransitionTime,
    };
    const status = { conditions: [condition], nominatedNodeName: nominate ?? null };
    try {
      const body = { status };
      caches.pods.wrote(
        await client.patch<Pod>(resources.pods, namespace, name, body, {
          type: 'strategic',
          subresource: 'status',
        }),
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function evict(preemptor: Readonly<Pod>, victim: Readonly<Pod>): Promise<void> {
    const { namespace = '', name = '', uid = '' } = victim.metadata;
    const message = 'default-scheduler: preempting to accommodate a higher priority pod';
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'PreemptionByScheduler',
      message,
      lastTransitionTime: timestamp(now()),
    };
    try {
      const body = { status: { conditions: [condition] } };
      await client.patch(resources.pods, namespace, name, body, { type: 'strategic', subresource: 'status' });
      await client.delete(resources.pods, namespace, name, { preconditions: { uid } });
      caches.pods.deleted(victim);
      const { uid: by } = preemptor.metadata;
      const on = victim.spec.nodeName ?? '';
      events.record(victim, 'Normal', 'Preempted', `Preempted by pod ${by} on node ${on}`);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function act(decision: Decision): Promise<void> {
    const { pod } = decision;
    switch (decision.kind) {
      case 'bind':
        await bind(pod, decision.node);
        return;
      case 'gated':
        await setScheduled(
          pod,
          'SchedulingGated',
          'Scheduling is blocked due to non-empty scheduling gates',
          undefined,
        );
        return;
      case 'refuse': {
        const before = conditionOf(pod.status?.conditions, 'PodScheduled');
        await setScheduled(pod, 'Unschedulable', decision.message, decision.nominate);
        if (before?.message !== decision.message) {
          events.record(pod, 'Warning', 'FailedScheduling', decision.message);
        }
        for (const victim of decision.victims) await evict(pod, victim);
        return;
      }
    }
  }

  function isProtected(pod: Readonly<Pod>): boolean {
    return caches.disruptionBudgets
      .byIndex('namespace', pod.metadata.namespace ?? '')
      .some(
        ({ spec, status }) =>
          matches(spec.selector, pod.metadata.labels) && (status?.disruptionsAllowed ?? 0) <= 0,
      );
  }

  return {
    name: 'scheduler',
    workers: 1,
    watch: (enqueue) => [
      caches.pods.subscribe(({ now: pod, before }) => {
        const uid = (pod ?? before)?.metadata.uid ?? '';
        if (pod === undefined || pod.metadata.uid !== before?.metadata.uid || pod.spec.nodeName) {
          assumed.delete(uid);
        }
        if (isNews(pod, before)) enqueue('all');
      }),
      caches.nodes.subscribe(({ now: node, before }) => {
        if (nodeKey(node) !== nodeKey(before)) enqueue('all');
      }),
    ],
    async visit() {
      const decisions = pass({
        nodes: caches.nodes.list(),
        pods: caches.pods.list(),
        namespace: (name) => caches.namespaces.get(name),
        assumed,
        isProtected,
      });
      const results = await Promise.allSettled(decisions.map(act));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return undefined;
    },
  };
}

/** Whether a pod's change can change where pods fit: not what a node reports of a pod that runs. */
function isNews(pod: Readonly<Pod> | undefined, before: Readonly<Pod> | undefined): boolean {
  const key = (one: Readonly<Pod> | undefined) =>
    one === undefined
      ? ''
      : JSON.stringify([
          one.metadata.uid,
          one.metadata.labels,
          one.metadata.deletionTimestamp !== undefined,
          one.spec,
          one.status?.phase === 'Succeeded' || one.status?.phase === 'Failed',
        ]);
  return key(pod) !== key(before);
}

function nodeKey(node: Readonly<Node> | undefined): string {
  return node === undefined
    ? ''
    : JSON.stringify([node.metadata.labels, node.spec, node.status?.allocatable ?? node.status?.capacity]);
}
