import type { KubeObject, OwnerReference } from '../../../../kube-client/object.ts';
import type { Resource } from '../../../../kube-client/resources.ts';

/** What the garbage collector keeps of an object. */
export interface Vertex {
  readonly resource: Resource;
  readonly object: Readonly<KubeObject>;
}

export const finalizers = { foreground: 'foregroundDeletion', orphan: 'orphan' } as const;

/** What is to be done about one object. `references` are owners' UIDs. */
export type Verdict =
  | { readonly kind: 'keep' }
  /** Take these owners, which are gone, out of its references. */
  | { readonly kind: 'unlink'; readonly references: readonly string[] }
  | { readonly kind: 'delete'; readonly policy: 'Background' | 'Foreground' | 'Orphan' }
  /** It waits for its dependents, and they have to be looked at. */
  | { readonly kind: 'wait'; readonly dependents: readonly Vertex[] }
  /** It waited for its dependents, and there are none left. */
  | { readonly kind: 'finish' }
  /** Its dependents outlive it: take it out of their references, then let it go. */
  | { readonly kind: 'orphan'; readonly dependents: readonly Vertex[] };

/** Who owns whom, among all objects of the cluster that watches have brought so far. */
export class Graph {
  readonly #vertices = new Map<string, Vertex>();
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): Vertex | undefined {
    return this.#vertices.get(uid);
  }

  dependentsOf(uid: string): Vertex[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((one) => this.#vertices.get(one) ?? []);
  }

  put(vertex: Vertex): void {
    const uid = vertex.object.metadata.uid ?? '';
    this.#unlink(uid);
    this.#vertices.set(uid, vertex);
    for (const owner of vertex.object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid) ?? new Set();
      dependents.add(uid);
      this.#dependents.set(owner.uid, dependents);
    }
  }

  delete(uid: string): void {
    this.#unlink(uid);
    this.#vertices.delete(uid);
  }

  #unlink(uid: string): void {
    for (const owner of this.#vertices.get(uid)?.object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
  }
}

/** Whether an object is on its way out and waits for its dependents. */
export function waitsForDependents({ object }: Vertex): boolean {
  const { metadata } = object;
  return (
    metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(finalizers.foreground) === true
  );
}

/** Whether an object is on its way out and its dependents are to stay. */
export function orphansDependents({ object }: Vertex): boolean {
  const { metadata } = object;
  return (
    metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(finalizers.orphan) === true
  );
}

/**
 * What is to be done about one object. `isAbsent` says of an owner whether it is known to be gone; it is asked
 * only for owners that the graph doesn't hold. Pure.
 */
export function judge(
  vertex: Vertex,
  graph: Pick<Graph, 'get' | 'dependentsOf'>,
  isAbsent: (owner: OwnerReference) => boolean,
): Verdict {
  const { metadata } = vertex.object;
  const uid = metadata.uid ?? '';
  if (orphansDependents(vertex)) return { kind: 'orphan', dependents: graph.dependentsOf(uid) };
  if (waitsForDependents(vertex)) {
    const blocking = graph
      .dependentsOf(uid)
      .filter(({ object }) =>
        object.metadata.ownerReferences?.some(
          (owner) => owner.uid === uid && owner.blockOwnerDeletion === true,
        ),
      );
    return blocking.length === 0 ? { kind: 'finish' } : { kind: 'wait', dependents: graph.dependentsOf(uid) };
  }
  if (metadata.deletionTimestamp !== undefined) return { kind: 'keep' };
  const owners = metadata.ownerReferences ?? [];
  if (owners.length === 0) return { kind: 'keep' };
  const gone: string[] = [];
  const waiting: string[] = [];
  for (const owner of owners) {
    const known = graph.get(owner.uid);
    if (known === undefined ? isAbsent(owner) : isElsewhere(vertex, known)) gone.push(owner.uid);
    else if (known !== undefined && waitsForDependents(known) && owner.blockOwnerDeletion === true) {
      waiting.push(owner.uid);
    }
  }
  const out = gone.length + waiting.length;
  if (out === 0) return { kind: 'keep' };
  if (out < owners.length) return { kind: 'unlink', references: [...gone, ...waiting] };
  if (waiting.length > 0 && graph.dependentsOf(uid).length > 0) {
    return { kind: 'delete', policy: 'Foreground' };
  }
  const kept = metadata.finalizers ?? [];
  if (kept.includes(finalizers.orphan)) return { kind: 'delete', policy: 'Orphan' };
  return { kind: 'delete', policy: kept.includes(finalizers.foreground) ? 'Foreground' : 'Background' };
}

/** An owner in another namespace is no owner: the reference was forged, or is a mistake. */
function isElsewhere(vertex: Vertex, owner: Vertex): boolean {
  return owner.resource.namespaced && owner.object.metadata.namespace !== vertex.object.metadata.namespace;
}
