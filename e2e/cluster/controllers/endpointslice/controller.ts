import { isNotFound } from '../../../../kube-client/errors.ts';
import { keyOf, splitKey } from '../../../../kube-client/object.ts';
import { resources } from '../../../../kube-client/resources.ts';
import type { Context, Controller } from '../machinery/context.ts';
import type { EndpointSlice, Pod } from '../machinery/kinds.ts';
import { matches } from '../machinery/selector.ts';
import { decide, managedBy } from './decide.ts';

/** Keeps the EndpointSlices of every Service that has a selector. */
export function endpointSliceController(context: Context): Controller {
  const { client, caches } = context;

  function enqueueServices(pod: Readonly<Pod>, enqueue: (key: string) => void): void {
    for (const service of caches.services.byIndex('namespace', pod.metadata.namespace ?? '')) {
      const { selector } = service.spec;
      if (selector && matches({ matchLabels: selector }, pod.metadata.labels)) enqueue(keyOf(service));
    }
  }

  function podKey(pod: Readonly<Pod> | undefined): string {
    const { status, metadata, spec } = pod ?? {};
    return JSON.stringify([
      metadata?.labels,
      metadata?.deletionTimestamp === undefined,
      spec?.nodeName,
      status?.podIP,
      status?.phase,
      status?.conditions?.find(({ type }) => type === 'Ready')?.status,
    ]);
  }

  return {
    name: 'endpointslice',
    workers: 8,
    watch: (enqueue) => [
      caches.services.subscribe(({ key }) => enqueue(key)),
      caches.pods.subscribe(({ now, before }) => {
        if (now !== undefined && before !== undefined && podKey(now) === podKey(before)) return;
        for (const pod of [now, before]) if (pod !== undefined) enqueueServices(pod, enqueue);
      }),
      caches.endpointSlices.subscribe(({ key, now, before }) => {
        const labels = (now ?? before)?.metadata.labels;
        const service = labels?.['kubernetes.io/service-name'];
        if (service !== undefined && labels?.[managedBy.label] === managedBy.value) {
          enqueue(`${splitKey(key).namespace}/${service}`);
        }
      }),
    ],
    async visit(key) {
      const service = caches.services.get(key);
      // Slices of a service that is gone are the garbage collector's.
      if (service === undefined || service.metadata.deletionTimestamp !== undefined) return undefined;
      const { selector, type } = service.spec;
      if (selector === undefined || Object.keys(selector).length === 0 || type === 'ExternalName') {
        return undefined;
      }
      const { namespace = '' } = service.metadata;
      const pods = caches.pods
        .byIndex('namespace', namespace)
        .filter((pod) => matches({ matchLabels: selector }, pod.metadata.labels));
      const slices = caches.endpointSlices
        .byIndex('service', key)
        .filter(
          ({ metadata }) =>
            metadata.labels?.[managedBy.label] === managedBy.value &&
            metadata.deletionTimestamp === undefined,
        );
      const plan = decide(service, pods, slices, (name) => caches.nodes.get(name));
      for (const slice of plan.update) {
        caches.endpointSlices.wrote(
          await client.replace<EndpointSlice>(
            resources.endpointslices,
            namespace,
            slice.metadata.name ?? '',
            slice,
          ),
        );
      }
      for (const slice of plan.create) {
        caches.endpointSlices.wrote(
          await client.create<EndpointSlice>(resources.endpointslices, namespace, slice),
        );
      }
      for (const slice of plan.remove) {
        try {
          await client.delete(resources.endpointslices, namespace, slice.metadata.name ?? '');
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
        caches.endpointSlices.deleted(slice);
      }
      return undefined;
    },
  };
}
