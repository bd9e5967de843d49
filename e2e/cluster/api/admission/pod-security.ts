/** Pod Security admission: the `baseline` and `restricted` levels, enforced or warned of by namespace labels. */
import { forbidden } from '../errors.ts';
import { type ApiObject, asList, asObject, asObjects, asString, at, type JsonObject } from '../json.ts';
import type { Call } from '../resource/call.ts';
import type { AdmissionPlugin } from './admission.ts';

type Level = 'privileged' | 'baseline' | 'restricted';

/** One thing a level forbids; undefined when the pod is in order. */
type Check = (pod: Pod) => { reason: string; detail: string } | undefined;

interface Pod {
  readonly spec: JsonObject;
  readonly security: JsonObject;
  readonly containers: readonly JsonObject[];
}

function securityOf(container: JsonObject): JsonObject {
  return asObject(container['securityContext']);
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ');
}

function plural(word: string, names: readonly unknown[]): string {
  return names.length === 1 ? word : `${word}s`;
}

/** `container "a"` or `containers "a", "b"`. */
function named(containers: readonly JsonObject[]): string {
  return `${plural('container', containers)} ${quoted(containers.map((each) => asString(each['name'])))}`;
}

function offending(pod: Pod, wrong: (container: JsonObject) => boolean): JsonObject[] {
  return pod.containers.filter(wrong);
}

const baselineCapabilities = new Set(
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'.split(
    ' ',
  ),
);
const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);
const selinuxTypes = new Set([
  '',
  'container_t',
  'container_init_t',
  'container_kvm_t',
  'container_engine_t',
]);
const restrictedVolumes = new Set(
  'configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret'.split(' '),
);

const baselineChecks: Readonly<Record<string, Check>> = {
  hostNamespaces: (pod) => {
    const found = ['hostNetwork', 'hostPID', 'hostIPC'].filter((key) => pod.spec[key] === true);
    return found.length === 0
      ? undefined
      : { reason: 'host namespaces', detail: found.map((key) => `${key}=true`).join(', ') };
  },
  privileged: (pod) => {
    const found = offending(pod, (each) => securityOf(each)['privileged'] === true);
    return found.length === 0
      ? undefined
      : { reason: 'privileged', detail: `${named(found)} must not set securityContext.privileged=true` };
  },
  capabilities: (pod) => {
    const added = (each: JsonObject) => asList(at(securityOf(each), 'capabilities', 'add')).map(String);
    const found = offending(pod, (each) => added(each).some((name) => !baselineCapabilities.has(name)));
    const names = [...new Set(found.flatMap(added))].filter((name) => !baselineCapabilities.has(name)).sort();
    return found.length === 0
      ? undefined
      : {
          reason: 'non-default capabilities',
          detail: `${named(found)} must not include ${quoted(names)} in securityContext.capabilities.add`,
        };
  },
  hostPath: (pod) => {
    const found = asObjects(pod.spec['volumes']).filter((each) => each['hostPath'] !== undefined);
    const names = found.map((each) => asString(each['name']));
    return found.length === 0
      ? undefined
      : { reason: 'hostPath volumes', detail: `${plural('volume', names)} ${quoted(names)}` };
  },
  hostPorts: (pod) => {
    const ports = (each: JsonObject) =>
      asObjects(each['ports'])
        .map((port) => port['hostPort'])
        .filter((port) => typeof port === 'number' && port !== 0);
    const found = offending(pod, (each) => ports(each).length > 0);
    const numbers = [...new Set(found.flatMap(ports))].sort().join(', ');
    const several = numbers.includes(',');
    return found.length === 0
      ? undefined
      : {
          reason: 'hostPort',
          detail: `${named(found)} ${found.length === 1 ? 'uses' : 'use'} ${several ? 'hostPorts' : 'hostPort'} ${numbers}`,
        };
  },
  appArmor: (pod) => {
    const wrong = (security: JsonObject) => at(security, 'appArmorProfile', 'type') === 'Unconfined';
    const found = offending(pod, (each) => wrong(securityOf(each)));
    if (!wrong(pod.security) && found.length === 0) return undefined;
    const who = [...(wrong(pod.security) ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(
      ' and ',
    );
    return {
      reason: 'forbidden AppArmor profile',
      detail: `${who} must not set AppArmor profile type to "Unconfined"`,
    };
  },
  seLinux: (pod) => {
    const all = [pod.security, ...pod.containers.map(securityOf)].map((each) =>
      asObject(each['seLinuxOptions']),
    );
    const wrong = all.some(
      (each) =>
        !selinuxTypes.has(asString(each['type'])) ||
        asString(each['user']) !== '' ||
        asString(each['role']) !== '',
    );
    return wrong
      ? { reason: 'seLinuxOptions', detail: 'pod or containers set forbidden securityContext.seLinuxOptions' }
      : undefined;
  },
  procMount: (pod) => {
    const found = offending(
      pod,
      (each) => !['', 'Default'].includes(asString(securityOf(each)['procMount'])),
    );
    const value = asString(securityOf(found[0] ?? {})['procMount']);
    return found.length === 0
      ? undefined
      : {
          reason: 'procMount',
          detail: `${named(found)} must not set securityContext.procMount to ${JSON.stringify(value)}`,
        };
  },
  seccomp: (pod) => {
    const wrong = (security: JsonObject) => at(security, 'seccompProfile', 'type') === 'Unconfined';
    const found = offending(pod, (each) => wrong(securityOf(each)));
    if (!wrong(pod.security) && found.length === 0) return undefined;
    const who = [...(wrong(pod.security) ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(
      ' and ',
    );
    return {
      reason: 'seccompProfile',
      detail: `${who} must not set securityContext.seccompProfile.type to "Unconfined"`,
    };
  },
  sysctls: (pod) => {
    const names = asObjects(pod.security['sysctls'])
      .map((each) => asString(each['name']))
      .filter((name) => !safeSysctls.has(name));
    return names.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: names.join(', ') };
  },
  hostProcess: (pod) => {
    const wrong = (security: JsonObject) => at(security, 'windowsOptions', 'hostProcess') === true;
    const found = offending(pod, (each) => wrong(securityOf(each)));
    if (!wrong(pod.security) && found.length === 0) return undefined;
    const who = [...(wrong(pod.security) ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(
      ' and ',
    );
    return {
      reason: 'hostProcess',
      detail: `${who} must not set securityContext.windowsOptions.hostProcess=true`,
    };
  },
};

const restrictedChecks: Readonly<Record<string, Check>> = {
  volumeTypes: (pod) => {
    const source = (volume: JsonObject) =>
      Object.keys(volume).find((key) => key !== 'name' && volume[key] !== undefined) ?? '';
    const found = asObjects(pod.spec['volumes']).filter((each) => !restrictedVolumes.has(source(each)));
    const names = found.map((each) => asString(each['name']));
    const kinds = [...new Set(found.map(source))].sort();
    return found.length === 0
      ? undefined
      : {
          reason: 'restricted volume types',
          detail: `${plural('volume', names)} ${quoted(names)} ${names.length === 1 ? 'uses' : 'use'} restricted volume ${plural('type', kinds)} ${quoted(kinds)}`,
        };
  },
  escalation: (pod) => {
    const found = offending(pod, (each) => securityOf(each)['allowPrivilegeEscalation'] !== false);
    return found.length === 0
      ? undefined
      : {
          reason: 'allowPrivilegeEscalation != false',
          detail: `${named(found)} must set securityContext.allowPrivilegeEscalation=false`,
        };
  },
  capabilities: (pod) => {
    const list = (each: JsonObject, key: string) =>
      asList(at(securityOf(each), 'capabilities', key)).map(String);
    const undropped = offending(pod, (each) => !list(each, 'drop').includes('ALL'));
    const extra = offending(pod, (each) => list(each, 'add').some((name) => name !== 'NET_BIND_SERVICE'));
    const details: string[] = [];
    if (undropped.length > 0)
      details.push(`${named(undropped)} must set securityContext.capabilities.drop=["ALL"]`);
    if (extra.length > 0) {
      const names = [...new Set(extra.flatMap((each) => list(each, 'add')))]
        .filter((name) => name !== 'NET_BIND_SERVICE')
        .sort();
      details.push(`${named(extra)} must not include ${quoted(names)} in securityContext.capabilities.add`);
    }
    return details.length === 0
      ? undefined
      : { reason: 'unrestricted capabilities', detail: details.join('; ') };
  },
  runAsNonRoot: (pod) => {
    const root = pod.security['runAsNonRoot'];
    const explicit = offending(pod, (each) => securityOf(each)['runAsNonRoot'] === false);
    const implicit = offending(pod, (each) => securityOf(each)['runAsNonRoot'] === undefined);
    if (explicit.length > 0 || (root === false && implicit.length > 0)) {
      const who = [
        ...(root === false ? ['pod'] : []),
        ...(explicit.length > 0 ? [named(explicit)] : []),
      ].join(' and ');
      return {
        reason: 'runAsNonRoot != true',
        detail: `${who} must not set securityContext.runAsNonRoot=false`,
      };
    }
    if (root === true || implicit.length === 0) return undefined;
    return {
      reason: 'runAsNonRoot != true',
      detail: `pod or ${named(implicit)} must set securityContext.runAsNonRoot=true`,
    };
  },
  runAsUser: (pod) => {
    const found = offending(pod, (each) => securityOf(each)['runAsUser'] === 0);
    const whole = pod.security['runAsUser'] === 0;
    if (!whole && found.length === 0) return undefined;
    const who = [...(whole ? ['pod'] : []), ...(found.length > 0 ? [named(found)] : [])].join(' and ');
    return { reason: 'runAsUser=0', detail: `${who} must not set runAsUser=0` };
  },
  seccomp: (pod) => {
    const type = (security: JsonObject) => asString(at(security, 'seccompProfile', 'type'));
    const allowed = (value: string) => value === 'RuntimeDefault' || value === 'Localhost';
    const unconfined = baselineChecks['seccomp']!(pod);
    if (unconfined || allowed(type(pod.security))) return unconfined;
    const missing = offending(pod, (each) => type(securityOf(each)) === '');
    return missing.length === 0
      ? undefined
      : {
          reason: 'seccompProfile',
          detail: `pod or ${named(missing)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
        };
  },
};

/** In the order in which violations are listed. */
const baseline = [
  'appArmor',
  'capabilities',
  'hostNamespaces',
  'hostPath',
  'hostPorts',
  'privileged',
  'procMount',
  'seLinux',
  'seccomp',
  'sysctls',
  'hostProcess',
].map((name) => baselineChecks[name]!);
/** What restricted looks at more closely, baseline need not look at too. */
const restricted = [
  ...[
    'appArmor',
    'hostNamespaces',
    'hostPorts',
    'privileged',
    'procMount',
    'seLinux',
    'sysctls',
    'hostProcess',
  ].map((name) => baselineChecks[name]!),
  ...['escalation', 'capabilities', 'volumeTypes', 'runAsNonRoot', 'runAsUser', 'seccomp'].map(
    (name) => restrictedChecks[name]!,
  ),
];

/** What a pod does that a level forbids, in the words of the refusal; '' when nothing. */
export function violations(level: Level, spec: JsonObject): string {
  if (level === 'privileged') return '';
  const pod: Pod = {
    spec,
    security: asObject(spec['securityContext']),
    containers: ['initContainers', 'containers', 'ephemeralContainers'].flatMap((key) =>
      asObjects(spec[key]),
    ),
  };
  const checks = level === 'restricted' ? restricted : baseline;
  return checks
    .map((check) => check(pod))
    .filter((each) => each !== undefined)
    .map((each) => `${each.reason} (${each.detail})`)
    .join(', ');
}

function levelOf(namespace: ApiObject | undefined, mode: string): { level: Level; name: string } {
  const labels = namespace?.metadata.labels ?? {};
  const level = labels[`pod-security.kubernetes.io/${mode}`];
  const version = labels[`pod-security.kubernetes.io/${mode}-version`] ?? 'latest';
  if (level === 'baseline' || level === 'restricted') return { level, name: `${level}:${version}` };
  // A level that is not known is treated as the strictest one.
  if (level !== undefined && level !== 'privileged')
    return { level: 'restricted', name: `restricted:${version}` };
  return { level: 'privileged', name: 'privileged' };
}

/** The pod spec of a pod, or of the template of a workload. */
function podSpec(call: Call, object: ApiObject): { spec: JsonObject | undefined; template: boolean } {
  const { group, kind } = call.kind;
  if (group === '' && kind === 'Pod') return { spec: asObject(object['spec']), template: false };
  const path =
    kind === 'CronJob' ? ['spec', 'jobTemplate', 'spec', 'template', 'spec'] : ['spec', 'template', 'spec'];
  const templated = group === 'apps' || group === 'batch' || kind === 'ReplicationController';
  const spec = templated ? at(object, ...path) : undefined;
  return { spec: spec === undefined ? undefined : asObject(spec), template: true };
}

export const podSecurity: AdmissionPlugin = {
  validate(call, operation, object, old) {
    if (operation === 'DELETE' || call.subresource || call.kind.custom || !call.namespace) return;
    const { spec, template } = podSpec(call, object);
    if (!spec) return;
    const namespace = call.core.store.bucket('/namespaces').get(call.namespace);
    const enforced = levelOf(namespace, 'enforce');
    if (!template && !old) {
      const text = violations(enforced.level, spec);
      if (text) {
        throw forbidden(
          call.kind,
          object.metadata.name ?? '',
          `violates PodSecurity ${JSON.stringify(enforced.name)}: ${text}`,
        );
      }
    }
    const warned = levelOf(namespace, 'warn');
    const text = violations(warned.level, spec);
    if (text) call.warnings.push(`would violate PodSecurity ${JSON.stringify(warned.name)}: ${text}`);
  },
};
