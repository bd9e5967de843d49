/** Deleting a CRD deletes its objects first; the definition goes when the last of them is gone. */
import { callFor } from './bootstrap.ts';
import { asString, at, clone } from './json.ts';
import { cleanupFinalizer, crdBucket } from './kinds/crd.ts';
import type { Core } from './resource/call.ts';
import { deleteObject } from './resource/deletes.ts';
import { settle } from './resource/writes.ts';

/** Starts to watch for CRDs on their way out. */
export function cleanUpDefinitions(core: Core): void {
  const definitions = core.store.bucket(crdBucket);
  const following = new Set<string>();

  const finish = (name: string): void => {
    const crd = definitions.get(name);
    const kind = core.registry.byKind('apiextensions.k8s.io', 'v1', 'CustomResourceDefinition');
    if (!crd || !kind) return;
    const object = clone(crd);
    object.metadata.finalizers = (object.metadata.finalizers ?? []).filter(
      (each) => each !== cleanupFinalizer,
    );
    settle(callFor(core, kind, object, name), object, crd);
  };

  definitions.subscribe(({ object, type }) => {
    const name = object.metadata.name!;
    if (type === 'DELETED' || !object.metadata.deletionTimestamp || following.has(name)) return;
    if (!object.metadata.finalizers?.includes(cleanupFinalizer)) return;
    following.add(name);
    const group = asString(at(object, 'spec', 'group'));
    const plural = asString(at(object, 'spec', 'names', 'plural'));
    const instances = core.store.bucket(`${group}/${plural}`);
    // Outside the write that brought us here, so that watchers see the changes in order.
    queueMicrotask(() => {
      const kind = core.registry.anyVersion(group, plural);
      for (const instance of kind ? [...instances.items.values()] : []) {
        const call = callFor(core, kind!, instance, instance.metadata.name);
        deleteObject(call, {
          gracePeriodSeconds: undefined,
          propagationPolicy: undefined,
          preconditions: { uid: '', resourceVersion: '' },
        });
      }
      const done = (): void => {
        if (instances.items.size > 0) return;
        stop();
        following.delete(name);
        finish(name);
      };
      const stop = instances.subscribe(() => queueMicrotask(done));
      done();
    });
  });
}
