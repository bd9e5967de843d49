import { isNotFound, KubeError } from '../../../../kube-client/errors.ts';
import { type KubeObject, keyOf } from '../../../../kube-client/object.ts';
import { resources } from '../../../../kube-client/resources.ts';
import { adoptPatch, claim, controllerReference, releasePatch } from '../machinery/claim.ts';
import type { Context, Controller } from '../machinery/context.ts';
import type { Pod, ReplicaSet } from '../machinery/kinds.ts';
import { sameStatus } from '../machinery/same-status.ts';
import { isEmpty } from '../machinery/selector.ts';
import { decide, statusOf } from './decide.ts';

type Failure = { reason: string; message: string };

/** Keeps as many pods of every ReplicaSet as it asks for, and its status. */
export function replicaSetController(context: Context): Controller {
  const { client, caches, events, now } = context;

  function enqueueOwner(pod: Readonly<KubeObject>, enqueue: (key: string) => void): void {
    const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller === true);
    const { namespace } = pod.metadata;
    if (owner?.kind === 'ReplicaSet') enqueue(`${namespace}/${owner.name}`);
    else if (owner === undefined) {
      for (const set of caches.replicaSets.byIndex('namespace', namespace ?? '')) enqueue(keyOf(set));
    }
  }

  async function claimPods(set: Readonly<ReplicaSet>): Promise<Readonly<Pod>[]> {
    const { namespace = '', uid = '' } = set.metadata;
    const candidates = [
      ...caches.pods.byIndex('owner', uid),
      ...caches.pods.byIndex('orphan', namespace).filter((pod) => pod.status?.phase !== 'Failed'),
    ];
    const { owned, adopt, release } = claim(set, set.spec.selector, candidates);
    const pods = [...owned];
    for (const [list, patchOf] of [
      [adopt, adoptPatch],
      [release, releasePatch],
    ] as const) {
      for (const pod of list) {
        const name = pod.metadata.name ?? '';
        const body = patchOf(set, pod);
        const patched = await client.patch<Pod>(resources.pods, namespace, name, body, { type: 'merge' });
        caches.pods.wrote(patched);
        if (list === adopt) pods.push(patched);
      }
    }
    return pods;
  }

  function podOf(set: Readonly<ReplicaSet>): object {
    const { template } = set.spec;
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        generateName: `${set.metadata.name}-`,
        namespace: set.metadata.namespace,
        labels: template.metadata?.labels,
        annotations: template.metadata?.annotations,
        finalizers: template.metadata?.finalizers,
        ownerReferences: [controllerReference(set)],
      },
      spec: template.spec,
    };
  }

  async function create(set: Readonly<ReplicaSet>, count: number): Promise<Failure | undefined> {
    const { namespace = '' } = set.metadata;
    let left = count;
    // Batches double from one, so that a template that nothing accepts costs one refusal and not hundreds.
    for (let batch = 1; left > 0; batch *= 2) {
      const size = Math.min(batch, left);
      left -= size;
      const results = await Promise.allSettled(
        Array.from({ length: size }, async () => {
          const pod = caches.pods.wrote(await client.create<Pod>(resources.pods, namespace, podOf(set)));
          events.record(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
        }),
      );
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) {
        const message = KubeError.from(failed.reason).message;
        events.record(set, 'Warning', 'FailedCreate', `Error creating: ${message}`);
        return { reason: 'FailedCreate', message };
      }
    }
    return undefined;
  }

  async function remove(
    set: Readonly<ReplicaSet>,
    pods: readonly Readonly<Pod>[],
  ): Promise<Failure | undefined> {
    const results = await Promise.allSettled(
      pods.map(async (pod) => {
        const { namespace = '', name = '', uid = '' } = pod.metadata;
        try {
          await client.delete(resources.pods, namespace, name, { preconditions: { uid } });
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
        caches.pods.deleted(pod);
        events.record(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
      }),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) return undefined;
    const message = KubeError.from(failed.reason).message;
    events.record(set, 'Warning', 'FailedDelete', `Error deleting: ${message}`);
    return { reason: 'FailedDelete', message };
  }

  return {
    name: 'replicaset',
    workers: 8,
    watch: (enqueue) => [
      caches.replicaSets.subscribe(({ key }) => enqueue(key)),
      caches.pods.subscribe((event) => {
        for (const pod of [event.now, event.before]) if (pod !== undefined) enqueueOwner(pod, enqueue);
      }),
    ],
    async visit(key) {
      const set = caches.replicaSets.get(key);
      if (set === undefined || isEmpty(set.spec.selector)) return undefined;
      const before = await claimPods(set);
      const plan = decide(set, before);
      const failure =
        plan.create > 0
          ? await create(set, plan.create)
          : plan.remove.length > 0
            ? await remove(set, plan.remove)
            : undefined;
      const pods = caches.pods.byIndex('owner', set.metadata.uid ?? '');
      const { status, requeueAfter } = statusOf(set, pods, failure, now());
      const { namespace = '', name = '' } = set.metadata;
      if (!sameStatus(status, set.status)) {
        const body = { ...set, status };
        caches.replicaSets.wrote(
          await client.replace<ReplicaSet>(resources.replicasets, namespace, name, body, {
            subresource: 'status',
          }),
        );
      }
      if (failure !== undefined) throw new Error(failure.message);
      return requeueAfter;
    },
  };
}
