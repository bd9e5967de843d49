/** Create, update, patch and apply: one pipeline from a candidate object to the store. */
import { randomUUID } from 'node:crypto';
import {
  alreadyExists,
  badRequest,
  conflict,
  type FieldError,
  field,
  invalid,
  modified,
  notFound,
} from '../errors.ts';
import {
  type ApiObject,
  asObject,
  clone,
  equal,
  type Json,
  type JsonObject,
  setOwn,
  timestamp,
} from '../json.ts';
import { apiVersion, objectKey, present } from '../kinds/kind.ts';
import { nameCheck } from '../kinds/name-rules.ts';
import { validateMetadata } from '../kinds/names.ts';
import { applyObject, recordUpdate } from '../patch/managed-fields.ts';
import { type Call, checkIdentity, generateName, isDryRun, managerOf, writeContext } from './call.ts';
import { decodeApplied, decodeObject, normalized } from './decode.ts';

export interface Written {
  readonly object: ApiObject;
  readonly created: boolean;
}

export function bucketOf(call: Call) {
  return call.core.store.bucket(call.kind.bucket);
}

/** The live object in the version asked for. @throws StatusError 404 */
export function getObject(call: Call): ApiObject {
  const stored = bucketOf(call).get(objectKey(call.kind, call.namespace, call.name!));
  if (!stored) throw notFound(call.kind, call.name!);
  return present(call.kind, stored);
}

function hasStatus(call: Call): boolean {
  return call.kind.subresources.includes('status');
}

/** The last step of every write. The stored form may differ from the one that was written. */
function store(call: Call, key: string, object: ApiObject, old: ApiObject | undefined): ApiObject {
  if (isDryRun(call)) {
    const revision = old?.metadata.resourceVersion;
    return revision ? { ...object, metadata: { ...object.metadata, resourceVersion: revision } } : object;
  }
  const form = call.kind.convert ? call.kind.convert.to(object) : object;
  const stored = bucketOf(call).put(key, form);
  call.kind.rules.stored?.(stored, old);
  return present(call.kind, stored);
}

/** @param body as sent, already decoded from JSON or YAML */
export function createObject(call: Call, body: Json, duplicates: readonly string[] = []): ApiObject {
  const object = decodeObject(call, checkIdentity(body, call.kind), duplicates);
  return createDecoded(call, object);
}

export function createDecoded(call: Call, decoded: ApiObject, applied = false): ApiObject {
  const { kind, core } = call;
  const object = decoded;
  const metadata = object.metadata;
  if (kind.namespaced) {
    if (metadata.namespace && metadata.namespace !== call.namespace) {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
    metadata.namespace = call.namespace!;
  } else if (metadata.namespace === '') delete metadata.namespace;
  if (metadata.resourceVersion && metadata.resourceVersion !== '0') {
    throw badRequest('resourceVersion should not be set on objects to be created');
  }
  const generated = !metadata.name && Boolean(metadata.generateName);
  if (generated) metadata.name = generateName(metadata.generateName!);
  for (const key of ['resourceVersion', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink']) {
    delete metadata[key];
  }
  if (!applied) delete metadata.managedFields;
  metadata.uid = randomUUID();
  metadata.creationTimestamp = timestamp(core.now());
  if (kind.generation) metadata.generation = 1;
  else delete metadata.generation;

  const context = writeContext(call);
  if (kind.custom && hasStatus(call)) delete object['status'];
  kind.rules.default?.(object);
  core.admission.mutate(call, 'CREATE', object);
  kind.rules.default?.(object);
  kind.rules.prepareCreate?.(object, context);
  const errors = [
    ...validateMetadata(metadata, nameCheck(kind), { namespaced: kind.namespaced }),
    ...(kind.rules.validate?.(object, context) ?? []),
  ];
  if (errors.length > 0) throw invalid(kind, metadata.name ?? '', errors);
  core.admission.validate(call, 'CREATE', object);
  const key = objectKey(kind, metadata.namespace, metadata.name!);
  if (bucketOf(call).get(key)) throw alreadyExists(kind, metadata.name!);
  if (!applied) {
    recordUpdate({
      live: undefined,
      object,
      schema: kind.schema,
      writer: writer(call),
      hasStatus: hasStatus(call),
      now: core.now(),
      custom: kind.custom,
    });
  }
  return store(call, key, ordered(object), undefined);
}

function writer(call: Call) {
  return {
    manager: managerOf(call),
    apiVersion: apiVersion(call.kind),
    subresource: call.subresource,
  };
}

/** apiVersion, kind and metadata first, as clients are used to. */
function ordered(object: ApiObject): ApiObject {
  const { apiVersion: version, kind, metadata, ...rest } = object;
  return { apiVersion: version, kind, metadata, ...rest };
}

const updateCreates = new Set([
  'leases',
  'events',
  'endpoints',
  'services',
  'limitranges',
  'roles',
  'rolebindings',
  'clusterroles',
  'clusterrolebindings',
]);

export function replaceObject(call: Call, body: Json, duplicates: readonly string[] = []): Written {
  const object = decodeObject(call, checkIdentity(body, call.kind), duplicates);
  if (!object.metadata.name) object.metadata.name = call.name!;
  const live = bucketOf(call).get(objectKey(call.kind, call.namespace, call.name!));
  if (!live && !call.kind.custom && !call.subresource && updateCreates.has(call.kind.resource)) {
    if (object.metadata.resourceVersion) throw modified(call.kind, call.name!);
    return { object: createDecoded(call, object), created: true };
  }
  return { object: updateDecoded(call, object), created: false };
}

const needsRevision = new Set(['Lease', 'CustomResourceDefinition', 'PodDisruptionBudget']);

/**
 * Writes `candidate` over the live object.
 * @param applied the managedFields are already settled, by server-side apply
 */
export function updateDecoded(call: Call, candidate: ApiObject, applied = false): ApiObject {
  const { kind, core } = call;
  const old = getObject(call);
  const name = call.name!;
  const object = candidate;
  const { metadata } = object;
  if (metadata.name !== name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  if (kind.namespaced && metadata.namespace && metadata.namespace !== call.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  if (metadata.uid && metadata.uid !== old.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`;
    throw conflict(kind, name, why);
  }
  if (metadata.resourceVersion) {
    if (metadata.resourceVersion !== old.metadata.resourceVersion) throw modified(kind, name);
  } else if (kind.custom || needsRevision.has(kind.kind)) {
    const error = field.invalid('metadata.resourceVersion', 0, 'must be specified for an update');
    throw invalid(kind, name, [error]);
  }
  keepSystemFields(object, old, applied);

  const context = writeContext(call);
  if (call.subresource === 'status') isolateStatus(call, object, old);
  else if (hasStatus(call)) {
    if (old['status'] === undefined) delete object['status'];
    else object['status'] = old['status'];
  }
  kind.rules.default?.(object);
  if (call.subresource === 'status') kind.rules.prepareStatus?.(object, old, context);
  core.admission.mutate(call, 'UPDATE', object, old);
  if (call.subresource !== 'status') kind.rules.prepareUpdate?.(object, old, context);
  if (kind.generation && generationChanges(call, object, old)) {
    metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
  const errors: FieldError[] = [
    ...validateMetadata(object.metadata, () => [], { namespaced: kind.namespaced }),
    ...newFinalizers(object, old),
  ];
  if (call.subresource === 'status') {
    errors.push(...(kind.rules.validateStatus?.(object, old, context) ?? []));
  } else {
    const sameSpec = equalButMetadata(object, old);
    if (!sameSpec && !kind.custom) errors.push(...(kind.rules.validate?.(object, context) ?? []));
    errors.push(...(kind.rules.validateUpdate?.(object, old, context) ?? []));
  }
  if (errors.length > 0) throw invalid(kind, name, errors);
  core.admission.validate(call, 'UPDATE', object, old);
  if (!applied) {
    recordUpdate({
      live: old,
      object,
      schema: kind.schema,
      writer: writer(call),
      hasStatus: hasStatus(call),
      now: core.now(),
    });
  }
  return settle(call, object, old);
}

function equalButMetadata(a: ApiObject, b: ApiObject): boolean {
  return equal({ ...a, metadata: {} }, { ...b, metadata: {} });
}

/** Stores the object if it changed, and removes it if the update took the last thing that held its deletion. */
export function settle(call: Call, object: ApiObject, old: ApiObject): ApiObject {
  const key = objectKey(call.kind, call.namespace, call.name!);
  const unchanged = equal(withoutTimes(object), withoutTimes(old));
  if (isReadyToGo(call, object)) {
    if (isDryRun(call)) return object;
    const bucket = bucketOf(call);
    if (!unchanged) bucket.put(key, ordered(object));
    const last = bucket.delete(key);
    call.kind.rules.stored?.(undefined, old);
    return last ?? object;
  }
  if (unchanged) return old;
  return store(call, key, ordered(object), old);
}

/** Whether nothing holds back the removal of an object that is being deleted. */
export function isReadyToGo(call: Call, object: ApiObject): boolean {
  const { metadata } = object;
  if (!metadata.deletionTimestamp || (metadata.finalizers?.length ?? 0) > 0) return false;
  if ((metadata.deletionGracePeriodSeconds ?? 0) > 0) return false;
  if (call.kind.group === '' && call.kind.kind === 'Namespace') {
    const held = asObject(object['spec'])['finalizers'];
    return !Array.isArray(held) || held.length === 0;
  }
  return true;
}

function withoutTimes(object: ApiObject): ApiObject {
  const entries = object.metadata.managedFields?.map(({ time: _, ...rest }) => rest);
  return { ...object, metadata: { ...object.metadata, managedFields: entries ?? [] } };
}

function keepSystemFields(object: ApiObject, old: ApiObject, applied: boolean): void {
  const { metadata } = object;
  const sent = metadata.managedFields;
  for (const key of [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'generateName',
    'resourceVersion',
    'selfLink',
  ]) {
    const value = old.metadata[key];
    if (value === undefined) delete metadata[key];
    else setOwn(metadata, key, value);
  }
  if (applied) return;
  // A list with one empty entry is the documented way to reset ownership.
  const reset = sent?.length === 1 && Object.keys(sent[0]!).length === 0;
  if (reset) delete metadata.managedFields;
  else if (sent === undefined || sent.length === 0) {
    if (old.metadata.managedFields) metadata.managedFields = old.metadata.managedFields;
    else delete metadata.managedFields;
  }
}

/** A write to `status` keeps everything else as it is. */
function isolateStatus(call: Call, object: ApiObject, old: ApiObject): void {
  const status = object['status'];
  const { managedFields, annotations, labels, finalizers } = object.metadata;
  for (const key of Object.keys(object)) {
    if (key !== 'apiVersion' && key !== 'kind' && key !== 'metadata' && key !== 'status') delete object[key];
  }
  for (const [key, value] of Object.entries(old)) {
    if (key !== 'metadata' && key !== 'status') object[key] = value;
  }
  if (status === undefined) delete object['status'];
  object.metadata = { ...old.metadata };
  if (managedFields) object.metadata.managedFields = managedFields;
  if (call.kind.custom) return;
  // Built-in kinds let the kubelet and others keep annotations, and labels of nodes and pods, in the same write.
  if (annotations) object.metadata.annotations = annotations;
  if (call.kind.kind === 'Node' || call.kind.kind === 'Pod') {
    if (labels) object.metadata.labels = labels;
    if (finalizers) object.metadata.finalizers = finalizers;
  }
}

function generationChanges(call: Call, object: ApiObject, old: ApiObject): boolean {
  if (call.subresource === 'status') return false;
  const strip = (each: ApiObject): JsonObject => {
    const rest: JsonObject = { ...each, metadata: {} };
    if (hasStatus(call)) delete rest['status'];
    return rest;
  };
  return !equal(strip(object), strip(old));
}

function newFinalizers(object: ApiObject, old: ApiObject): FieldError[] {
  if (!old.metadata.deletionTimestamp) return [];
  const before = new Set(old.metadata.finalizers ?? []);
  const added = (object.metadata.finalizers ?? []).filter((each) => !before.has(each));
  if (added.length === 0) return [];
  const why = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((each) => JSON.stringify(each)).join(', ')}}`;
  return [field.forbidden('metadata.finalizers', why)];
}

/** A patch of the live object: `change` gets a copy and returns what it should become. */
export function patchObject(call: Call, change: (live: ApiObject) => Json): ApiObject {
  const live = getObject(call);
  const patched = change(clone(live));
  const body = checkIdentity(patched, call.kind);
  const object = decodeObject(call, body, [], true);
  const sent = object.metadata.resourceVersion;
  if (sent && sent !== live.metadata.resourceVersion) throw modified(call.kind, call.name!);
  object.metadata.resourceVersion = live.metadata.resourceVersion!;
  return updateDecoded(call, object);
}

/** Server-side apply; creates the object when it is missing. */
export function applyPatch(call: Call, body: Json, duplicates: readonly string[] = []): Written {
  const { kind, core } = call;
  if (!call.query.get('fieldManager')) {
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [
      field.required('fieldManager', 'is required for apply patch'),
    ]);
  }
  const applied = decodeApplied(call, checkIdentity(body, kind), duplicates);
  if (applied.metadata.managedFields && applied.metadata.managedFields.length > 0) {
    throw badRequest('metadata.managedFields must be nil');
  }
  delete applied.metadata.managedFields;
  applied.metadata.name ??= call.name!;
  if (applied.metadata.name !== call.name) {
    throw badRequest(
      `the name of the object (${applied.metadata.name}) does not match the name on the URL (${call.name})`,
    );
  }
  if (kind.namespaced) applied.metadata.namespace ??= call.namespace!;
  const stored = bucketOf(call).get(objectKey(kind, call.namespace, call.name!));
  const live = stored ? present(kind, stored) : undefined;
  const asked = applied.metadata.resourceVersion;
  if (asked && live?.metadata.resourceVersion !== asked) throw modified(kind, call.name!);
  if (!live && call.subresource) throw notFound(kind, call.name!);
  if (!live && applied.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${applied.metadata.uid}, UID in object meta: `;
    throw conflict(kind, call.name!, why);
  }
  const whole = applyObject({
    live,
    applied,
    schema: kind.schema,
    writer: writer(call),
    hasStatus: hasStatus(call),
    force: call.query.get('force') === 'true',
    now: core.now(),
  });
  const merged = normalized(call, whole);
  if (!live) return { object: createDecoded(call, merged, true), created: true };
  merged.metadata.resourceVersion = live.metadata.resourceVersion!;
  return { object: updateDecoded(call, clone(merged), true), created: false };
}
