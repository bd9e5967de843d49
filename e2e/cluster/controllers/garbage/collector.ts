import { isNotFound, KubeError } from '../../../../kube-client/errors.ts';
import { Informer } from '../../../../kube-client/informer.ts';
import type { KubeObject, OwnerReference } from '../../../../kube-client/object.ts';
import { type Resource, resources } from '../../../../kube-client/resources.ts';
import type { Context, Controller } from '../machinery/context.ts';
import { type Discovered, discover } from '../machinery/discovery.ts';
import {
  finalizers,
  Graph,
  judge,
  orphansDependents,
  type Verdict,
  type Vertex,
  waitsForDependents,
} from './graph.ts';

/** Owners known to be gone that are remembered, at most. */
const maxAbsent = 10_000;
/** Key of the visit that looks for kinds that came or went. */
const rediscover = 'kinds';

/**
 * The garbage collector: deletes what its owners left behind, in every kind that the API server serves,
 * custom ones included, and carries out foreground and orphaning deletion.
 */
export function garbageCollector(context: Context): Controller {
  const { client, caches, log } = context;
  const graph = new Graph();
  const absent = new Set<string>();
  const watched = new Map<string, { resource: Discovered; stop: () => Promise<void> }>();
  let stopped = false;

  function forget(uid: string): void {
    graph.delete(uid);
    if (absent.size >= maxAbsent) absent.clear();
    absent.add(uid);
  }

  /** Takes an event in; answers whom it concerns. */
  function take(
    resource: Resource,
    now: Readonly<KubeObject> | undefined,
    before: Readonly<KubeObject> | undefined,
  ) {
    const touched: string[] = [];
    const gone = before !== undefined && before.metadata.uid !== now?.metadata.uid ? before : undefined;
    if (gone !== undefined) {
      const uid = gone.metadata.uid ?? '';
      touched.push(...graph.dependentsOf(uid).map(uidOf));
      for (const owner of gone.metadata.ownerReferences ?? []) {
        const known = graph.get(owner.uid);
        if (known !== undefined && waitsForDependents(known)) touched.push(owner.uid);
      }
      forget(uid);
    }
    if (now !== undefined) {
      const vertex = { resource, object: now };
      const uid = uidOf(vertex);
      graph.put(vertex);
      absent.delete(uid);
      if (waitsForDependents(vertex) || orphansDependents(vertex)) touched.push(uid);
      for (const owner of now.metadata.ownerReferences ?? []) {
        const known = graph.get(owner.uid);
        if (known === undefined || waitsForDependents(known)) touched.push(uid, owner.uid);
      }
      for (const owner of before?.metadata.ownerReferences ?? []) {
        const known = graph.get(owner.uid);
        if (known !== undefined && waitsForDependents(known)) touched.push(owner.uid);
      }
    }
    return touched;
  }

  async function watchKinds(enqueue: (key: string) => void): Promise<void> {
    const found = (await discover(client)).filter(
      ({ verbs, plural, group }) =>
        ['list', 'watch', 'delete'].every((verb) => verbs.includes(verb)) &&
        !(plural === 'events' && (group === '' || group === 'events.k8s.io')),
    );
    const wanted = new Map(found.map((resource) => [`${resource.plural}.${resource.group}`, resource]));
    for (const [name, { stop }] of watched) {
      if (wanted.has(name)) continue;
      watched.delete(name);
      await stop();
    }
    for (const [name, resource] of wanted) {
      if (stopped || watched.has(name)) continue;
      const handle = ({ now, before }: { now?: Readonly<KubeObject>; before?: Readonly<KubeObject> }) => {
        for (const uid of new Set(take(resource, now, before))) enqueue(uid);
      };
      const shared = caches.whole(resource);
      if (shared !== undefined) {
        const end = shared.subscribe(handle);
        watched.set(name, { resource, stop: async () => end() });
        continue;
      }
      const informer = new Informer<KubeObject>(client, resource, { slim });
      watched.set(name, { resource, stop: () => informer.stop() });
      informer.subscribe(handle);
      informer.start();
    }
  }

  /** Finds out which of an object's owners are gone, by asking for those that the graph doesn't hold. */
  async function verify(vertex: Vertex): Promise<void> {
    for (const owner of vertex.object.metadata.ownerReferences ?? []) {
      if (graph.get(owner.uid) !== undefined || absent.has(owner.uid)) continue;
      const resource = resourceOf(owner);
      const { namespace } = vertex.object.metadata;
      if (resource === undefined || (resource.namespaced && namespace === undefined)) continue;
      try {
        const found = await client.get<KubeObject>(
          resource,
          resource.namespaced ? namespace : undefined,
          owner.name,
        );
        if (found.metadata.uid !== owner.uid) absent.add(owner.uid);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        absent.add(owner.uid);
      }
    }
  }

  function resourceOf(owner: OwnerReference): Discovered | undefined {
    const group = owner.apiVersion.includes('/') ? owner.apiVersion.split('/')[0] : '';
    for (const { resource } of watched.values()) {
      if (resource.kind === owner.kind && resource.group === group) return resource;
    }
    return undefined;
  }

  async function act(vertex: Vertex, verdict: Verdict, enqueue: (key: string) => void): Promise<void> {
    const { resource, object } = vertex;
    const { namespace, name = '', uid = '', resourceVersion = '' } = object.metadata;
    switch (verdict.kind) {
      case 'keep':
        return;
      case 'wait':
        for (const dependent of verdict.dependents) enqueue(uidOf(dependent));
        return;
      case 'unlink':
        await patch(vertex, {
          ownerReferences: object.metadata.ownerReferences?.filter(
            (owner) => !verdict.references.includes(owner.uid),
          ),
        });
        return;
      case 'delete':
        log('deleting what its owners left', { kind: resource.kind, namespace, name });
        await client.delete(resource, namespace, name, {
          propagationPolicy: verdict.policy,
          // An owner may be added in this very moment, so the deletion is of what we looked at.
          preconditions: { uid, resourceVersion },
        });
        return;
      case 'orphan':
        for (const dependent of verdict.dependents) {
          await patch(dependent, {
            ownerReferences: dependent.object.metadata.ownerReferences?.filter((owner) => owner.uid !== uid),
          });
        }
        await patch(vertex, { finalizers: without(object, finalizers.orphan) });
        return;
      case 'finish':
        await patch(vertex, { finalizers: without(object, finalizers.foreground) });
        return;
    }
  }

  async function patch({ resource, object }: Vertex, metadata: object): Promise<void> {
    const { namespace, name = '', uid, resourceVersion } = object.metadata;
    const body = { metadata: { uid, resourceVersion, ...metadata } };
    await client.patch(resource, namespace, name, body, { type: 'merge' });
  }

  let enqueueKey: (key: string) => void = () => {};
  return {
    name: 'garbage-collector',
    workers: 8,
    watch(enqueue) {
      enqueueKey = enqueue;
      enqueue(rediscover);
      const definitions = new Informer<KubeObject>(client, resources.customresourcedefinitions, {
        slim: (object) => ({ ...slim(object), established: isEstablished(object) }),
      });
      const established = (object: object | undefined) =>
        object !== undefined && 'established' in object && object.established === true;
      definitions.subscribe(({ now, before }) => {
        if (established(now) !== established(before)) enqueue(rediscover);
      });
      definitions.start();
      return [
        () => {
          stopped = true;
          void definitions.stop();
          for (const { stop } of watched.values()) void stop();
        },
      ];
    },
    async visit(key) {
      if (key === rediscover) {
        await watchKinds(enqueueKey);
        return undefined;
      }
      const vertex = graph.get(key);
      if (vertex === undefined) return undefined;
      if (vertex.object.metadata.deletionTimestamp === undefined) await verify(vertex);
      const verdict = judge(vertex, graph, (owner) => absent.has(owner.uid));
      try {
        await act(vertex, verdict, enqueueKey);
      } catch (error) {
        const known = KubeError.from(error);
        // Gone already; or changed, and then the watch brings the change and we come back.
        if (known.code !== 404 && known.code !== 409) throw error;
        if (known.code === 409) return 50;
      }
      return undefined;
    },
  };
}

function uidOf({ object }: Vertex): string {
  return object.metadata.uid ?? '';
}

function without(object: Readonly<KubeObject>, finalizer: string): string[] {
  return (object.metadata.finalizers ?? []).filter((one) => one !== finalizer);
}

/** Only what the graph is made of; the rest of every object in the cluster would be kept for nothing. */
function slim(object: KubeObject): KubeObject {
  const {
    name,
    namespace,
    uid,
    resourceVersion,
    ownerReferences,
    finalizers: held,
    deletionTimestamp,
  } = object.metadata;
  const metadata: KubeObject['metadata'] = {};
  if (name !== undefined) metadata.name = name;
  if (namespace !== undefined) metadata.namespace = namespace;
  if (uid !== undefined) metadata.uid = uid;
  if (resourceVersion !== undefined) metadata.resourceVersion = resourceVersion;
  if (ownerReferences !== undefined) metadata.ownerReferences = ownerReferences;
  if (held !== undefined) metadata.finalizers = held;
  if (deletionTimestamp !== undefined) metadata.deletionTimestamp = deletionTimestamp;
  return { apiVersion: object.apiVersion, kind: object.kind, metadata };
}

function isEstablished(object: KubeObject): boolean {
  const status =
    'status' in object ? (object.status as { conditions?: { type: string; status: string }[] }) : {};
  return (
    status.conditions?.some(({ type, status: value }) => type === 'Established' && value === 'True') ?? false
  );
}
