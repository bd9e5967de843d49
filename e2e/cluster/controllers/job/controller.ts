import { isNotFound } from '../../../../kube-client/errors.ts';
import { resources } from '../../../../kube-client/resources.ts';
import { claim, controllerReference } from '../machinery/claim.ts';
import type { Context, Controller } from '../machinery/context.ts';
import { conditionOf, type Job, type Pod } from '../machinery/kinds.ts';
import { sameStatus } from '../machinery/same-status.ts';
import { decide, expiry, isOver, trackingFinalizer } from './decide.ts';

/** Runs Jobs to their end, and deletes those that have outlived their time to live. */
export function jobController(context: Context): Controller {
  const { client, caches, events, now } = context;

  async function create(job: Readonly<Job>): Promise<void> {
    const { namespace = '', name = '' } = job.metadata;
    const { template } = job.spec;
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        generateName: `${name}-`,
        namespace,
        labels: template.metadata?.labels,
        annotations: template.metadata?.annotations,
        finalizers: [...(template.metadata?.finalizers ?? []), trackingFinalizer],
        ownerReferences: [controllerReference(job)],
      },
      spec: template.spec,
    };
    const created = caches.pods.wrote(await client.create<Pod>(resources.pods, namespace, pod));
    events.record(job, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`);
  }

  async function remove(job: Readonly<Job>, pod: Readonly<Pod>): Promise<void> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    await quietly(client.delete(resources.pods, namespace, name, { preconditions: { uid } }));
    caches.pods.deleted(pod);
    events.record(job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
  }

  async function release(pod: Readonly<Pod>): Promise<void> {
    const { namespace = '', name = '', uid, resourceVersion } = pod.metadata;
    const finalizers = (pod.metadata.finalizers ?? []).filter((one) => one !== trackingFinalizer);
    const body = { metadata: { uid, resourceVersion, finalizers } };
    const patched = await quietly(
      client.patch<Pod>(resources.pods, namespace, name, body, { type: 'merge' }),
    );
    if (patched !== undefined && patched.metadata.deletionTimestamp === undefined) caches.pods.wrote(patched);
  }

  async function report(job: Readonly<Job>, status: Job['status']): Promise<Readonly<Job>> {
    if (sameStatus(status, job.status)) return job;
    const { namespace = '', name = '' } = job.metadata;
    const body = { ...job, status };
    const written = await client.replace<Job>(resources.jobs, namespace, name, body, {
      subresource: 'status',
    });
    for (const [type, kind] of [
      ['Complete', 'Normal'],
      ['Failed', 'Warning'],
    ] as const) {
      const ended = conditionOf(written.status?.conditions, type);
      if (ended?.status !== 'True' || isOver(job)) continue;
      const [reason, message] =
        type === 'Complete' ? ['Completed', 'Job completed'] : [ended.reason, ended.message];
      events.record(job, kind, reason ?? '', message ?? '');
    }
    return caches.jobs.wrote(written);
  }

  return {
    name: 'job',
    watch: (enqueue) => [
      caches.jobs.subscribe(({ key }) => enqueue(key)),
      caches.pods.subscribe((event) => {
        for (const pod of [event.now, event.before]) {
          const owner = pod?.metadata.ownerReferences?.find((reference) => reference.controller === true);
          if (owner?.kind === 'Job') enqueue(`${pod?.metadata.namespace}/${owner.name}`);
        }
      }),
    ],
    async visit(key) {
      const job = caches.jobs.get(key);
      if (job === undefined) {
        // Pods that outlive their job must not be held for a count that nobody takes.
        for (const pod of orphans(key)) await release(pod);
        return undefined;
      }
      if (job.metadata.deletionTimestamp !== undefined) {
        for (const pod of caches.pods.byIndex('owner', job.metadata.uid ?? '')) {
          if (pod.metadata.finalizers?.includes(trackingFinalizer)) await release(pod);
        }
        return undefined;
      }
      const { owned } = claim<Pod>(
        job,
        job.spec.selector,
        caches.pods.byIndex('owner', job.metadata.uid ?? ''),
      );
      const due = expiry(job);
      if (due !== undefined) {
        if (due > now()) return due - now();
        const { namespace = '', name = '', uid = '' } = job.metadata;
        await quietly(
          client.delete(resources.jobs, namespace, name, {
            propagationPolicy: 'Foreground',
            preconditions: { uid },
          }),
        );
        return undefined;
      }
      if (isOver(job)) return undefined;
      const plan = decide(job, owned, now());
      await report(job, plan.status);
      for (const pod of plan.release) await release(pod);
      for (const pod of plan.remove) await remove(job, pod);
      await Promise.all(Array.from({ length: plan.create }, () => create(job)));
      return plan.requeueAfter === undefined ? undefined : Math.max(plan.requeueAfter, 10);
    },
  };

  function orphans(key: string): Readonly<Pod>[] {
    const [namespace = '', name] = key.split('/');
    return caches.pods
      .byIndex('namespace', namespace)
      .filter(
        ({ metadata }) =>
          metadata.finalizers?.includes(trackingFinalizer) &&
          metadata.ownerReferences?.some((owner) => owner.kind === 'Job' && owner.name === name),
      );
  }
}

async function quietly<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}
