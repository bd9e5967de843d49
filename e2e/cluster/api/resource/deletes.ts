/** Deletion: preconditions, propagation by finalizers, grace periods of pods, and collections. */
import { conflict, field, invalid } from '../errors.ts';
import {
  type ApiObject,
  asObject,
  asString,
  at,
  clone,
  type Json,
  type JsonObject,
  timestamp,
} from '../json.ts';
import { objectKey } from '../kinds/kind.ts';
import { type Call, isDryRun } from './call.ts';
import { bucketOf, getObject, isReadyToGo, settle } from './writes.ts';

export interface DeleteOptions {
  readonly gracePeriodSeconds: number | undefined;
  readonly propagationPolicy: string | undefined;
  readonly preconditions: { readonly uid: string; readonly resourceVersion: string };
}

/** Options come in the body, in the query, or both; the body wins. */
export function deleteOptions(call: Call, body: Json | undefined): DeleteOptions {
  const options = asObject(body);
  const fromQuery = call.query.get('gracePeriodSeconds');
  const grace = options['gracePeriodSeconds'] ?? (fromQuery ? Number(fromQuery) : undefined);
  if (Array.isArray(options['dryRun']) && options['dryRun'].includes('All') && !call.query.has('dryRun')) {
    call.query.append('dryRun', 'All');
  }
  let policy = asString(options['propagationPolicy']) || (call.query.get('propagationPolicy') ?? '');
  if (!policy && options['orphanDependents'] !== undefined) {
    policy = options['orphanDependents'] === true ? 'Orphan' : 'Background';
  }
  if (policy && !['Orphan', 'Background', 'Foreground'].includes(policy)) {
    const allowed = ['Foreground', 'Background', 'Orphan', 'nil'];
    throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', [
      field.notSupported('propagationPolicy', policy, allowed),
    ]);
  }
  return {
    gracePeriodSeconds: typeof grace === 'number' ? grace : undefined,
    propagationPolicy: policy || undefined,
    preconditions: {
      uid: asString(at(options, 'preconditions', 'uid')),
      resourceVersion: asString(at(options, 'preconditions', 'resourceVersion')),
    },
  };
}

export interface Deleted {
  readonly object: ApiObject;
  /** False while finalizers or the grace period hold the object. */
  readonly gone: boolean;
}

function checkPreconditions(call: Call, object: ApiObject, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion } = object.metadata;
  if (preconditions.uid && preconditions.uid !== uid) {
    const why = `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`;
    throw conflict(call.kind, call.name!, why);
  }
  if (preconditions.resourceVersion && preconditions.resourceVersion !== resourceVersion) {
    const why = `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`;
    throw conflict(call.kind, call.name!, why);
  }
}

/** Seconds that a pod gets to stop; 0 for anything else. */
function gracePeriod(call: Call, object: ApiObject, options: DeleteOptions): number {
  if (call.kind.group !== '' || call.kind.kind !== 'Pod') return 0;
  const phase = at(object, 'status', 'phase');
  if (!at(object, 'spec', 'nodeName') || phase === 'Succeeded' || phase === 'Failed') return 0;
  const own = at(object, 'spec', 'terminationGracePeriodSeconds');
  const seconds = options.gracePeriodSeconds ?? (typeof own === 'number' ? own : 30);
  return Math.max(0, seconds);
}

function withPropagation(finalizers: readonly string[], policy: string | undefined): string[] {
  if (!policy) return [...finalizers];
  const kept = finalizers.filter((each) => each !== 'orphan' && each !== 'foregroundDeletion');
  if (policy === 'Orphan') kept.push('orphan');
  if (policy === 'Foreground') kept.push('foregroundDeletion');
  return kept;
}

function isNamespace(call: Call): boolean {
  return call.kind.group === '' && call.kind.kind === 'Namespace';
}

export function deleteObject(call: Call, options: DeleteOptions): Deleted {
  const old = getObject(call);
  checkPreconditions(call, old, options);
  call.core.admission.validate(call, 'DELETE', old, old);
  const object = clone(old);
  const { metadata } = object;
  const finalizers = withPropagation(metadata.finalizers ?? [], options.propagationPolicy);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const grace = gracePeriod(call, old, options);
  if (metadata.deletionTimestamp) {
    const before = metadata.deletionGracePeriodSeconds ?? 0;
    const shorter = options.gracePeriodSeconds !== undefined && grace < before;
    if (shorter || (grace === 0 && before > 0 && options.gracePeriodSeconds === 0)) {
      const asked = Date.parse(metadata.deletionTimestamp) - before * 1000;
      metadata.deletionTimestamp = timestamp(new Date(asked + grace * 1000));
      metadata.deletionGracePeriodSeconds = grace;
    }
  } else {
    metadata.deletionTimestamp = timestamp(new Date(call.core.now().getTime() + grace * 1000));
    if (!isNamespace(call)) metadata.deletionGracePeriodSeconds = grace;
    if (metadata.generation) metadata.generation += 1;
    if (isNamespace(call)) {
      object['status'] = { ...asObject(object['status']), phase: 'Terminating' };
    }
  }
  if (isReadyToGo(call, object)) {
    if (isDryRun(call)) return { object: old, gone: true };
    const last = bucketOf(call).delete(objectKey(call.kind, call.namespace, call.name!));
    call.kind.rules.stored?.(undefined, old);
    // The answer shows the deletion; watchers see the object as it was last stored.
    const revision = last?.metadata.resourceVersion ?? old.metadata.resourceVersion!;
    object.metadata.resourceVersion = revision;
    return { object, gone: true };
  }
  return { object: settle(call, object, old), gone: false };
}

/** The `Status` that answers a deletion which is complete. */
export function deletedStatus(call: Call, object: ApiObject): JsonObject {
  const details: JsonObject = { name: call.name, kind: call.kind.resource, uid: object.metadata.uid };
  if (call.kind.group) details['group'] = call.kind.group;
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}
