/** `metadata.managedFields`: who owns which field, kept up on updates and on server-side apply. */
import { type Cause, StatusError } from '../errors.ts';
import {
  type ApiObject,
  clone,
  type Json,
  type JsonObject,
  type ManagedFieldsEntry,
  timestamp,
} from '../json.ts';
import type { Schema } from '../schema/schema.ts';
import { FieldSet } from './field-set.ts';
import { compare, fieldSetOf, mergeApplied, removePaths, withNamedFields } from './typed.ts';

export interface Writer {
  readonly manager: string;
  readonly apiVersion: string;
  /** '' for the object itself. */
  readonly subresource: string;
}

interface Manager {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  time: string | undefined;
  set: FieldSet;
}

/** Fields that nobody owns: the server's own, and the identity. */
const unowned: readonly (readonly string[])[] = [
  ['f:apiVersion'],
  ['f:kind'],
  ...[
    'name',
    'namespace',
    'creationTimestamp',
    'selfLink',
    'uid',
    'clusterName',
    'generation',
    'managedFields',
    'resourceVersion',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generateName',
  ].map((key) => ['f:metadata', `f:${key}`]),
];

/** How many managers that update are listed before the oldest are put together. */
const updateManagerLimit = 10;

function parse(object: ApiObject | undefined): Manager[] {
  return (object?.metadata.managedFields ?? []).map((entry) => ({
    name: entry.manager ?? '',
    operation: entry.operation === 'Apply' ? 'Apply' : 'Update',
    apiVersion: entry.apiVersion ?? '',
    subresource: entry.subresource ?? '',
    time: entry.time,
    set: FieldSet.fromJson(entry.fieldsV1 ?? {}),
  }));
}

function serialize(managers: readonly Manager[]): ManagedFieldsEntry[] {
  const order = (manager: Manager) => [
    manager.operation,
    manager.time ?? '',
    manager.name,
    manager.apiVersion,
    manager.subresource,
  ];
  return capped(managers.filter((manager) => !manager.set.empty))
    .sort((a, b) => {
      const [x, y] = [order(a), order(b)];
      const index = x.findIndex((part, at) => part !== y[at]);
      return index < 0 ? 0 : x[index]! < y[index]! ? -1 : 1;
    })
    .map((manager) => {
      const entry: ManagedFieldsEntry = {
        manager: manager.name,
        operation: manager.operation,
        apiVersion: manager.apiVersion,
      };
      if (manager.time) entry.time = manager.time;
      entry.fieldsType = 'FieldsV1';
      entry.fieldsV1 = manager.set.toJson();
      if (manager.subresource) entry.subresource = manager.subresource;
      return entry;
    });
}

/** Puts the oldest updaters together under one name when there are too many. */
function capped(managers: Manager[]): Manager[] {
  const updaters = managers.filter((manager) => manager.operation === 'Update');
  if (updaters.length <= updateManagerLimit) return managers;
  updaters.sort((a, b) => (a.time ?? '').localeCompare(b.time ?? ''));
  const oldest = updaters.slice(0, updaters.length - updateManagerLimit + 1);
  const merged: Manager = {
    ...oldest[oldest.length - 1]!,
    name: 'ancient-changes',
    subresource: '',
    set: oldest.reduce((set, manager) => set.union(manager.set), new FieldSet()),
  };
  return [...managers.filter((manager) => !oldest.includes(manager)), merged];
}

/** Takes out what this writer can never own: a write to `status` changes only status, and the other way round. */
function restrict(set: FieldSet, writer: Writer, hasStatus: boolean): FieldSet {
  const result = set.copy();
  for (const path of unowned) result.cut(path);
  if (writer.subresource === 'status') {
    for (const element of [...result.children.keys()]) {
      if (element !== 'f:status') result.children.delete(element);
    }
  } else if (hasStatus && writer.subresource === '') {
    result.children.delete('f:status');
  }
  const metadata = result.children.get('f:metadata');
  if (metadata) {
    metadata.member = false;
    if (metadata.empty) result.children.delete('f:metadata');
  }
  result.member = false;
  return result;
}

function withoutManagedFields(object: ApiObject): ApiObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/**
 * What Go's empty objects already hold when they are created: structs that are no pointers. Nobody becomes the owner of
 * these themselves, only of what is in them.
 */
const template = { metadata: {}, spec: { containers: [] } };
const hollow: JsonObject = {
  spec: {
    containers: [],
    strategy: {},
    updateStrategy: {},
    template,
    jobTemplate: { metadata: {}, spec: { template } },
  },
  status: {},
};

/**
 * Brings `object.metadata.managedFields` up to date after a create or an update that was not a server-side apply. What it
 * holds before is taken as the owners so far: the live ones, or what the client made of them.
 */
export function recordUpdate(options: {
  live: ApiObject | undefined;
  object: ApiObject;
  schema: Schema;
  writer: Writer;
  hasStatus: boolean;
  now: Date;
  /** Custom resources come from no Go struct. */
  custom?: boolean;
}): void {
  const { live, object, schema, writer, hasStatus, now } = options;
  const managers = parse(object);
  // An object whose owners were given up is not tracked again before somebody applies it.
  if (live && managers.length === 0) return;
  const before = live ? withoutManagedFields(live) : options.custom ? {} : hollow;
  const difference = compare(before, withoutManagedFields(object), schema);
  const gained = restrict(difference.added.union(difference.modified), writer, hasStatus);
  const lost = restrict(difference.removed, writer, hasStatus);
  const isSelf = (manager: Manager) =>
    manager.operation === 'Update' &&
    manager.name === writer.manager &&
    manager.apiVersion === writer.apiVersion &&
    manager.subresource === writer.subresource;
  let self = managers.find(isSelf);
  for (const manager of managers) {
    if (manager === self) continue;
    manager.set = manager.set.difference(gained).difference(lost);
  }
  if (!self) {
    self = {
      name: writer.manager,
      operation: 'Update',
      apiVersion: writer.apiVersion,
      subresource: writer.subresource,
      time: undefined,
      set: new FieldSet(),
    };
    managers.push(self);
  }
  const owned = self.set.difference(lost).union(gained);
  if (!gained.empty || !owned.equals(self.set)) self.time = timestamp(now);
  self.set = owned;
  write(object, managers);
}

function write(object: ApiObject, managers: readonly Manager[]): void {
  const entries = serialize(managers);
  if (entries.length > 0) object.metadata.managedFields = entries;
  else delete object.metadata.managedFields;
}

function conflictError(conflicts: readonly { manager: Manager; paths: string[] }[]): StatusError {
  const name = ({ manager }: { manager: Manager }) => {
    let text = JSON.stringify(manager.name);
    if (manager.subresource) text += ` with subresource ${JSON.stringify(manager.subresource)}`;
    if (manager.operation === 'Update') text += ` using ${manager.apiVersion}`;
    return text;
  };
  const causes = conflicts.flatMap((each): Cause[] =>
    each.paths.map((path) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${name(each)}`,
      field: path,
    })),
  );
  const lines = conflicts.map((each) =>
    causes.length === 1
      ? `conflict with ${name(each)}: ${each.paths[0]}`
      : `conflicts with ${name(each)}:\n${each.paths.map((path) => `- ${path}`).join('\n')}`,
  );
  const head = `Apply failed with ${causes.length} conflict${causes.length === 1 ? '' : 's'}: `;
  return new StatusError(409, 'Conflict', head + lines.join('\n'), { causes });
}

/**
 * Server-side apply: the live object with `applied` merged in, without what this manager gave up, and with the
 * ownership recorded.
 * @throws StatusError 409 with the conflicting fields, unless `force`
 */
export function applyObject(options: {
  live: ApiObject | undefined;
  applied: ApiObject;
  schema: Schema;
  writer: Writer;
  hasStatus: boolean;
  force: boolean;
  now: Date;
}): ApiObject {
  const { live, applied, schema, writer, hasStatus, force, now } = options;
  const managers = parse(live);
  const base = live ? withoutManagedFields(live) : undefined;
  if (base && managers.length === 0) managers.push(beforeFirstApply(live!, base, schema, writer, hasStatus));
  const self = managers.find(
    (manager) =>
      manager.operation === 'Apply' &&
      manager.name === writer.manager &&
      manager.subresource === writer.subresource,
  );
  const others = managers.filter((manager) => manager !== self);
  const set = restrict(fieldSetOf(applied, schema), writer, hasStatus);

  let merged = mergeApplied(base, applied, schema) as ApiObject;
  if (self) {
    // The identity is held by the configuration too, though nobody is its owner.
    const owned = others.reduce((union, manager) => union.union(manager.set), fieldSetOf(applied, schema));
    merged = prune(merged, schema, self.set, owned);
  }

  const difference = compare(base ?? {}, merged, schema);
  const changed = restrict(difference.added.union(difference.modified), writer, hasStatus);
  const conflicts = others
    .map((manager) => ({ manager, set: manager.set.intersection(changed) }))
    .filter((each) => !each.set.empty)
    .sort((a, b) => (a.manager.name < b.manager.name ? -1 : 1));
  if (!force) {
    const pardoned = writer.manager === 'kubectl' && base ? fromLastApplied(base, schema) : new FieldSet();
    const refused = conflicts
      .map(({ manager, set }) => ({ manager, paths: set.difference(pardoned).paths() }))
      .filter(({ paths }) => paths.length > 0);
    if (refused.length > 0) throw conflictError(refused);
  }
  for (const { manager, set: taken } of conflicts) manager.set = manager.set.difference(taken);
  for (const manager of others)
    manager.set = manager.set.difference(restrict(difference.removed, writer, hasStatus));

  const result = merged === base ? clone(merged) : merged;
  const applier: Manager = {
    name: writer.manager,
    operation: 'Apply',
    apiVersion: writer.apiVersion,
    subresource: writer.subresource,
    time: self?.set.equals(set) && changed.empty ? self.time : timestamp(now),
    set,
  };
  result.metadata = { ...result.metadata };
  write(result, [...others, applier]);
  return result;
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** What `kubectl apply` wrote before and nobody changed since: its user may go over to server-side apply with it. */
function fromLastApplied(live: ApiObject, schema: Schema): FieldSet {
  const text = live.metadata.annotations?.[lastApplied];
  if (!text) return new FieldSet();
  let before: Json;
  try {
    before = JSON.parse(text) as Json;
  } catch {
    return new FieldSet();
  }
  const { modified, removed } = compare(before, live, schema);
  return fieldSetOf(before, schema).difference(modified).difference(removed);
}

/**
 * Takes out what the applier owned before (`last`) and nobody owns now. It is done by taking out all of `last`, putting
 * back what is owned, and putting back what was never the applier's.
 */
function prune(merged: ApiObject, schema: Schema, last: FieldSet, owned: FieldSet): ApiObject {
  const all = withNamedFields(fieldSetOf(merged, schema), schema);
  const before = withNamedFields(last, schema);
  const heldBy = (value: Json) => withNamedFields(fieldSetOf(value, schema), schema);
  const bare = removePaths(merged, schema, before);
  const unowned = all.difference(heldBy(bare).union(withNamedFields(owned, schema)));
  const restored = removePaths(merged, schema, unowned);
  return removePaths(merged, schema, all.difference(heldBy(restored)).intersection(before)) as ApiObject;
}

/** Owner of everything in an object that was written before ownership was kept. */
function beforeFirstApply(
  live: ApiObject,
  base: ApiObject,
  schema: Schema,
  writer: Writer,
  hasStatus: boolean,
): Manager {
  return {
    name: 'before-first-apply',
    operation: 'Update',
    apiVersion: live.apiVersion,
    subresource: '',
    time: undefined,
    set: restrict(compare({}, base, schema).added, { ...writer, subresource: '' }, hasStatus),
  };
}
