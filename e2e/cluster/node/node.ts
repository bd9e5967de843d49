/**
 * A Kubernetes node without containers: it registers itself, runs the pods bound to it as local processes, probes them,
 * restarts them and reports on them, as a kubelet does. It speaks nothing but the Kubernetes API.
 *
 * The room holds the kubelet (this file is its composition) and the service proxy (`service-proxy.ts`). Decisions are pure
 * (`step`, `lifecycle`, `pod-status`, `probe-tally`, `admission`, `expansion`); what touches processes, files and sockets
 * is kept apart from them. It must know nothing of Sluice's kinds: `images.ts` alone names its images.
 *
 * What processes cannot have, and what stands in for it:
 * - no mount namespace: volumes are folders, and env values and arguments that name a mount path are redirected;
 * - no network namespace: every pod has an address of its own, which `SLUICE_BIND_ADDRESS` tells it to listen on;
 * - no user, capability, seccomp or read-only enforcement: securityContext is checked where a kubelet checks it and has
 *   no effect beyond that, so never run an image here that you would not run by hand;
 * - no CPU limits; memory limits are watched, not enforced by the kernel.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeClient } from '../../../kube-client/client.ts';
import { resources } from '../../../kube-client/resources.ts';
import type { Addresses } from './addresses.ts';
import type { NodeContext, PodKubeconfig } from './context.ts';
import { devicesOf } from './devices.ts';
import type { Service } from './environment.ts';
import { EventRecorder } from './event-recorder.ts';
import type { Images } from './images.ts';
import { type Serving, startKubeletServer } from './kubelet-server.ts';
import type { Pod, Quantities } from './pod.ts';
import { Pods } from './pods.ts';
import { kubeletPolicy, type PodPolicy } from './policy.ts';
import { type Api, apiOf, type Clock, type Logger, realClock } from './ports.ts';
import { Registration, type Taint } from './registration.ts';

export interface NodeOptions {
  /** A client with a kubelet's rights, or something that behaves like the part of one we use. */
  readonly client: KubeClient | { readonly api: Api };
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  /** `cpu`, `memory`, `pods` and extended resources such as `nvidia.com/gpu`. */
  readonly capacity: Quantities;
  /** Where pods get their addresses; nodes on one machine may share it or have one each. */
  readonly podAddresses: Addresses;
  readonly podCIDR?: string;
  /** Absolute folder that belongs to this node. Keep it short: sockets in volumes may have paths of 107 characters. */
  readonly rootDir: string;
  /** The node's own address; the kubelet's server listens on it. */
  readonly address: string;
  /** How processes in pods reach the API server. */
  readonly kubeconfig: PodKubeconfig;
  readonly images: Images;
  /** Certificates of the kubelet's server. Absent: there is none, and `kubectl logs` does not work. */
  readonly serving?: Serving;
  /** Port of the kubelet's server; default: any. */
  readonly port?: number;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Delays other than the kubelet's, for tests. */
  readonly policy?: Partial<PodPolicy>;
  readonly allowHostPath?: boolean;
}

export interface RunningNode {
  readonly name: string;
  /** Kills all pods' processes, stops reporting, and leaves the API's objects as they are. */
  stop(): Promise<void>;
}

/** Resolves when the node is registered and watches its pods. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { name, logger, clock = realClock, address, rootDir, capacity } = options;
  const api = 'api' in options.client ? options.client.api : apiOf(options.client, logger);
  // Nothing of an earlier life runs any more: its processes ended with it.
  await rm(join(rootDir, 'pods'), { recursive: true, force: true });
  await mkdir(rootDir, { recursive: true });
  const services = api.view<Service>(resources.services);
  const podView = api.view<Pod>(resources.pods, { fieldSelector: `spec.nodeName=${name}` });
  const recorder = new EventRecorder({ api, host: name, clock, logger });
  const context: NodeContext = {
    name,
    address,
    rootDir,
    api,
    clock,
    logger,
    recorder,
    images: options.images,
    policy: { ...kubeletPolicy, ...options.policy },
    addresses: options.podAddresses,
    devices: devicesOf(name, capacity),
    allocatable: capacity,
    allowHostPath: options.allowHostPath ?? false,
    kubeconfig: options.kubeconfig,
    services: () => services.list(),
  };
  const pods = new Pods(context);
  const server =
    options.serving &&
    (await startKubeletServer(options.serving, address, options.port ?? 0, pods, clock, logger));
  const registration = new Registration({
    api,
    clock,
    logger,
    name,
    labels: options.labels ?? {},
    taints: options.taints ?? [],
    capacity,
    address,
    podCIDR: options.podCIDR,
    kubeletPort: server?.port ?? 10_250,
  });
  await registration.start();
  services.start();
  podView.start();
  await Promise.all([services.synced, podView.synced]);
  pods.start(podView);
  recorder.record({
    about: { kind: 'Node', name, uid: name },
    type: 'Normal',
    reason: 'Starting',
    message: 'Starting kubelet.',
  });
  return {
    name,
    async stop() {
      await Promise.all([podView.stop(), services.stop(), registration.stop()]);
      await pods.stop();
      await server?.stop();
      await recorder.flush();
      await rm(join(rootDir, 'pods'), { recursive: true, force: true });
    },
  };
}
