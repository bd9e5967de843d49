import { isDeepStrictEqual } from 'node:util';
import { isNotFound, KubeError } from '../../../kube-client/errors.ts';
import { type KubeObject, splitKey } from '../../../kube-client/object.ts';
import { pathOf, resources } from '../../../kube-client/resources.ts';
import { timestamp } from './deployment/status.ts';
import type { Context, Controller } from './machinery/context.ts';
import { type Discovered, discover } from './machinery/discovery.ts';
import type { Condition, Namespace } from './machinery/kinds.ts';

const finalizer = 'kubernetes';
/** Until a namespace is looked at again whose last objects are held by finalizers, which no cache here tells. */
const recheckMs = 500;

/** What a look at a terminating namespace found. */
export interface Contents {
  /** Objects left, by `plural.group`. */
  readonly remaining: ReadonlyMap<string, readonly Readonly<KubeObject>[]>;
  /** What could not be listed or deleted. */
  readonly failures: readonly string[];
}

/** The conditions that tell why a namespace still terminates. Pure. */
export function conditionsOf(contents: Contents, now: number): Condition[] {
  const at = timestamp(now);
  const flag = (type: string, on: boolean, yes: [string, string], no: [string, string]): Condition => {
    const [reason, message] = on ? yes : no;
    return { type, status: on ? 'True' : 'False', lastTransitionTime: at, reason, message };
  };
  const counts = [...contents.remaining].map(
    ([resource, objects]) => `${resource} has ${objects.length} resource instances`,
  );
  const finalizers = new Map<string, number>();
  for (const objects of contents.remaining.values()) {
    for (const object of objects) {
      for (const one of object.metadata.finalizers ?? []) finalizers.set(one, (finalizers.get(one) ?? 0) + 1);
    }
  }
  const held = [...finalizers].map(([name, count]) => `${name} in ${count} resource instances`);
  return [
    flag(
      'NamespaceDeletionDiscoveryFailure',
      false,
      ['DiscoveryFailed', ''],
      ['ResourcesDiscovered', 'All resources successfully discovered'],
    ),
    flag(
      'NamespaceDeletionContentFailure',
      contents.failures.length > 0,
      ['ContentDeletionFailed', contents.failures.join('; ')],
      ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization'],
    ),
    flag(
      'NamespaceContentRemaining',
      counts.length > 0,
      ['SomeResourcesRemain', `Some resources are remaining: ${counts.join(', ')}`],
      ['ContentRemoved', 'All content successfully removed'],
    ),
    flag(
      'NamespaceFinalizersRemaining',
      held.length > 0,
      ['SomeFinalizersRemain', `Some content in the namespace has finalizers remaining: ${held.join(', ')}`],
      ['ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
    ),
  ];
}

/** Empties namespaces that are being deleted, whatever they hold, and then lets them go. */
export function namespaceController(context: Context): Controller {
  const { client, caches, now } = context;
  /** Kinds of which a terminating namespace still held something at the last look. */
  const unfinished = new Map<string, readonly Discovered[]>();

  async function empty(resource: Discovered, namespace: string): Promise<readonly KubeObject[]> {
    const before = await client.list<KubeObject>(resource, { namespace });
    if (before.items.length === 0) return [];
    const deletable = before.items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (deletable.length > 0) {
      if (resource.verbs.includes('deletecollection')) {
        await (
          await client.raw('DELETE', pathOf(resource, namespace), {
            body: { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' },
          })
        ).text();
      } else {
        for (const { metadata } of deletable) await remove(resource, namespace, metadata.name ?? '');
      }
    }
    const after = await client.list<KubeObject>(resource, { namespace });
    return after.items;
  }

  async function remove(resource: Discovered, namespace: string, name: string): Promise<void> {
    try {
      await client.delete(resource, namespace, name, { propagationPolicy: 'Background' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function emptyAll(namespace: string): Promise<Contents> {
    const all =
      unfinished.get(namespace) ??
      (await discover(client)).filter(
        ({ namespaced, verbs }) => namespaced && verbs.includes('list') && verbs.includes('delete'),
      );
    const left: Discovered[] = [];
    const remaining = new Map<string, readonly KubeObject[]>();
    const failures: string[] = [];
    await Promise.all(
      all.map(async (resource) => {
        const name = resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
        try {
          const objects = await empty(resource, namespace);
          if (objects.length === 0) return;
          remaining.set(name, objects);
          left.push(resource);
        } catch (error) {
          const known = KubeError.from(error);
          // A custom resource may be unregistered while we look at it.
          if (known.code !== 404 && known.code !== 405) failures.push(`${name}: ${known.message}`);
        }
      }),
    );
    // What was empty stays empty, since a terminating namespace takes nothing new.
    if (failures.length === 0 && left.length > 0) unfinished.set(namespace, left);
    else unfinished.delete(namespace);
    return { remaining, failures };
  }

  return {
    name: 'namespace',
    watch: (enqueue) => [
      caches.namespaces.subscribe(({ key, now: namespace, before }) => {
        // Our own status writes must not bring us back at once.
        if (namespace?.metadata.deletionTimestamp === undefined) return;
        if (before?.metadata.deletionTimestamp === undefined) enqueue(key);
      }),
      caches.pods.subscribe(({ key, now: pod }) => {
        const namespace = splitKey(key).namespace ?? '';
        if (pod === undefined && caches.namespaces.get(namespace)?.metadata.deletionTimestamp !== undefined) {
          enqueue(namespace);
        }
      }),
    ],
    async visit(name) {
      const known = caches.namespaces.get(name);
      if (known?.metadata.deletionTimestamp === undefined) return undefined;
      if (!known.spec?.finalizers?.includes(finalizer)) return undefined;
      const contents = await emptyAll(name);
      let namespace: Namespace = await client.get<Namespace>(resources.namespaces, undefined, name);
      const conditions = conditionsOf(contents, now()).map((next) => {
        const before = namespace.status?.conditions?.find(({ type }) => type === next.type);
        return before?.status === next.status && before.lastTransitionTime !== undefined
          ? { ...next, lastTransitionTime: before.lastTransitionTime }
          : next;
      });
      if (!isDeepStrictEqual(conditions, namespace.status?.conditions)) {
        namespace = await client.replace<Namespace>(
          resources.namespaces,
          undefined,
          name,
          { ...namespace, status: { ...namespace.status, phase: 'Terminating', conditions } },
          { subresource: 'status' },
        );
      }
      if (contents.remaining.size > 0 || contents.failures.length > 0) return recheckMs;
      const finalizers = (namespace.spec?.finalizers ?? []).filter((one) => one !== finalizer);
      const body = { ...namespace, spec: { ...namespace.spec, finalizers } };
      await client.replace(resources.namespaces, undefined, name, body, { subresource: 'finalize' });
      return undefined;
    },
  };
}
