/**
 * The operator's configuration: every flag with its type, default and meaning. `--router-replicas 3` can also be
 * given as `SLUICE_ROUTER_REPLICAS=3`; a flag wins over the environment.
 */
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { env } from '#contract';
import { milliseconds } from './api/duration.ts';
import type { ImageConfig, Resources } from './resources/images.ts';
import { type LogLevel, logLevels } from './telemetry/logs.ts';

export interface Config {
  /** Reference of the image of routers, runtimes and fetchers. */
  readonly runtimeImage: string;
  readonly runtimeImagePullPolicy: ImageConfig['pullPolicy'];
  /** Secrets that pull images; they must exist where pods run. */
  readonly imagePullSecrets: readonly string[];
  /** Level of runtimes and routers. */
  readonly runtimeLogLevel: string;
  /** Resources of a server whose ModelVersion gives none. */
  readonly runtimeResources: Resources;
  /** Router pods of a namespace with models. */
  readonly routerReplicas: number;
  readonly routerResources: Resources;
  /** Seconds that a stopping router has for requests under way. */
  readonly routerGraceSeconds: number;
  /** The ClusterRole that routers are bound to in their namespace. */
  readonly routerClusterRole: string;
  /** URI schemes of artifacts. */
  readonly artifactSchemes: readonly string[];
  /** `host[:port]` of artifact stores with private addresses; after `http://`, they are spoken to in clear text. */
  readonly artifactPrivateHosts: readonly string[];
  /** Whether to work with the Gateway API where the cluster has it. */
  readonly gatewayApi: boolean;
  /** Base URLs of artifact stores by scheme. */
  readonly artifactEndpoints: Readonly<Record<string, string>>;
  /** Largest artifact, bytes. */
  readonly artifactMaxBytes: number;
  readonly leaderElection: boolean;
  readonly leaseName: string;
  readonly leaseNamespace: string | undefined;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  /** Reconciles of one kind at the same time. */
  readonly concurrency: number;
  readonly metricsPort: number;
  readonly healthPort: number;
  readonly bindAddress: string | undefined;
  readonly logLevel: LogLevel;
  /** kubeconfig file; absent: `$KUBECONFIG`, `~/.kube/config` or the pod's service account. */
  readonly kubeconfig: string | undefined;
  /** Name of this process: in the lease and in events. */
  readonly identity: string;
}

/** What a person wrote is wrong; the message says which flag and why. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

interface Flag<T> {
  readonly help: string;
  readonly fallback: string | undefined;
  readonly parse: (text: string) => T;
}

const flags = {
  'runtime-image': flag('Image of routers and runtimes (required).', undefined, text),
  'runtime-image-pull-policy': flag(
    'Pull policy of that image.',
    'IfNotPresent',
    oneOf('Always', 'IfNotPresent', 'Never'),
  ),
  'image-pull-secrets': flag('Secrets that pull images, with commas.', '', list),
  'runtime-log-level': flag('Log level of routers and runtimes.', 'info', oneOf(...logLevels)),
  'runtime-resources': flag(
    'Resources of servers that ask for none, as JSON.',
    '{"requests":{"cpu":"100m","memory":"256Mi"},"limits":{"memory":"2Gi"}}',
    resources,
  ),
  'router-replicas': flag('Router pods of a namespace with models.', '2', integer(1, 100)),
  'router-resources': flag(
    'Resources of a router pod, as JSON.',
    '{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"512Mi"}}',
    resources,
  ),
  'router-grace-period': flag('Time that a stopping router has for requests.', '60s', duration),
  'router-cluster-role': flag('ClusterRole of routers.', 'sluice-router', text),
  'artifact-schemes': flag('URI schemes of artifacts, with commas.', 'https,s3,gs,oci,hf,pvc', list),
  'artifact-private-hosts': flag('host[:port] of stores with private addresses, with commas.', '', list),
  'gateway-api': flag('Whether to work with the Gateway API where it is installed.', 'false', boolean),
  'artifact-endpoints': flag('scheme=URL of s3, gs and hf stores, with commas.', '', endpoints),
  'artifact-max-size': flag('Largest artifact, such as 32Gi.', '32Gi', bytes),
  'leader-election': flag('Whether to write only while holding a lease.', 'true', boolean),
  'lease-name': flag('Name of that lease.', 'sluice-operator', text),
  'lease-namespace': flag('Namespace of that lease; by default that of this pod.', '', optionalText),
  'lease-duration': flag('How long others respect a lease that is not renewed.', '15s', duration),
  'renew-deadline': flag('How long renewing may fail before this process gives up.', '10s', duration),
  'retry-period': flag('Time between two tries to take or renew.', '2s', duration),
  concurrency: flag('Reconciles of one kind at the same time.', '8', integer(1, 1000)),
  'metrics-port': flag('Port of /metrics.', '8080', integer(0, 65_535)),
  'health-port': flag('Port of /healthz and /readyz.', '8081', integer(0, 65_535)),
  'log-level': flag('Log level of the operator.', 'info', oneOf(...logLevels)),
  kubeconfig: flag('kubeconfig file; by default as kubectl, then the pod.', '', optionalText),
} as const satisfies Record<string, Flag<unknown>>;

type Values = { readonly [K in keyof typeof flags]: ReturnType<(typeof flags)[K]['parse']> };

/** Explains every flag. */
export function usage(): string {
  const lines = Object.entries(flags).map(([name, { help, fallback }]) => {
    const suffix = fallback ? ` (default ${fallback})` : '';
    return `  --${name.padEnd(28)}${help}${suffix}`;
  });
  return ['usage: operator/main.ts [--flag=value …]', ...lines].join('\n');
}

/**
 * @param args after the script's name.
 * @throws ConfigError naming the flag and what is wrong with it.
 */
export function loadConfig(args: readonly string[], environment: NodeJS.ProcessEnv): Config {
  const given = parseFlags(args);
  const values = Object.fromEntries(
    Object.entries(flags).map(([name, { fallback, parse }]) => {
      const variable = `SLUICE_${name.toUpperCase().replaceAll('-', '_')}`;
      const value = given[name] ?? environment[variable] ?? fallback;
      const from = given[name] === undefined && environment[variable] !== undefined ? variable : `--${name}`;
      if (value === undefined) throw new ConfigError(`--${name} is required`);
      try {
        return [name, parse(value)];
      } catch (cause) {
        throw new ConfigError(`${from}: ${cause instanceof Error ? cause.message : cause}`, { cause });
      }
    }),
  ) as unknown as Values;
  if (values['renew-deadline'] >= values['lease-duration']) {
    throw new ConfigError('--renew-deadline must be shorter than --lease-duration');
  }
  if (values['retry-period'] >= values['renew-deadline']) {
    throw new ConfigError('--retry-period must be shorter than --renew-deadline');
  }
  const bindAddress = environment[env.bindAddress] || undefined;
  return {
    runtimeImage: values['runtime-image'],
    runtimeImagePullPolicy: values['runtime-image-pull-policy'],
    imagePullSecrets: values['image-pull-secrets'],
    runtimeLogLevel: values['runtime-log-level'],
    runtimeResources: values['runtime-resources'],
    routerReplicas: values['router-replicas'],
    routerResources: values['router-resources'],
    routerGraceSeconds: Math.ceil(values['router-grace-period'] / 1000),
    routerClusterRole: values['router-cluster-role'],
    artifactSchemes: values['artifact-schemes'],
    artifactPrivateHosts: values['artifact-private-hosts'],
    gatewayApi: values['gateway-api'],
    artifactEndpoints: values['artifact-endpoints'],
    artifactMaxBytes: values['artifact-max-size'],
    leaderElection: values['leader-election'],
    leaseName: values['lease-name'],
    leaseNamespace: values['lease-namespace'] ?? (environment[env.podNamespace] || undefined),
    leaseDurationMs: values['lease-duration'],
    renewDeadlineMs: values['renew-deadline'],
    retryPeriodMs: values['retry-period'],
    concurrency: values.concurrency,
    metricsPort: values['metrics-port'],
    healthPort: values['health-port'],
    bindAddress,
    logLevel: values['log-level'],
    kubeconfig: values.kubeconfig,
    identity: environment[env.podName] || hostname(),
  };
}

function parseFlags(args: readonly string[]): Readonly<Record<string, string>> {
  const options = Object.fromEntries(Object.keys(flags).map((name) => [name, { type: 'string' as const }]));
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
    return values as Record<string, string>;
  } catch (cause) {
    throw new ConfigError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function flag<T>(help: string, fallback: string | undefined, parse: (text: string) => T): Flag<T> {
  return { help, fallback, parse };
}

function text(value: string): string {
  if (value.trim() === '') throw new Error('must not be empty');
  return value.trim();
}

function optionalText(value: string): string | undefined {
  return value.trim() || undefined;
}

function list(value: string): readonly string[] {
  const items = value.split(',').map((item) => item.trim());
  return [...new Set(items.filter((item) => item !== ''))];
}

function endpoints(value: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    list(value).map((item) => {
      const [, scheme, url] = /^(s3|gs|hf)=(https?:\/\/[^/\s].*)$/.exec(item) ?? [];
      if (scheme === undefined || url === undefined || !URL.canParse(url))
        throw new Error(`must be like s3=https://store.example.com, not ${JSON.stringify(item)}`);
      return [scheme, url];
    }),
  );
}

const binary: Readonly<Record<string, number>> = {
  '': 1,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

function bytes(value: string): number {
  const [, amount, unit = ''] = /^([1-9]\d{0,9})(Ki|Mi|Gi|Ti)?$/.exec(value) ?? [];
  const total = Number(amount) * (binary[unit] ?? Number.NaN);
  if (!(total <= 2 ** 49)) throw new Error(`must be a size such as 32Gi, not ${JSON.stringify(value)}`);
  return total;
}

function boolean(value: string): boolean {
  if (value !== 'true' && value !== 'false')
    throw new Error(`must be true or false, not ${JSON.stringify(value)}`);
  return value === 'true';
}

function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max) {
      throw new Error(`must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`);
    }
    return number;
  };
}

function oneOf<const T extends string>(...allowed: readonly T[]): (value: string) => T {
  return (value) => {
    const found = allowed.find((item) => item === value);
    if (found === undefined)
      throw new Error(`must be one of ${allowed.join(', ')}, not ${JSON.stringify(value)}`);
    return found;
  };
}

/** Milliseconds. */
function duration(value: string): number {
  const ms = milliseconds(value);
  if (ms <= 0) throw new Error('must be above 0');
  return ms;
}

function resources(value: string): Resources {
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new Error('must be a JSON object');
  for (const [part, quantities] of Object.entries(parsed)) {
    if (part !== 'requests' && part !== 'limits')
      throw new Error(`has ${part}, but only requests and limits are known`);
    if (typeof quantities !== 'object' || quantities === null) throw new Error(`${part} must be an object`);
    for (const [name, quantity] of Object.entries(quantities)) {
      if (typeof quantity !== 'string' && typeof quantity !== 'number')
        throw new Error(`${part}.${name} must be a quantity`);
    }
  }
  return parsed;
}
