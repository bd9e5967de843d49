/** Pods and nodes. */
import { type FieldError, field } from '../errors.ts';
import {
  type ApiObject,
  asObject,
  asObjects,
  asString,
  at,
  child,
  clone,
  equal,
  type JsonObject,
  setDefault,
} from '../json.ts';
import { isZero } from '../quantity.ts';
import { metadataFields, type Rules } from './kind.ts';
import { defaultPodSpec, requestsFromLimits } from './pod-defaults.ts';
import { validatePodSpec } from './pod-validation.ts';

export function podFields(object: ApiObject): { [field: string]: string } {
  const spec = asObject(object['spec']);
  const status = asObject(object['status']);
  return {
    ...metadataFields(object),
    'spec.nodeName': asString(spec['nodeName']),
    'spec.restartPolicy': asString(spec['restartPolicy']),
    'spec.schedulerName': asString(spec['schedulerName']),
    'spec.serviceAccountName': asString(spec['serviceAccountName']),
    'spec.hostNetwork': String(spec['hostNetwork'] ?? false),
    'status.phase': asString(status['phase']),
    'status.podIP': asString(status['podIP']),
    'status.nominatedNodeName': asString(status['nominatedNodeName']),
  };
}

/** Guaranteed, Burstable or BestEffort, by the requests and limits of all containers. */
export function qualityOfService(spec: JsonObject): string {
  const containers = [...asObjects(spec['containers']), ...asObjects(spec['initContainers'])];
  let any = false;
  let guaranteed = true;
  for (const container of containers) {
    const requests = asObject(at(container, 'resources', 'requests'));
    const limits = asObject(at(container, 'resources', 'limits'));
    for (const name of ['cpu', 'memory']) {
      const [request, limit] = [requests[name], limits[name]];
      if ((request !== undefined && !isZero(request)) || (limit !== undefined && !isZero(limit))) any = true;
      if (limit === undefined || isZero(limit) || !equal(request ?? limit, limit)) guaranteed = false;
    }
  }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** What may change in a pod's spec after creation. */
function mutableParts(spec: JsonObject): JsonObject {
  const rest = clone(spec);
  for (const key of ['containers', 'initContainers']) {
    for (const container of asObjects(rest[key])) delete container['image'];
  }
  delete rest['activeDeadlineSeconds'];
  delete rest['tolerations'];
  delete rest['terminationGracePeriodSeconds'];
  delete rest['schedulingGates'];
  delete rest['ephemeralContainers'];
  return rest;
}

function validatePodUpdate(object: ApiObject, old: ApiObject): FieldError[] {
  const [now, before] = [asObject(object['spec']), asObject(old['spec'])];
  if (equal(mutableParts(now), mutableParts(before))) return [];
  return [
    field.forbidden(
      'spec',
      'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ),
  ];
}

export const podRules: Readonly<Record<string, Rules>> = {
  Pod: {
    default(object) {
      const spec = child(object, 'spec');
      defaultPodSpec(spec);
      setDefault(spec, 'enableServiceLinks', true);
      for (const key of ['containers', 'initContainers']) {
        for (const container of asObjects(spec[key])) requestsFromLimits(asObject(container['resources']));
      }
    },
    prepareCreate(object) {
      object['status'] = { phase: 'Pending', qosClass: qualityOfService(asObject(object['spec'])) };
    },
    prepareStatus(object, old) {
      object['spec'] = old['spec'];
      const { deletionTimestamp, deletionGracePeriodSeconds, ownerReferences } = old.metadata;
      object.metadata = { ...object.metadata };
      if (ownerReferences) object.metadata.ownerReferences = ownerReferences;
      if (deletionTimestamp) {
        object.metadata.deletionTimestamp = deletionTimestamp;
        if (deletionGracePeriodSeconds !== undefined) {
          object.metadata.deletionGracePeriodSeconds = deletionGracePeriodSeconds;
        }
      }
      setDefault(child(object, 'status'), 'qosClass', qualityOfService(asObject(old['spec'])));
    },
    validate(object) {
      return validatePodSpec(asObject(object['spec']), 'spec');
    },
    validateUpdate: validatePodUpdate,
  },
};

const notReady = 'node.kubernetes.io/not-ready';
const nodeInfoFields = [
  'machineID',
  'systemUUID',
  'bootID',
  'kernelVersion',
  'osImage',
  'containerRuntimeVersion',
  'kubeletVersion',
  'kubeProxyVersion',
  'operatingSystem',
  'architecture',
];

export const nodeRules: Readonly<Record<string, Rules>> = {
  Node: {
    default(object) {
      const status = child(object, 'status');
      if (status['capacity'] !== undefined) setDefault(status, 'allocatable', clone(status['capacity']));
      setDefault(child(child(status, 'daemonEndpoints'), 'kubeletEndpoint'), 'Port', 0);
      const info = child(status, 'nodeInfo');
      for (const key of nodeInfoFields) setDefault(info, key, '');
    },
    prepareCreate(object) {
      // Nothing is scheduled to a node before it has said that it is ready; the node lifecycle controller takes it off.
      const spec = child(object, 'spec');
      const taints = asObjects(spec['taints']);
      const has = taints.some((taint) => taint['key'] === notReady && taint['effect'] === 'NoSchedule');
      if (!has) spec['taints'] = [...taints, { key: notReady, effect: 'NoSchedule' }];
    },
    validateUpdate(object, old) {
      const [now, before] = [at(object, 'spec', 'podCIDR'), at(old, 'spec', 'podCIDR')];
      if (before && !equal(now, before)) {
        return [
          field.forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'),
        ];
      }
      return [];
    },
  },
};
