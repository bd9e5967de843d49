import { isNotFound } from '../../../kube-client/errors.ts';
import { keyOf } from '../../../kube-client/object.ts';
import { resources } from '../../../kube-client/resources.ts';
import type { Context, Controller } from './machinery/context.ts';

/** How long a node may be missing before its pods are given up: it may only be re-registering. */
export const quarantineMs = 10_000;

/** Removes pods that no kubelet will ever remove: those of nodes that are gone, and those that end without ever having had one. */
export function podGarbageCollector(context: Context): Controller {
  const { client, caches, events, now } = context;
  const missingSince = new Map<string, number>();

  return {
    name: 'pod-gc',
    watch: (enqueue) => [
      caches.pods.subscribe(({ key, now: pod, before }) => {
        if (pod?.spec.nodeName && before?.spec.nodeName === pod.spec.nodeName) return;
        enqueue(key);
      }),
      caches.nodes.subscribe(({ key, now: node }) => {
        if (node === undefined) {
          missingSince.set(key, now());
          for (const pod of caches.pods.byIndex('node', key)) enqueue(keyOf(pod));
        } else missingSince.delete(key);
      }),
    ],
    async visit(key) {
      const pod = caches.pods.get(key);
      if (pod === undefined) return undefined;
      const { namespace = '', name = '', uid = '', deletionTimestamp } = pod.metadata;
      const { nodeName } = pod.spec;
      if (nodeName) {
        if (caches.nodes.get(nodeName) !== undefined) return undefined;
        const since = missingSince.get(nodeName) ?? now();
        missingSince.set(nodeName, since);
        const left = since + quarantineMs - now();
        if (left > 0) return left;
        events.record(pod, 'Normal', 'PodGC', `node ${nodeName} is gone`);
      } else if (deletionTimestamp === undefined) return undefined;
      try {
        await client.delete(resources.pods, namespace, name, {
          gracePeriodSeconds: 0,
          preconditions: { uid },
        });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return undefined;
    },
  };
}
