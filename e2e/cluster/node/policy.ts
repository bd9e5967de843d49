/** The delays of a node. The defaults are the kubelet's; tests shorten them. */
import { type BackOffPolicy, kubeletBackOff } from './back-off.ts';

export interface PodPolicy {
  /** Between restarts of a crashing container. */
  readonly restartBackOff: BackOffPolicy;
  /** Between pulls of an image that does not come. */
  readonly imageBackOff: BackOffPolicy;
  /** Milliseconds until a pod that lacks a ConfigMap, a Secret or a volume is tried again. */
  readonly retry: number;
  /** Milliseconds between looks at the ConfigMaps, Secrets and tokens of mounted volumes. */
  readonly volumeRefresh: number;
  /** Milliseconds between looks at the memory of containers that have a limit. */
  readonly memoryPeriod: number;
}

export const kubeletPolicy: PodPolicy = {
  restartBackOff: kubeletBackOff,
  imageBackOff: kubeletBackOff,
  retry: 10_000,
  volumeRefresh: 60_000,
  memoryPeriod: 1_000,
};
