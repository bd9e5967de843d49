/** The kinds that scenarios look at: where they live, and as much of their shape as is looked at. */
import { type Resource, resources } from '../../../kube-client/resources.ts';

const group = { group: 'sluice.dev', version: 'v1alpha1' } as const;

export const kinds = {
  models: { ...group, plural: 'models', kind: 'Model', namespaced: true },
  versions: { ...group, plural: 'modelversions', kind: 'ModelVersion', namespaced: true },
  pools: { ...group, plural: 'gpupools', kind: 'GPUPool', namespaced: false },
  pods: resources.pods,
  services: resources.services,
  events: resources.coreEvents,
} as const satisfies Record<string, Resource>;

export interface Metadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly resourceVersion?: string;
  readonly deletionTimestamp?: string;
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly terminated?: { readonly exitCode: number; readonly reason?: string; readonly message?: string };
}

export interface ContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
}

export interface Pod {
  readonly metadata: Metadata;
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly Condition[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

export interface Service {
  readonly metadata: Metadata;
  readonly spec: { readonly clusterIP?: string };
}

export interface Event {
  readonly metadata: Metadata;
  readonly type?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly involvedObject: { readonly kind?: string; readonly name?: string };
}

/** One condition of an object, or nothing. */
export function condition(
  object: { readonly status?: { readonly conditions?: readonly Condition[] } } | undefined,
  type: string,
): Condition | undefined {
  return object?.status?.conditions?.find((candidate) => candidate.type === type);
}

/** Whether a condition of an object is true. */
export function holds(
  object: { readonly status?: { readonly conditions?: readonly Condition[] } } | undefined,
  type: string,
): boolean {
  return condition(object, type)?.status === 'True';
}
