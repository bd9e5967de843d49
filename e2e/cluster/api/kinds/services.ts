/** Services (with the allocation of cluster addresses and node ports) and endpoint slices. */
import { type FieldError, field } from '../errors.ts';
import {
  type ApiObject,
  asList,
  asObject,
  asObjects,
  asString,
  at,
  child,
  equal,
  type JsonObject,
  setDefault,
} from '../json.ts';
import type { Rules, WriteContext } from './kind.ts';
import { isLabel, validateLabels } from './names.ts';
import { portNameErrors } from './pod-validation.ts';

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const protocols = ['SCTP', 'TCP', 'UDP'];

function parseAddress(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** First and last usable address of a CIDR. */
function range(cidr: string): { first: number; last: number } {
  const [base, bits] = cidr.split('/');
  const size = 2 ** (32 - Number(bits));
  const start = Math.floor(parseAddress(base!)! / size) * size;
  return { first: start + 1, last: start + size - 2 };
}

function services(context: WriteContext): ApiObject[] {
  return [...context.store.bucket('/services').items.values()];
}

function allocateAddress(service: ApiObject, context: WriteContext): FieldError | undefined {
  const spec = child(service, 'spec');
  const asked = asString(spec['clusterIP']);
  if (asked === 'None') return undefined;
  const taken = new Set(services(context).map((each) => asString(at(each, 'spec', 'clusterIP'))));
  const { first, last } = range(context.serviceCidr);
  if (asked) {
    const value = parseAddress(asked);
    if (value === undefined || value < first || value > last) {
      const why = `failed to allocate IP ${asked}: the provided IP (${asked}) is not in the valid range. The range of valid IPs is ${context.serviceCidr}`;
      return field.invalid('spec.clusterIPs', [asked], why);
    }
    if (taken.has(asked)) {
      const why = `failed to allocate IP ${asked}: provided IP is already allocated`;
      return field.invalid('spec.clusterIPs', [asked], why);
    }
    return undefined;
  }
  // The low addresses stay free for services that ask for one, such as DNS.
  const reserved = Math.min(256, Math.max(16, Math.floor((last - first) / 16)));
  for (let value = Math.min(first + reserved, last); value <= last; value += 1) {
    const address = formatAddress(value);
    if (taken.has(address)) continue;
    spec['clusterIP'] = address;
    return undefined;
  }
  return field.invalid('spec.clusterIPs', [], 'failed to allocate a serviceIP: range is full');
}

const nodePorts = { first: 30_000, last: 32_767 };

function usesNodePorts(spec: JsonObject): boolean {
  if (spec['type'] === 'NodePort') return true;
  return spec['type'] === 'LoadBalancer' && spec['allocateLoadBalancerNodePorts'] !== false;
}

function allocateNodePorts(service: ApiObject, context: WriteContext): void {
  const spec = asObject(service['spec']);
  if (!usesNodePorts(spec)) {
    for (const port of asObjects(spec['ports'])) delete port['nodePort'];
    return;
  }
  const taken = new Set<unknown>();
  for (const each of services(context)) {
    if (each.metadata.uid === service.metadata.uid) continue;
    for (const port of asObjects(at(each, 'spec', 'ports'))) taken.add(port['nodePort']);
  }
  for (const port of asObjects(spec['ports'])) if (port['nodePort']) taken.add(port['nodePort']);
  for (const port of asObjects(spec['ports'])) {
    if (port['nodePort']) continue;
    for (let number = nodePorts.first; number <= nodePorts.last; number += 1) {
      if (taken.has(number)) continue;
      port['nodePort'] = number;
      taken.add(number);
      break;
    }
  }
}

/** Sets the fields that follow from the allocated address. */
function settleAddress(service: ApiObject): void {
  const spec = child(service, 'spec');
  if (spec['type'] === 'ExternalName') {
    for (const key of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy'])
      delete spec[key];
    return;
  }
  spec['clusterIPs'] = [asString(spec['clusterIP'])];
  setDefault(spec, 'ipFamilies', ['IPv4']);
  setDefault(spec, 'ipFamilyPolicy', 'SingleStack');
}

/** Errors of allocation surface in validation, since preparing cannot fail. */
const allocationErrors = new WeakMap<ApiObject, FieldError>();

function allocate(service: ApiObject, context: WriteContext): void {
  if (asObject(service['spec'])['type'] !== 'ExternalName') {
    const error = allocateAddress(service, context);
    if (error) allocationErrors.set(service, error);
  }
  settleAddress(service);
  allocateNodePorts(service, context);
}

function validateService(object: ApiObject): FieldError[] {
  const spec = asObject(object['spec']);
  const errors: FieldError[] = [];
  const failed = allocationErrors.get(object);
  if (failed) errors.push(failed);
  const type = asString(spec['type']);
  const ports = asObjects(spec['ports']);
  const headless = spec['clusterIP'] === 'None';
  if (!types.includes(type)) errors.push(field.notSupported('spec.type', type, types));
  if (ports.length === 0 && !headless && type !== 'ExternalName') errors.push(field.required('spec.ports'));
  if (type === 'ExternalName' && !spec['externalName']) errors.push(field.required('spec.externalName'));
  if (headless && (type === 'NodePort' || type === 'LoadBalancer')) {
    errors.push(field.invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`));
  }
  errors.push(...validateLabels(spec['selector'], 'spec.selector'));
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    const name = asString(port['name']);
    if (!name && ports.length > 1) errors.push(field.required(`${path}.name`));
    else if (name) {
      for (const why of isLabel(name)) errors.push(field.invalid(`${path}.name`, name, why));
      if (names.has(name)) errors.push(field.duplicate(`${path}.name`, name));
      names.add(name);
    }
    const number = port['port'];
    if (typeof number !== 'number' || number < 1 || number > 65535) {
      errors.push(field.invalid(`${path}.port`, number ?? 0, 'must be between 1 and 65535, inclusive'));
    }
    const target = port['targetPort'];
    if (typeof target === 'string') {
      for (const why of portNameErrors(target)) errors.push(field.invalid(`${path}.targetPort`, target, why));
    } else if (typeof target !== 'number' || target < 1 || target > 65535) {
      errors.push(field.invalid(`${path}.targetPort`, target ?? 0, 'must be between 1 and 65535, inclusive'));
    }
    const protocol = asString(port['protocol']);
    if (!protocols.includes(protocol))
      errors.push(field.notSupported(`${path}.protocol`, protocol, protocols));
    const key = `${protocol}/${number}`;
    if (numbers.has(key)) errors.push(field.duplicate(path, { port: number as number, protocol }));
    numbers.add(key);
  }
  return errors;
}

export const serviceRules: Readonly<Record<string, Rules>> = {
  Service: {
    default(object) {
      const spec = child(object, 'spec');
      setDefault(spec, 'sessionAffinity', 'None');
      setDefault(spec, 'type', 'ClusterIP');
      if (spec['sessionAffinity'] === 'ClientIP') {
        setDefault(child(child(spec, 'sessionAffinityConfig'), 'clientIP'), 'timeoutSeconds', 10_800);
      }
      for (const port of asObjects(spec['ports'])) {
        setDefault(port, 'protocol', 'TCP');
        if (port['targetPort'] === undefined || port['targetPort'] === 0 || port['targetPort'] === '') {
          port['targetPort'] = port['port'];
        }
      }
      if (spec['type'] === 'NodePort' || spec['type'] === 'LoadBalancer') {
        setDefault(spec, 'externalTrafficPolicy', 'Cluster');
      }
      if (spec['type'] === 'LoadBalancer') setDefault(spec, 'allocateLoadBalancerNodePorts', true);
      if (spec['type'] !== 'ExternalName') setDefault(spec, 'internalTrafficPolicy', 'Cluster');
    },
    prepareCreate(object, context) {
      object['status'] = { loadBalancer: {} };
      const addresses = asList(at(object, 'spec', 'clusterIPs'));
      const spec = child(object, 'spec');
      if (!spec['clusterIP'] && addresses.length > 0) spec['clusterIP'] = asString(addresses[0]);
      allocate(object, context);
    },
    prepareUpdate(object, old, context) {
      const spec = child(object, 'spec');
      const before = asObject(old['spec']);
      const wasExternal = before['type'] === 'ExternalName';
      if (!wasExternal && spec['type'] !== 'ExternalName' && !spec['clusterIP']) {
        spec['clusterIP'] = asString(before['clusterIP']);
      }
      const oldPorts = asObjects(before['ports']);
      for (const port of asObjects(spec['ports'])) {
        const same = oldPorts.find(
          (each) => each['port'] === port['port'] && each['protocol'] === port['protocol'],
        );
        if (!port['nodePort'] && same?.['nodePort']) port['nodePort'] = same['nodePort'];
      }
      if (wasExternal) {
        allocate(object, context);
        return;
      }
      settleAddress(object);
      allocateNodePorts(object, context);
    },
    validate: validateService,
    validateUpdate(object, old) {
      const [now, before] = [asObject(object['spec']), asObject(old['spec'])];
      if (now['type'] === 'ExternalName' || before['type'] === 'ExternalName') return [];
      if (equal(now['clusterIP'], before['clusterIP'])) return [];
      return [field.invalid('spec.clusterIPs[0]', [asString(now['clusterIP'])], 'may not change once set')];
    },
  },
  Endpoints: {
    default(object) {
      for (const subset of asObjects(object['subsets'])) {
        for (const port of asObjects(subset['ports'])) setDefault(port, 'protocol', 'TCP');
      }
    },
  },
  EndpointSlice: {
    default(object) {
      for (const endpoint of asObjects(object['endpoints'])) child(endpoint, 'conditions');
      for (const port of asObjects(object['ports'])) {
        setDefault(port, 'name', '');
        setDefault(port, 'protocol', 'TCP');
      }
    },
    validate(object) {
      const errors: FieldError[] = [];
      const families = ['FQDN', 'IPv4', 'IPv6'];
      if (!asString(object['addressType'])) errors.push(field.required('addressType'));
      else if (!families.includes(asString(object['addressType']))) {
        errors.push(field.notSupported('addressType', object['addressType'], families));
      }
      for (const [index, endpoint] of asObjects(object['endpoints']).entries()) {
        const addresses = asList(endpoint['addresses']);
        const path = `endpoints[${index}].addresses`;
        if (addresses.length === 0) errors.push(field.required(path, 'must contain at least 1 address'));
        for (const [position, address] of addresses.entries()) {
          const text = asString(address);
          if (object['addressType'] === 'IPv4' && parseAddress(text) === undefined) {
            errors.push(field.invalid(`${path}[${position}]`, text, 'must be a valid IPv4 address'));
          }
        }
      }
      return errors;
    },
    validateUpdate(object, old) {
      if (equal(object['addressType'], old['addressType'])) return [];
      return [field.invalid('addressType', object['addressType'], 'field is immutable')];
    },
  },
};
