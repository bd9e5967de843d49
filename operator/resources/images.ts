import { paths } from '#contract';

/** How pods get the runtime image, and what its processes are told; from the operator's configuration. */
export interface ImageConfig {
  /** Reference of the runtime image. */
  readonly image: string;
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Names of Secrets; they must exist in the namespaces that use Sluice. */
  readonly pullSecrets: readonly string[];
  /** winston level of the processes. */
  readonly logLevel: string;
}

/** What `fetch` may fetch; from the operator's configuration, never from a tenant. */
export interface ArtifactPolicy {
  /** URI schemes besides `https`. */
  readonly schemes: readonly string[];
  /** `host[:port]` that may be reached though their addresses are private; after `http://`, in clear text. */
  readonly privateHosts: readonly string[];
  /** Base URLs of stores by scheme: `s3`, `gs`, `hf`. A Secret may name another. */
  readonly endpoints: Readonly<Record<string, string>>;
  /** Of one artifact. */
  readonly maxBytes: number;
}

/** How a container says why it ended; one of another make with the end of its log. */
export const termination = {
  terminationMessagePath: paths.terminationLog,
  terminationMessagePolicy: 'FallbackToLogsOnError',
} as const;

/** Compute resources of a container, as Kubernetes writes them. */
export interface Resources {
  readonly requests?: Readonly<Record<string, string | number>>;
  readonly limits?: Readonly<Record<string, string | number>>;
}

export type EnvVar = { readonly name: string } & (
  | { readonly value: string }
  | { readonly valueFrom: Readonly<Record<string, unknown>> }
);

/**
 * Environment variables with a value; undefined ones are left out. The kubelet replaces `$(NAME)` in values, which
 * is not wanted in any of ours: `$$` is how it is told so.
 */
export const envOf = (values: Readonly<Record<string, string | undefined>>): EnvVar[] =>
  Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : { name, value: value.replaceAll('$(', '$$$$(') },
  );

/** An environment variable that the kubelet fills in with a field of the pod. */
export const fieldEnv = (name: string, fieldPath: string): EnvVar => ({
  name,
  valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
});
