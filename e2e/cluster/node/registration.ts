/** The node in the API: its object, kept as it should be, and its Lease, renewed while it lives. */
import { createHash } from 'node:crypto';
import os from 'node:os';
import { isAlreadyExists, isNotFound, KubeError } from '../../../kube-client/errors.ts';
import type { KubeObject } from '../../../kube-client/object.ts';
import { resources } from '../../../kube-client/resources.ts';
import type { PodCondition, Quantities } from './pod.ts';
import { timestamp } from './pod-status.ts';
import type { Api, Clock, Logger } from './ports.ts';

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
}

export interface RegistrationOptions {
  readonly api: Api;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  readonly capacity: Quantities;
  readonly address: string;
  readonly podCIDR: string | undefined;
  readonly kubeletPort: number;
}

interface NodeObject extends KubeObject {
  readonly status?: { readonly conditions?: readonly PodCondition[]; readonly allocatable?: Quantities };
}

const heartbeat = 10_000;
const leaseNamespace = 'kube-node-lease';
/** Milliseconds after which the status is written though nothing has changed. */
const reportPeriod = 300_000;
const version = 'v1.36.0';

export class Registration {
  readonly #options: RegistrationOptions;
  #cancel: (() => void) | undefined;
  #reportedAt = 0;
  #stopped = false;
  #beat: Promise<void> = Promise.resolve();

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** Resolves when the node is registered and its Lease is there. */
  async start(): Promise<void> {
    for (let pause = 100; !this.#stopped; pause = Math.min(pause * 2, 5_000)) {
      try {
        await this.#register();
        break;
      } catch (thrown) {
        const error = KubeError.from(thrown);
        this.#options.logger.warn('node not registered', { node: this.#options.name, error: error.message });
        await new Promise<void>((resolve) => {
          this.#options.clock.after(error.retryAfterMs ?? pause, resolve);
        });
      }
    }
    await this.#renewLease();
    this.#next();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#beat;
  }

  #next(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(heartbeat, () => {
      this.#beat = Promise.all([this.#renewLease(), this.#report()]).then(() => this.#next());
    });
  }

  async #register(): Promise<void> {
    const { api, name, clock } = this.#options;
    const node = this.#describe(clock.now());
    try {
      await api.create(resources.nodes, undefined, node);
    } catch (thrown) {
      if (!isAlreadyExists(thrown)) throw thrown;
      const { metadata, spec, status } = node;
      await api.patch(
        resources.nodes,
        undefined,
        name,
        { metadata: { labels: metadata.labels }, spec },
        { type: 'strategic' },
      );
      await api.patch(
        resources.nodes,
        undefined,
        name,
        { status },
        { type: 'strategic', subresource: 'status' },
      );
    }
    this.#reportedAt = clock.now();
  }

  /** Writes the status again when somebody changed it, and from time to time. */
  async #report(): Promise<void> {
    const { api, name, clock, logger } = this.#options;
    try {
      const node = await api.get<NodeObject>(resources.nodes, undefined, name);
      const now = clock.now();
      const isReady = node.status?.conditions?.some(
        ({ type, status }) => type === 'Ready' && status === 'True',
      );
      if (isReady && now - this.#reportedAt < reportPeriod) return;
      const { status } = this.#describe(now, node.status?.conditions);
      await api.patch(
        resources.nodes,
        undefined,
        name,
        { status },
        { type: 'strategic', subresource: 'status' },
      );
      this.#reportedAt = now;
    } catch (thrown) {
      const error = KubeError.from(thrown);
      if (isNotFound(thrown)) await this.#register().catch(() => {});
      else logger.warn('node status not written', { node: name, error: error.message });
    }
  }

  async #renewLease(): Promise<void> {
    const { api, name, clock, logger } = this.#options;
    const renewTime = new Date(clock.now()).toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime };
    try {
      await api.patch(resources.leases, leaseNamespace, name, { spec }, { type: 'merge' });
    } catch (thrown) {
      try {
        if (!isNotFound(thrown)) throw thrown;
        const node = await api.get<KubeObject>(resources.nodes, undefined, name);
        const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name, uid: node.metadata.uid }];
        const lease = {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { name, namespace: leaseNamespace, ownerReferences },
          spec,
        };
        await api.create(resources.leases, leaseNamespace, lease);
      } catch (error) {
        logger.warn('node lease not renewed', { node: name, error: KubeError.from(error).message });
      }
    }
  }

  #describe(now: number, before: readonly PodCondition[] = []) {
    const { name, labels, taints, capacity, address, kubeletPort, podCIDR } = this.#options;
    const architecture = os.arch() === 'x64' ? 'amd64' : os.arch();
    const id = createHash('sha256').update(name).digest('hex').slice(0, 32);
    return {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: {
          'kubernetes.io/arch': architecture,
          'kubernetes.io/hostname': name,
          'kubernetes.io/os': 'linux',
          'beta.kubernetes.io/arch': architecture,
          'beta.kubernetes.io/os': 'linux',
          ...labels,
        },
      },
      spec: {
        ...(taints.length > 0 ? { taints } : {}),
        ...(podCIDR ? { podCIDR, podCIDRs: [podCIDR] } : {}),
      },
      status: {
        capacity,
        allocatable: capacity,
        conditions: conditions(now, before),
        addresses: [
          { type: 'InternalIP', address },
          { type: 'Hostname', address: name },
        ],
        daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
        nodeInfo: {
          machineID: id,
          systemUUID: id,
          bootID: id,
          kernelVersion: os.release(),
          osImage: 'local processes',
          containerRuntimeVersion: 'process://1.0.0',
          kubeletVersion: version,
          kubeProxyVersion: version,
          operatingSystem: 'linux',
          architecture,
        },
      },
    };
  }
}

const facts: readonly (readonly [type: string, status: 'True' | 'False', reason: string, message: string])[] =
  [
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ['Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'],
  ];

function conditions(now: number, before: readonly PodCondition[]) {
  return facts.map(([type, status, reason, message]) => {
    const last = before.find((condition) => condition.type === type);
    const since = last?.status === status ? last.lastTransitionTime : undefined;
    const lastTransitionTime = since ?? timestamp(now);
    return { type, status, reason, message, lastHeartbeatTime: timestamp(now), lastTransitionTime };
  });
}
