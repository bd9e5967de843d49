/** The environment of a container: what the pod asks for, what Kubernetes adds, and what stands in for a container. */
import type { KubeObject } from '../../../kube-client/object.ts';
import { fieldValue, type Place, resourceValue } from './downward.ts';
import { expand } from './expansion.ts';
import type { Container, EnvVar, Pod } from './pod.ts';

/** Why a container cannot be made from what the pod says: the status shows the message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}
export interface Secret extends KubeObject {
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
}
export interface Service extends KubeObject {
  readonly spec: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly sessionAffinity?: string;
    readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } };
    readonly ports?: readonly ServicePort[];
  };
}
export interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly protocol?: string;
  readonly targetPort?: number | string;
  readonly nodePort?: number;
}

/** ConfigMaps and Secrets by name; `undefined` when there is none. Other failures throw. */
export interface Lookups {
  configMap(name: string): Promise<ConfigMap | undefined>;
  secret(name: string): Promise<Secret | undefined>;
}

/** Environment of the container as its pod describes it, in order. @throws ConfigError */
export async function containerEnvironment(
  pod: Pod,
  container: Container,
  place: Place,
  lookups: Lookups,
  services: readonly Service[],
): Promise<Record<string, string>> {
  const links = serviceEnvironment(pod, services);
  const result: Record<string, string> = {};
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const values: Record<string, string> = {};
    if (configMapRef) {
      const found = await lookups.configMap(configMapRef.name);
      if (!found && !configMapRef.optional)
        throw new ConfigError(`configmap "${configMapRef.name}" not found`);
      Object.assign(values, found?.data);
    }
    if (secretRef) {
      const found = await lookups.secret(secretRef.name);
      if (!found && !secretRef.optional) throw new ConfigError(`secret "${secretRef.name}" not found`);
      for (const [key, value] of Object.entries(found?.data ?? {})) values[key] = decode(value).toString();
    }
    for (const [key, value] of Object.entries(values)) result[prefix + key] = value;
  }
  for (const variable of container.env ?? []) {
    const value = await variableValue(
      variable,
      pod,
      container,
      place,
      lookups,
      (name) => result[name] ?? links[name],
    );
    if (value !== undefined) result[variable.name] = value;
  }
  return { ...links, ...result };
}

async function variableValue(
  variable: EnvVar,
  pod: Pod,
  container: Container,
  place: Place,
  lookups: Lookups,
  lookup: (name: string) => string | undefined,
): Promise<string | undefined> {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {};
  const title = (name: string) => `${pod.metadata.namespace}/${name}`;
  try {
    if (fieldRef) return fieldValue(pod, fieldRef, place);
    if (resourceFieldRef) return resourceValue(pod, container, resourceFieldRef, place);
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  if (configMapKeyRef) {
    const { name, key, optional } = configMapKeyRef;
    const found = await lookups.configMap(name);
    const value = found?.data?.[key];
    if (value !== undefined || optional) return value;
    throw new ConfigError(
      found ? `couldn't find key ${key} in ConfigMap ${title(name)}` : `configmap "${name}" not found`,
    );
  }
  if (secretKeyRef) {
    const { name, key, optional } = secretKeyRef;
    const found = await lookups.secret(name);
    const value = found?.data?.[key];
    if (value !== undefined) return decode(value).toString();
    if (optional) return undefined;
    throw new ConfigError(
      found ? `couldn't find key ${key} in Secret ${title(name)}` : `secret "${name}" not found`,
    );
  }
  return expand(variable.value ?? '', lookup);
}

/** `NAME_SERVICE_HOST` and its kin: of the pod's namespace unless it declines, and always of `kubernetes`. Pure. */
export function serviceEnvironment(pod: Pod, services: readonly Service[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const service of services) {
    const { namespace, name = '' } = service.metadata;
    const address = service.spec.clusterIP;
    const [first] = service.spec.ports ?? [];
    if (!address || address === 'None' || !first) continue;
    const isMaster = namespace === 'default' && name === 'kubernetes';
    const isLinked = namespace === pod.metadata.namespace && pod.spec.enableServiceLinks !== false;
    if (!isMaster && !isLinked) continue;
    const prefix = variableName(name);
    result[`${prefix}_SERVICE_HOST`] = address;
    result[`${prefix}_SERVICE_PORT`] = String(first.port);
    result[`${prefix}_PORT`] = `${(first.protocol ?? 'TCP').toLowerCase()}://${address}:${first.port}`;
    for (const port of service.spec.ports ?? []) {
      const protocol = port.protocol ?? 'TCP';
      const link = `${prefix}_PORT_${port.port}_${protocol}`;
      if (port.name) result[`${prefix}_SERVICE_PORT_${variableName(port.name)}`] = String(port.port);
      result[link] = `${protocol.toLowerCase()}://${address}:${port.port}`;
      result[`${link}_PROTO`] = protocol.toLowerCase();
      result[`${link}_PORT`] = String(port.port);
      result[`${link}_ADDR`] = address;
    }
  }
  return result;
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

export function decode(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}
