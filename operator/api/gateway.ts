/** The Gateway API's routes, as far as Sluice writes and reads them: what HTTPRoute and GRPCRoute have in common. */

import type { KubernetesObject, StatusCondition } from './kubernetes.ts';

export const gatewayGroup = 'gateway.networking.k8s.io';
const place = { group: gatewayGroup, version: 'v1', namespaced: true } as const;

/** By kind: where it lives in the API. */
export const routeResources = {
  HTTPRoute: { ...place, plural: 'httproutes', kind: 'HTTPRoute' },
  GRPCRoute: { ...place, plural: 'grpcroutes', kind: 'GRPCRoute' },
} as const;

export type RouteKind = keyof typeof routeResources;
export const routeKinds = ['HTTPRoute', 'GRPCRoute'] as const satisfies readonly RouteKind[];

export interface ParentRef {
  /** The Gateway API's own group when absent. */
  readonly group?: string;
  /** Gateway when absent. */
  readonly kind?: string;
  /** The route's when absent. */
  readonly namespace?: string;
  readonly name: string;
  /** One listener of the parent; all of them when absent. */
  readonly sectionName?: string;
}

/** What one controller says of one parent. */
export interface RouteParentStatus {
  readonly parentRef: ParentRef;
  readonly controllerName?: string;
  readonly conditions?: readonly StatusCondition[];
}

export interface Route extends KubernetesObject {
  readonly spec?: {
    readonly parentRefs?: readonly ParentRef[];
    readonly hostnames?: readonly string[];
    readonly rules?: readonly {
      readonly backendRefs?: readonly { readonly filters?: readonly unknown[] }[];
    }[];
  };
  readonly status?: { readonly parents?: readonly RouteParentStatus[] };
}

/** A parent as people write it: `Gateway infra/public (listener https)`. */
export function parentText({ kind = 'Gateway', namespace, name, sectionName }: ParentRef): string {
  const path = namespace === undefined ? name : `${namespace}/${name}`;
  return `${kind} ${path}${sectionName === undefined ? '' : ` (listener ${sectionName})`}`;
}

/** Whether two references of routes in `namespace` mean the same parent. */
export function sameParent(a: ParentRef, b: ParentRef, namespace: string): boolean {
  const key = (ref: ParentRef): string =>
    JSON.stringify([
      ref.group ?? gatewayGroup,
      ref.kind ?? 'Gateway',
      ref.namespace ?? namespace,
      ref.name,
      ref.sectionName ?? '',
    ]);
  return key(a) === key(b);
}
