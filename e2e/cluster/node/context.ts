/** What the pods of a node share. */
import type { Addresses } from './addresses.ts';
import type { Devices } from './devices.ts';
import type { Service } from './environment.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { Images } from './images.ts';
import type { Quantities } from './pod.ts';
import type { PodPolicy } from './policy.ts';
import type { Api, Clock, Logger } from './ports.ts';

/** Text of a kubeconfig for processes in a pod. */
export type PodKubeconfig = (access: { readonly tokenFile: string; readonly namespace: string }) => string;

export interface NodeContext {
  readonly name: string;
  readonly address: string;
  readonly rootDir: string;
  readonly api: Api;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly recorder: EventRecorder;
  readonly images: Images;
  readonly policy: PodPolicy;
  readonly addresses: Addresses;
  readonly devices: Devices;
  readonly allocatable: Quantities;
  readonly allowHostPath: boolean;
  readonly kubeconfig: PodKubeconfig;
  readonly services: () => readonly Service[];
}
