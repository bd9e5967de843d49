import { isAlreadyExists } from '../../../../kube-client/errors.ts';
import { type KubeObject, keyOf, splitKey } from '../../../../kube-client/object.ts';
import { resources } from '../../../../kube-client/resources.ts';
import { adoptPatch, claim, releasePatch } from '../machinery/claim.ts';
import type { Context, Controller } from '../machinery/context.ts';
import { type Deployment, isFinished, type ReplicaSet } from '../machinery/kinds.ts';
import { sameStatus } from '../machinery/same-status.ts';
import { isEmpty } from '../machinery/selector.ts';
import { decide, type Plan } from './decide.ts';
import { annotations } from './revision.ts';
import { sameTemplate } from './template.ts';

/** Keeps the replica sets of every Deployment as `decide` says, and its status. */
export function deploymentController(context: Context): Controller {
  const { client, caches, events, now } = context;

  function enqueueOwner(object: Readonly<KubeObject>, enqueue: (key: string) => void): void {
    const owner = object.metadata.ownerReferences?.find((reference) => reference.controller === true);
    const { namespace } = object.metadata;
    if (owner?.kind === 'Deployment') enqueue(`${namespace}/${owner.name}`);
    else if (owner === undefined) {
      for (const deployment of caches.deployments.byIndex('namespace', namespace ?? '')) {
        enqueue(keyOf(deployment));
      }
    }
  }

  async function claimSets(deployment: Readonly<Deployment>): Promise<Readonly<ReplicaSet>[]> {
    const { namespace = '', uid = '' } = deployment.metadata;
    const candidates = [
      ...caches.replicaSets.byIndex('owner', uid),
      ...caches.replicaSets.byIndex('orphan', namespace),
    ];
    const { owned, adopt, release } = claim(deployment, deployment.spec.selector, candidates);
    const sets = [...owned];
    for (const set of adopt) {
      const body = adoptPatch(deployment, set);
      const name = set.metadata.name ?? '';
      const adopted = await client.patch<ReplicaSet>(resources.replicasets, namespace, name, body, {
        type: 'merge',
      });
      sets.push(caches.replicaSets.wrote(adopted));
    }
    for (const set of release) {
      const body = releasePatch(deployment, set);
      const name = set.metadata.name ?? '';
      caches.replicaSets.wrote(
        await client.patch<ReplicaSet>(resources.replicasets, namespace, name, body, { type: 'merge' }),
      );
    }
    return sets;
  }

  function oldPodsRun(sets: readonly Readonly<ReplicaSet>[], newest: Readonly<ReplicaSet> | undefined) {
    return sets.some(
      (set) =>
        set !== newest &&
        caches.pods.byIndex('owner', set.metadata.uid ?? '').some((pod) => !isFinished(pod)),
    );
  }

  async function createSet(deployment: Readonly<Deployment>, plan: Plan): Promise<Plan['status']> {
    const wanted = plan.create;
    if (wanted === undefined) return plan.status;
    const { namespace = '', name = '' } = wanted.metadata;
    try {
      caches.replicaSets.wrote(await client.create<ReplicaSet>(resources.replicasets, namespace, wanted));
      const size = wanted.spec.replicas ?? 0;
      if (size > 0) {
        events.record(
          deployment,
          'Normal',
          'ScalingReplicaSet',
          `Scaled up replica set ${name} from 0 to ${size}`,
        );
      }
      return plan.status;
    } catch (error) {
      if (!isAlreadyExists(error)) {
        const message = error instanceof Error ? error.message : String(error);
        events.record(
          deployment,
          'Warning',
          'ReplicaSetCreateError',
          `Failed to create new replica set "${name}": ${message}`,
        );
        throw error;
      }
      const other = await client.get<ReplicaSet>(resources.replicasets, namespace, name);
      const ours = other.metadata.ownerReferences?.some(({ uid }) => uid === deployment.metadata.uid);
      if (ours && sameTemplate(other.spec.template, deployment.spec.template)) {
        caches.replicaSets.wrote(other);
        return plan.status;
      }
      // The name is taken by another template: the next visit tries another hash.
      return { ...plan.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 };
    }
  }

  async function change(deployment: Readonly<Deployment>, plan: Plan): Promise<void> {
    for (const { set, replicas, annotations: next } of plan.change) {
      const { namespace = '', name = '' } = set.metadata;
      const body = {
        ...set,
        metadata: { ...set.metadata, annotations: next },
        spec: { ...set.spec, replicas, minReadySeconds: deployment.spec.minReadySeconds ?? 0 },
      };
      caches.replicaSets.wrote(
        await client.replace<ReplicaSet>(resources.replicasets, namespace, name, body),
      );
      const before = set.spec.replicas ?? 0;
      if (before !== replicas) {
        const way = replicas > before ? 'up' : 'down';
        const message = `Scaled ${way} replica set ${name} from ${before} to ${replicas}`;
        events.record(deployment, 'Normal', 'ScalingReplicaSet', message);
      }
    }
    for (const set of plan.remove) {
      const { namespace = '', name = '', uid = '' } = set.metadata;
      await client.delete(resources.replicasets, namespace, name, { preconditions: { uid } });
      caches.replicaSets.deleted(set);
    }
  }

  async function report(deployment: Readonly<Deployment>, plan: Plan, status: Plan['status']): Promise<void> {
    const { namespace = '', name = '' } = deployment.metadata;
    let latest = deployment;
    const { revision } = plan;
    if (revision !== undefined && deployment.metadata.annotations?.[annotations.revision] !== revision) {
      const body = { metadata: { annotations: { [annotations.revision]: revision } } };
      latest = await client.patch<Deployment>(resources.deployments, namespace, name, body, {
        type: 'merge',
      });
      caches.deployments.wrote(latest);
    }
    if (sameStatus(status, latest.status)) return;
    caches.deployments.wrote(
      await client.replace<Deployment>(
        resources.deployments,
        namespace,
        name,
        { ...latest, status },
        { subresource: 'status' },
      ),
    );
  }

  return {
    name: 'deployment',
    watch: (enqueue) => [
      caches.deployments.subscribe(({ key }) => enqueue(key)),
      caches.replicaSets.subscribe((event) => {
        for (const set of [event.now, event.before]) if (set !== undefined) enqueueOwner(set, enqueue);
      }),
      // Recreate waits for the last old pod to be gone, which no replica set's status tells.
      caches.pods.subscribe(({ key, now: pod, before }) => {
        if (pod !== undefined || before === undefined) return;
        const { namespace } = splitKey(key);
        const owner = before.metadata.ownerReferences?.find((reference) => reference.controller === true);
        const set = caches.replicaSets.get(`${namespace}/${owner?.name}`);
        if (owner?.kind === 'ReplicaSet' && set !== undefined) enqueueOwner(set, enqueue);
      }),
    ],
    async visit(key) {
      const deployment = caches.deployments.get(key);
      if (deployment === undefined || isEmpty(deployment.spec.selector)) return undefined;
      const sets = await claimSets(deployment);
      const plan = decide({ deployment, sets, oldPodsRun: (newest) => oldPodsRun(sets, newest) }, now());
      const status = await createSet(deployment, plan);
      await change(deployment, plan);
      await report(deployment, plan, status);
      return plan.requeueAfter;
    },
  };
}
