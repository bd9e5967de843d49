import type { KubeObject, OwnerReference } from '../../../../kube-client/object.ts';
import type { LabelSelector } from './kinds.ts';
import { matches } from './selector.ts';

/** What an owner does about the objects that it owns or that its selector fits. */
export interface Claim<T> {
  /** Owned, and fitting. */
  readonly owned: readonly Readonly<T>[];
  /** Fitting and without a controller: to be adopted. */
  readonly adopt: readonly Readonly<T>[];
  /** Owned, but no longer fitting: to be released. */
  readonly release: readonly Readonly<T>[];
}

/** Sorts candidates by whether an owner has them, should take them or should let them go. An owner that is being deleted adopts nothing. */
export function claim<T extends KubeObject>(
  owner: Readonly<KubeObject>,
  selector: LabelSelector | undefined,
  candidates: Iterable<Readonly<T>>,
): Claim<T> {
  const owned: Readonly<T>[] = [];
  const adopt: Readonly<T>[] = [];
  const release: Readonly<T>[] = [];
  const going = owner.metadata.deletionTimestamp !== undefined;
  for (const object of candidates) {
    const controller = object.metadata.ownerReferences?.find((reference) => reference.controller === true);
    const fits = matches(selector, object.metadata.labels);
    if (controller?.uid === owner.metadata.uid) (fits || going ? owned : release).push(object);
    else if (controller === undefined && fits && !going && object.metadata.deletionTimestamp === undefined) {
      adopt.push(object);
    }
  }
  return { owned, adopt, release };
}

/** The reference that makes an object its owner's. */
export function controllerReference(owner: Readonly<KubeObject>): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name ?? '',
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Merge patch by which an orphan becomes the owner's, unless it changed or was replaced meanwhile. */
export function adoptPatch(owner: Readonly<KubeObject>, object: Readonly<KubeObject>): object {
  return {
    metadata: {
      uid: object.metadata.uid,
      resourceVersion: object.metadata.resourceVersion,
      ownerReferences: [...(object.metadata.ownerReferences ?? []), controllerReference(owner)],
    },
  };
}

/** Merge patch by which an owner lets an object go. */
export function releasePatch(owner: Readonly<KubeObject>, object: Readonly<KubeObject>): object {
  return {
    metadata: {
      uid: object.metadata.uid,
      resourceVersion: object.metadata.resourceVersion,
      ownerReferences: (object.metadata.ownerReferences ?? []).filter(
        (reference) => reference.uid !== owner.metadata.uid,
      ),
    },
  };
}
