/** ConfigMaps, Secrets and tokens of one pod, as the API server has them now. */
import { isNotFound } from '../../../kube-client/errors.ts';
import { type Resource, resources } from '../../../kube-client/resources.ts';
import type { ConfigMap, Lookups, Secret } from './environment.ts';
import type { Pod, TokenProjection } from './pod.ts';
import type { Api } from './ports.ts';

export function lookupsOf(api: Api, namespace: string): Lookups {
  const find = async <T>(resource: Resource, name: string): Promise<T | undefined> => {
    try {
      return await api.get<T>(resource, namespace, name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };
  return {
    configMap: (name) => find<ConfigMap>(resources.configmaps, name),
    secret: (name) => find<Secret>(resources.secrets, name),
  };
}

export interface Token {
  readonly token: string;
  /** When a new one should be asked for; milliseconds since the epoch. */
  readonly renewAt: number;
}

export type Tokens = (projection: TokenProjection) => Promise<Token>;

interface TokenRequest {
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

/** Tokens of the pod's service account, bound to the pod, renewed after four fifths of their life or a day. */
export function tokensOf(api: Api, pod: Pod, now: () => number): Tokens {
  const { name, namespace, uid } = pod.metadata;
  const account = pod.spec.serviceAccountName || 'default';
  return async ({ audience, expirationSeconds = 3600 }) => {
    const asked = now();
    const { status } = await api.create<TokenRequest>(
      resources.serviceaccounts,
      namespace,
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: { name: account, namespace },
        spec: {
          audiences: audience ? [audience] : [],
          expirationSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      },
      { name: account, subresource: 'token' },
    );
    const life = Date.parse(status.expirationTimestamp) - asked;
    const day = 24 * 3600_000;
    return { token: status.token, renewAt: asked + Math.min(Number.isFinite(life) ? life * 0.8 : day, day) };
  };
}
