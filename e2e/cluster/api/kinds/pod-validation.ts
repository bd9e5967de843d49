/** Validation of pod specs: what a real API server refuses and people get wrong. */
import { type FieldError, field } from '../errors.ts';
import { asList, asObject, asObjects, asString, at, isObject, type Json, type JsonObject } from '../json.ts';
import { parseQuantity } from '../quantity.ts';
import { isLabel, isQualifiedName, isSubdomain, validateLabels } from './names.ts';

const restartPolicies = ['Always', 'OnFailure', 'Never'];
const pullPolicies = ['Always', 'IfNotPresent', 'Never'];
const protocols = ['SCTP', 'TCP', 'UDP'];
const dnsPolicies = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
const operators = ['Equal', 'Exists'];
const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

export function validatePodSpec(spec: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const containers = asObjects(spec['containers']);
  const volumes = new Set(asObjects(spec['volumes']).map((volume) => asString(volume['name'])));
  if (containers.length === 0) errors.push(field.required(`${path}.containers`));
  if (!restartPolicies.includes(asString(spec['restartPolicy']))) {
    errors.push(field.notSupported(`${path}.restartPolicy`, spec['restartPolicy'], restartPolicies));
  }
  if (!dnsPolicies.includes(asString(spec['dnsPolicy']))) {
    errors.push(field.notSupported(`${path}.dnsPolicy`, spec['dnsPolicy'], dnsPolicies));
  }
  errors.push(...validateVolumes(asObjects(spec['volumes']), `${path}.volumes`));
  const names = new Set<string>();
  for (const key of ['containers', 'initContainers', 'ephemeralContainers']) {
    for (const [index, container] of asObjects(spec[key]).entries()) {
      const at = `${path}.${key}[${index}]`;
      const name = asString(container['name']);
      if (names.has(name)) errors.push(field.duplicate(`${at}.name`, name));
      names.add(name);
      errors.push(...validateContainer(container, at, volumes));
    }
  }
  errors.push(...validateTolerations(asObjects(spec['tolerations']), `${path}.tolerations`));
  errors.push(...validateLabels(spec['nodeSelector'], `${path}.nodeSelector`));
  const account = asString(spec['serviceAccountName']);
  if (account) {
    for (const why of isSubdomain(account))
      errors.push(field.invalid(`${path}.serviceAccountName`, account, why));
  }
  return errors;
}

function validateContainer(container: JsonObject, path: string, volumes: ReadonlySet<string>): FieldError[] {
  const errors: FieldError[] = [];
  const name = asString(container['name']);
  if (!name) errors.push(field.required(`${path}.name`));
  else for (const why of isLabel(name)) errors.push(field.invalid(`${path}.name`, name, why));
  const image = asString(container['image']);
  if (!image) errors.push(field.required(`${path}.image`));
  else if (image !== image.trim()) {
    errors.push(field.invalid(`${path}.image`, image, 'must not have leading or trailing whitespace'));
  }
  if (!pullPolicies.includes(asString(container['imagePullPolicy']))) {
    errors.push(field.notSupported(`${path}.imagePullPolicy`, container['imagePullPolicy'], pullPolicies));
  }
  errors.push(...validatePorts(asObjects(container['ports']), `${path}.ports`));
  errors.push(...validateEnv(asObjects(container['env']), `${path}.env`));
  const mounts = new Set<string>();
  for (const [index, mount] of asObjects(container['volumeMounts']).entries()) {
    const at = `${path}.volumeMounts[${index}]`;
    const volume = asString(mount['name']);
    const target = asString(mount['mountPath']);
    if (!volumes.has(volume)) errors.push(field.notFound(`${at}.name`, volume));
    if (!target) errors.push(field.required(`${at}.mountPath`));
    else if (mounts.has(target)) errors.push(field.invalid(`${at}.mountPath`, target, 'must be unique'));
    mounts.add(target);
  }
  errors.push(...validateResources(asObject(container['resources']), `${path}.resources`));
  for (const key of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[key];
    if (isObject(probe)) errors.push(...validateProbe(probe, `${path}.${key}`));
  }
  return errors;
}

function isPort(value: Json | undefined): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}

const portRange = 'must be between 1 and 65535, inclusive';

function validatePorts(ports: readonly JsonObject[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = `${path}[${index}]`;
    const name = asString(port['name']);
    if (name) {
      for (const why of portNameErrors(name)) errors.push(field.invalid(`${at}.name`, name, why));
      if (names.has(name)) errors.push(field.duplicate(`${at}.name`, name));
      names.add(name);
    }
    const number = port['containerPort'];
    if (number === undefined || number === 0) errors.push(field.required(`${at}.containerPort`));
    else if (!isPort(number)) errors.push(field.invalid(`${at}.containerPort`, number, portRange));
    if (!protocols.includes(asString(port['protocol']))) {
      errors.push(field.notSupported(`${at}.protocol`, port['protocol'], protocols));
    }
  }
  return errors;
}

/** Why a text cannot name a port; nothing when it can. */
export function portNameErrors(name: string): string[] {
  const why: string[] = [];
  if (name.length > 15) why.push('must be no more than 15 characters');
  if (!/^[-a-z0-9]+$/.test(name))
    why.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(name)) why.push('must contain at least one letter (a-z)');
  if (name.includes('--')) why.push('must not contain consecutive hyphens');
  if (name.startsWith('-') || name.endsWith('-')) why.push('must not begin or end with a hyphen');
  return why;
}

function validateEnv(env: readonly JsonObject[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, variable] of env.entries()) {
    const at = `${path}[${index}]`;
    const name = asString(variable['name']);
    if (!name) errors.push(field.required(`${at}.name`));
    else if (!/^[ -<>-~]+$/.test(name)) {
      const why =
        "a valid environment variable name must consist only of printable ASCII characters other than '='";
      errors.push(field.invalid(`${at}.name`, name, why));
    }
    if (variable['value'] && variable['valueFrom']) {
      const why = 'may not be specified when `value` is not empty';
      errors.push(field.invalid(`${at}.valueFrom`, '', why));
    }
  }
  return errors;
}

function validateResources(resources: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const limits = asObject(resources['limits']);
  const requests = asObject(resources['requests']);
  for (const [list, key] of [
    [limits, 'limits'],
    [requests, 'requests'],
  ] as const) {
    for (const [name, quantity] of Object.entries(list)) {
      const at = `${path}.${key}[${name}]`;
      const native = ['cpu', 'memory', 'ephemeral-storage'].includes(name) || name.startsWith('hugepages-');
      for (const why of isQualifiedName(name)) errors.push(field.invalid(at, name, why));
      if (!native && !name.includes('/')) {
        errors.push(field.invalid(at, name, 'must be a standard resource type or fully qualified'));
        errors.push(field.invalid(at, name, 'must be a standard resource for containers'));
      }
      const value = parseQuantity(quantity);
      if (value !== undefined && value < 0n) {
        errors.push(field.invalid(at, quantity, 'must be greater than or equal to 0'));
      }
      if (!native && value !== undefined && value % 1_000_000_000n !== 0n) {
        errors.push(field.invalid(at, quantity, 'must be an integer'));
      }
    }
  }
  for (const [name, request] of Object.entries(requests)) {
    const at = `${path}.requests`;
    const limit = limits[name];
    const [asked, most] = [parseQuantity(request), parseQuantity(limit)];
    const extended = name.includes('/');
    if (limit === undefined) {
      if (extended)
        errors.push(field.required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
    } else if (asked !== undefined && most !== undefined) {
      if (extended && asked !== most) {
        errors.push(field.invalid(at, request, `must be equal to ${name} limit of ${limit}`));
      } else if (asked > most) {
        errors.push(field.invalid(at, request, `must be less than or equal to ${name} limit of ${limit}`));
      }
    }
  }
  return errors;
}

function validateProbe(probe: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc'].filter((key) => probe[key] !== undefined);
  if (handlers.length === 0) errors.push(field.required(path, 'must specify a handler type'));
  for (const extra of handlers.slice(1)) {
    errors.push(field.forbidden(`${path}.${extra}`, 'may not specify more than 1 handler type'));
  }
  for (const key of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ]) {
    const value = probe[key];
    if (typeof value === 'number' && value < 0) {
      errors.push(field.invalid(`${path}.${key}`, value, 'must be greater than or equal to 0'));
    }
  }
  for (const key of ['httpGet', 'tcpSocket', 'grpc']) {
    const handler = probe[key];
    if (!isObject(handler)) continue;
    const port = handler['port'];
    if (typeof port === 'string') {
      for (const why of portNameErrors(port)) errors.push(field.invalid(`${path}.${key}.port`, port, why));
    } else if (!isPort(port)) {
      errors.push(field.invalid(`${path}.${key}.port`, port ?? 0, portRange));
    }
  }
  const successes = probe['successThreshold'];
  const kind = path.slice(path.lastIndexOf('.') + 1);
  if (kind !== 'readinessProbe' && typeof successes === 'number' && successes !== 1) {
    errors.push(field.invalid(`${path}.successThreshold`, successes, 'must be 1'));
  }
  return errors;
}

/** In the order in which Kubernetes looks at them. */
const volumeSources = [
  'emptyDir',
  'hostPath',
  'gitRepo',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'secret',
  'nfs',
  'iscsi',
  'glusterfs',
  'flocker',
  'persistentVolumeClaim',
  'rbd',
  'cinder',
  'cephfs',
  'quobyte',
  'downwardAPI',
  'fc',
  'flexVolume',
  'configMap',
  'azureFile',
  'vsphereVolume',
  'portworxVolume',
  'azureDisk',
  'storageos',
  'photonPersistentDisk',
  'projected',
  'scaleIO',
  'csi',
  'ephemeral',
  'image',
];

function validateVolumes(volumes: readonly JsonObject[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const where = `${path}[${index}]`;
    const name = asString(volume['name']);
    if (!name) errors.push(field.required(`${where}.name`));
    else for (const why of isLabel(name)) errors.push(field.invalid(`${where}.name`, name, why));
    if (names.has(name)) errors.push(field.duplicate(`${where}.name`, name));
    names.add(name);
    const sources = volumeSources.filter((key) => volume[key] !== undefined);
    for (const extra of sources.slice(1)) {
      errors.push(field.forbidden(`${where}.${extra}`, 'may not specify more than 1 volume type'));
    }
    if (isObject(volume['hostPath']) && asString(volume['hostPath']['path']).split('/').includes('..')) {
      errors.push(
        field.invalid(`${where}.hostPath.path`, volume['hostPath']['path'], "must not contain '..'"),
      );
    }
    for (const source of asObjects(at(volume, 'projected', 'sources'))) {
      for (const item of asList(source['items'])) {
        if (asString(asObject(item)['path']).split('/').includes('..')) {
          errors.push(
            field.invalid(`${where}.projected.sources`, asObject(item)['path'], "must not contain '..'"),
          );
        }
      }
    }
  }
  return errors;
}

function validateTolerations(tolerations: readonly JsonObject[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, toleration] of tolerations.entries()) {
    const where = `${path}[${index}]`;
    const operator = asString(toleration['operator']);
    const key = asString(toleration['key']);
    if (key) for (const why of isQualifiedName(key)) errors.push(field.invalid(`${where}.key`, key, why));
    else if (operator !== 'Exists') {
      const why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
      errors.push(field.invalid(`${where}.operator`, operator, why));
    }
    if (operator && !operators.includes(operator)) {
      errors.push(field.notSupported(`${where}.operator`, operator, operators));
    }
    if (operator === 'Exists' && toleration['value']) {
      errors.push(
        field.invalid(
          `${where}.operator`,
          toleration['value'],
          "value must be empty when `operator` is 'Exists'",
        ),
      );
    }
    const effect = asString(toleration['effect']);
    if (effect && !effects.includes(effect)) {
      errors.push(field.notSupported(`${where}.effect`, effect, effects));
    }
  }
  return errors;
}
