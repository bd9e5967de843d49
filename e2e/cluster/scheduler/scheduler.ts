import { isConflict, isNotFound } from '../../../kube-client/errors.ts';
import { resources } from '../../../kube-client/resources.ts';
import { timestamp } from '../controllers/deployment/status.ts';
import type { Context, Controller } from '../controllers/machinery/context.ts';
import { conditionOf, isFinished, type Node, type Pod } from '../controllers/machinery/kinds.ts';
import { matches } from '../controllers/machinery/selector.ts';
import { type Decision, pass } from './pass.ts';

/**
 * The scheduler: binds pods to nodes. All pods that wait are looked at together (key `all`), so that the most
 * important comes first and what one takes is gone for the next; events that come in meanwhile lead to one more look.
 */
export function scheduler(context: Context): Controller {
  const { client, caches, events, now } = context;
  const assumed = new Map<string, string>();
  /** Pods that fit nowhere, and won't until something changes; by UID. */
  const parked = new Set<string>();
  let parkedSeekCompany = false;
  /** Counts how often all were looked at afresh, so that a look that was overtaken parks nobody. */
  let epoch = 0;

  function unpark(): void {
    parked.clear();
    parkedSeekCompany = false;
    epoch += 1;
  }

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
        const news = newsOf(pod, before);
        // A pod placed by us takes room; only one that others want to be near can help them.
        const ours = pod !== undefined && before !== undefined && isPlaced(pod) && !isPlaced(before);
        if (news === 'room' && !(ours && !parkedSeekCompany)) unpark();
        if (news === undefined) return;
        parked.delete(uid);
        enqueue('all');
      }),
      caches.nodes.subscribe(({ now: node, before }) => {
        if (nodeKey(node) === nodeKey(before)) return;
        unpark();
        enqueue('all');
      }),
    ],
    async visit() {
      const looked = epoch;
      const decisions = pass({
        nodes: caches.nodes.list(),
        pods: caches.pods.list(),
        namespace: (name) => caches.namespaces.get(name),
        assumed,
        parked,
        isProtected,
      });
      const results = await Promise.allSettled(decisions.map(act));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      if (epoch !== looked) return undefined;
      for (const decision of decisions) {
        if (decision.kind !== 'refuse' || decision.nominate !== undefined) continue;
        parked.add(decision.pod.metadata.uid ?? '');
        parkedSeekCompany ||= decision.pod.spec.affinity?.podAffinity !== undefined;
      }
      return undefined;
    },
  };
}

/**
 * What a pod's change means: `room`, pods that didn't fit may fit now; `pod`, it asks for a node itself; or nothing,
 * as what nodes report of pods that run. What can change of a pod's spec is only what is looked at here.
 */
function newsOf(
  pod: Readonly<Pod> | undefined,
  before: Readonly<Pod> | undefined,
): 'room' | 'pod' | undefined {
  if (pod === undefined) return 'room';
  if (before === undefined) return isPlaced(pod) ? 'room' : 'pod';
  if (before.metadata.uid !== pod.metadata.uid) return 'room';
  const waits = (one: Readonly<Pod>) => [
    one.spec.schedulingGates?.length ?? 0,
    one.spec.tolerations?.length ?? 0,
  ];
  if (String(waits(pod)) !== String(waits(before))) return 'room';
  const facts = (one: Readonly<Pod>) => [
    one.metadata.deletionTimestamp !== undefined,
    isFinished(one),
    JSON.stringify(one.metadata.labels ?? {}),
  ];
  return String(facts(pod)) === String(facts(before)) && isPlaced(pod) === isPlaced(before)
    ? undefined
    : 'room';
}

function isPlaced(pod: Readonly<Pod>): boolean {
  return Boolean(pod.spec.nodeName);
}

function nodeKey(node: Readonly<Node> | undefined): string {
  return node === undefined
    ? ''
    : JSON.stringify([node.metadata.labels, node.spec, node.status?.allocatable ?? node.status?.capacity]);
}
