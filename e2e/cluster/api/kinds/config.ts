/** Namespaces, ConfigMaps, Secrets, leases, priority classes and other plain kinds. */
import { type FieldError, field } from '../errors.ts';
import {
  type ApiObject,
  asObject,
  asObjects,
  asString,
  at,
  child,
  equal,
  isObject,
  setDefault,
} from '../json.ts';
import type { Rules } from './kind.ts';
import { isSubdomain } from './names.ts';

const dataLimit = 1024 * 1024;

function dataKeyErrors(object: ApiObject, parts: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const part of parts) {
    for (const [key, value] of Object.entries(asObject(object[part]))) {
      size += asString(value).length;
      if (key.length > 253 || !/^[-._a-zA-Z0-9]+$/.test(key) || /^\.\.?$/.test(key) || key.startsWith('..')) {
        const why =
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        errors.push(field.invalid(`${part}[${key}]`, key, why));
      }
    }
  }
  if (size > dataLimit) errors.push(field.tooLong(parts[0]!, dataLimit));
  return errors;
}

function immutableData(object: ApiObject, old: ApiObject): FieldError[] {
  if (old['immutable'] !== true) return [];
  const errors: FieldError[] = [];
  if (object['immutable'] !== true) {
    errors.push(field.forbidden('immutable', 'field is immutable when `immutable` is set'));
  }
  for (const key of ['data', 'binaryData']) {
    if (!equal(object[key], old[key])) {
      errors.push(field.forbidden(key, 'field is immutable when `immutable` is set'));
    }
  }
  return errors;
}

function immutable(path: string): NonNullable<Rules['validateUpdate']> {
  return (object, old) => {
    const [now, before] = [at(object, ...path.split('.')), at(old, ...path.split('.'))];
    return equal(now, before) ? [] : [field.invalid(path, now ?? null, 'field is immutable')];
  };
}

const highestUserPriority = 1_000_000_000;

export const configRules: Readonly<Record<string, Rules>> = {
  Namespace: {
    default(object) {
      const labels = child(object.metadata, 'labels');
      if (object.metadata.name) labels['kubernetes.io/metadata.name'] = object.metadata.name;
    },
    prepareCreate(object) {
      object['spec'] = { finalizers: ['kubernetes'] };
      object['status'] = { phase: 'Active' };
    },
    prepareUpdate(object, old) {
      // Only the `finalize` subresource changes these.
      object['spec'] = old['spec'];
      object['status'] = old['status'];
    },
  },
  ResourceQuota: {
    prepareCreate(object) {
      object['status'] = {};
    },
  },
  ConfigMap: {
    validate: (object) => dataKeyErrors(object, ['data', 'binaryData']),
    validateUpdate: immutableData,
  },
  Secret: {
    default(object) {
      setDefault(object, 'type', 'Opaque');
      if (!isObject(object['stringData'])) return;
      const data = child(object, 'data');
      for (const [key, value] of Object.entries(object['stringData'])) {
        data[key] = Buffer.from(asString(value)).toString('base64');
      }
      delete object['stringData'];
    },
    validate: (object) => dataKeyErrors(object, ['data']),
    validateUpdate(object, old) {
      return [...immutableData(object, old), ...immutable('type')(object, old, undefined as never)];
    },
  },
  PriorityClass: {
    default: (object) => {
      setDefault(object, 'preemptionPolicy', 'PreemptLowerPriority');
      setDefault(object, 'value', 0);
    },
    validate(object) {
      const value = object['value'];
      const name = asString(object.metadata.name);
      if (name.startsWith('system-')) {
        const known = name === 'system-node-critical' || name === 'system-cluster-critical';
        if (known) return [];
        const why = `priority class names with 'system-' prefix are reserved for system use only. error: ${name} is not a known system priority class`;
        return [field.forbidden('metadata.name', why)];
      }
      if (typeof value === 'number' && value > highestUserPriority) {
        return [
          field.forbidden(
            'value',
            `maximum allowed value of a user defined priority is ${highestUserPriority}`,
          ),
        ];
      }
      return [];
    },
    validateUpdate: (object, old, context) => [
      ...immutable('value')(object, old, context),
      ...immutable('preemptionPolicy')(object, old, context),
    ],
  },
  RuntimeClass: {
    validate(object) {
      const handler = asString(object['handler']);
      if (!handler) return [field.required('handler')];
      return isSubdomain(handler).map((why) => field.invalid('handler', handler, why));
    },
    validateUpdate: immutable('handler'),
  },
  ControllerRevision: { validateUpdate: immutable('data') },
  Lease: {
    validate(object) {
      const errors: FieldError[] = [];
      const seconds = at(object, 'spec', 'leaseDurationSeconds');
      if (typeof seconds === 'number' && seconds <= 0) {
        errors.push(field.invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0'));
      }
      return errors;
    },
  },
  Ingress: {
    prepareCreate(object) {
      object['status'] = { loadBalancer: {} };
    },
  },
  IngressClass: { validateUpdate: immutable('spec.controller') },
  NetworkPolicy: {
    default(object) {
      const spec = child(object, 'spec');
      if (spec['policyTypes'] === undefined) {
        spec['policyTypes'] = spec['egress'] === undefined ? ['Ingress'] : ['Ingress', 'Egress'];
      }
      for (const rule of [...asObjects(spec['ingress']), ...asObjects(spec['egress'])]) {
        for (const port of asObjects(rule['ports'])) setDefault(port, 'protocol', 'TCP');
      }
    },
  },
};
