// Generated from crds/gpupools.sluice.dev.yaml by scripts/generate.ts. Change that file and run `npm run generate`.

import type { ObjectMeta } from '../kubernetes.ts';

export const gpuPoolResource = {
  group: 'sluice.dev',
  version: 'v1alpha1',
  plural: 'gpupools',
  kind: 'GPUPool',
  namespaced: false,
} as const;

/** A named group of nodes that versions run on. */
export interface GPUPool {
  readonly apiVersion: 'sluice.dev/v1alpha1';
  readonly kind: 'GPUPool';
  readonly metadata: ObjectMeta;
  readonly spec: GPUPoolSpec;
  readonly status?: GPUPoolStatus;
}

export interface GPUPoolSpec {
  /**
   * Extended resource that counts the GPUs, such as nvidia.com/gpu or a MIG profile. Absent means a pool
   * without GPUs.
   */
  readonly resourceName?: string;
  /** Labels of the pool's nodes. Absent means every node that has the resource. */
  readonly nodeSelector?: Readonly<Record<string, string>>;
  /** Added to every pod of the pool. */
  readonly tolerations?: readonly GPUPoolToleration[];
  /** RuntimeClass of every pod of the pool. */
  readonly runtimeClassName?: string;
  /** Namespaces whose versions may use the pool. Absent means all. */
  readonly namespaces?: GPUPoolNamespaces;
  /**
   * What a rollout does when the pool has no room for a candidate's pods, and no version of the model is left
   * that could do without its own. With swap, stable lends its places to the candidate, one pod after the
   * other, as far as what it keeps can carry its share. With wait, the candidate waits for room until the
   * Model's rollback.startupDeadline.
   */
  readonly whenFull: 'swap' | 'wait';
}

export interface GPUPoolToleration {
  readonly key?: string;
  readonly operator?: 'Exists' | 'Equal';
  readonly value?: string;
  readonly effect?: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  readonly tolerationSeconds?: number;
}

/** Namespaces whose versions may use the pool. Absent means all. */
export interface GPUPoolNamespaces {
  readonly matchLabels: Readonly<Record<string, string>>;
}

export interface GPUPoolStatus {
  /** metadata.generation that this status speaks of. */
  readonly observedGeneration?: number;
  /** The latest observations, one a type. */
  readonly conditions?: readonly GPUPoolStatusCondition[];
  /** Nodes that belong to the pool and can take pods. */
  readonly nodes?: number;
  /** Allocatable GPUs of these nodes. */
  readonly capacity?: number;
  /** GPUs requested by pods on these nodes. */
  readonly allocated?: number;
  /** capacity - allocated. */
  readonly free?: number;
}

export interface GPUPoolStatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}
