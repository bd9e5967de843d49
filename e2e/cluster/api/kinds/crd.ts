/** CustomResourceDefinitions: defaults, validation, names and conditions, and serving what they declare. */
import { type FieldError, field } from '../errors.ts';
import {
  type ApiObject,
  asObject,
  asObjects,
  asString,
  at,
  canonical,
  child,
  clone,
  equal,
  type JsonObject,
  setDefault,
  timestamp,
} from '../json.ts';
import { checkDefaults, checkRules } from '../schema/cel.ts';
import type { Schema } from '../schema/schema.ts';
import { validateStructural } from '../schema/structural.ts';
import { customKinds } from './custom.ts';
import type { Rules } from './kind.ts';
import { isDns1035Label } from './names.ts';
import type { Registry } from './registry.ts';

export const crdBucket = 'apiextensions.k8s.io/customresourcedefinitions';
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

function defaults(object: ApiObject): void {
  const spec = child(object, 'spec');
  const names = child(spec, 'names');
  if (asString(names['kind'])) {
    setDefault(names, 'singular', asString(names['kind']).toLowerCase());
    setDefault(names, 'listKind', `${asString(names['kind'])}List`);
  }
  setDefault(child(spec, 'conversion'), 'strategy', 'None');
  // Holds the definition until its objects are gone; `crd-cleanup.ts` takes it off.
  const { metadata } = object;
  if (!metadata.deletionTimestamp && !metadata.finalizers?.includes(cleanupFinalizer)) {
    metadata.finalizers = [...(metadata.finalizers ?? []), cleanupFinalizer];
  }
}

function validate(object: ApiObject): FieldError[] {
  const spec = asObject(object['spec']);
  const names = asObject(spec['names']);
  const errors: FieldError[] = [];
  const expected = `${asString(names['plural'])}.${asString(spec['group'])}`;
  if (object.metadata.name !== expected) {
    errors.push(
      field.invalid('metadata.name', object.metadata.name ?? '', 'must be spec.names.plural+"."+spec.group'),
    );
  }
  if (!asString(spec['group'])) errors.push(field.required('spec.group'));
  else if (!asString(spec['group']).includes('.')) {
    errors.push(field.invalid('spec.group', spec['group'], 'should be a domain with at least one dot'));
  }
  if (!['Cluster', 'Namespaced'].includes(asString(spec['scope']))) {
    errors.push(field.notSupported('spec.scope', spec['scope'], ['Cluster', 'Namespaced']));
  }
  if (!asString(names['kind'])) errors.push(field.required('spec.names.kind'));
  for (const why of isDns1035Label(asString(names['plural']))) {
    errors.push(field.invalid('spec.names.plural', names['plural'] ?? '', why));
  }
  if (at(spec, 'conversion', 'strategy') !== 'None') {
    const why = 'this API server converts by strategy None only';
    errors.push(field.invalid('spec.conversion.strategy', at(spec, 'conversion', 'strategy'), why));
  }
  const versions = asObjects(spec['versions']);
  if (versions.length === 0) errors.push(field.required('spec.versions', 'must have at least one version'));
  if (versions.filter((version) => version['storage'] === true).length !== 1) {
    errors.push(
      field.invalid('spec.versions', versions, 'must have exactly one version marked as storage version'),
    );
  }
  const schemas = new Set(versions.map((version) => canonical(at(version, 'schema') ?? null)));
  for (const [index, version] of versions.entries()) {
    // A schema that all versions share counts as the kind's own.
    const path = schemas.size === 1 ? 'spec.validation' : `spec.versions[${index}].schema`;
    const schema = at(version, 'schema', 'openAPIV3Schema') as Schema | undefined;
    if (!schema) {
      errors.push(field.required(`spec.versions[${index}].schema.openAPIV3Schema`, 'schemas are required'));
      continue;
    }
    const before = errors.length;
    for (const check of [validateStructural, checkRules, checkDefaults])
      if (errors.length === before) errors.push(...check(schema, `${path}.openAPIV3Schema`));
    if (schemas.size === 1) break;
  }
  return errors;
}

function condition(type: string, status: string, reason: string, message: string, now: string): JsonObject {
  return { type, status, lastTransitionTime: now, reason, message };
}

/** Settles names and conditions, as the CRD controllers of a real API server do within moments. */
function settleStatus(object: ApiObject, old: ApiObject | undefined): void {
  const spec = asObject(object['spec']);
  const now = timestamp();
  const storage = asObjects(spec['versions']).find((version) => version['storage'] === true);
  const before = asObject(old?.['status']);
  const stored = new Set([
    ...((before['storedVersions'] as string[] | undefined) ?? []),
    asString(storage?.['name']),
  ]);
  const conditions = asObjects(before['conditions']);
  object['status'] = {
    conditions:
      conditions.length > 0
        ? conditions
        : [
            condition('NamesAccepted', 'True', 'NoConflicts', 'no conflicts found', now),
            condition(
              'Established',
              'True',
              'InitialNamesAccepted',
              'the initial names have been accepted',
              now,
            ),
          ],
    acceptedNames: clone(asObject(spec['names'])),
    storedVersions: [...stored],
  };
}

export function crdRules(registry: Registry): Rules {
  return {
    default: defaults,
    prepareCreate(object) {
      settleStatus(object, undefined);
    },
    prepareUpdate(object, old) {
      if (object.metadata.deletionTimestamp) object['status'] = old['status'];
      else settleStatus(object, old);
    },
    validate,
    validateUpdate(object, old) {
      const errors: FieldError[] = [];
      for (const path of ['group', 'scope', 'names.kind', 'names.plural']) {
        const [now, before] = [at(object, 'spec', ...path.split('.')), at(old, 'spec', ...path.split('.'))];
        if (!equal(now, before))
          errors.push(field.invalid(`spec.${path}`, now ?? null, 'field is immutable'));
      }
      return errors;
    },
    stored(object, old) {
      const crd = object ?? old;
      const group = asString(at(crd, 'spec', 'group'));
      const plural = asString(at(crd, 'spec', 'names', 'plural'));
      if (!object) {
        registry.setCustom(group, plural, []);
        return;
      }
      if (!object.metadata.deletionTimestamp) {
        registry.setCustom(group, plural, customKinds(object));
      }
    },
  };
}
