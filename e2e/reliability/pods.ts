/** The least that stands in for kubelets: bound pods run and are ready at once, unless their version is told not to be. */
import { KubeClient } from '../../kube-client/client.ts';
import { connect } from '../../kube-client/connection.ts';
import { KubeError } from '../../kube-client/errors.ts';
import { Informer } from '../../kube-client/informer.ts';
import { loadAccess } from '../../kube-client/kubeconfig.ts';
import type { KubeObject } from '../../kube-client/object.ts';
import { resources } from '../../kube-client/resources.ts';

export interface Pod extends KubeObject {
  spec?: { nodeName?: string; containers?: { name: string; image?: string }[] };
  status?: { phase?: string; podIP?: string; conditions?: { type: string; status: string }[] };
}

export class Pods {
  readonly informer: Informer<Pod>;
  /** Versions whose pods run but are not ready. */
  readonly unready = new Set<string>();
  /** Address of every router pod: the one that the fake router listens on. */
  readonly #routerAddress: string;
  readonly #client: KubeClient;
  readonly #close: () => Promise<void>;
  /** One write at a time for each pod. */
  readonly #writing = new Map<string, Promise<void>>();
  #ip = 0;

  constructor(kubeconfig: string, routerAddress: string) {
    const connection = connect(loadAccess(kubeconfig));
    this.#client = new KubeClient(connection);
    this.#close = async () => connection.close?.();
    this.#routerAddress = routerAddress;
    this.informer = new Informer<Pod>(this.#client, resources.pods);
    this.informer.subscribe(({ key, now }) => {
      if (now !== undefined) this.#enqueue(key);
    });
  }

  async start(): Promise<void> {
    this.informer.start();
    await this.informer.synced;
  }

  /** Looks at every pod again, after `unready` has changed. */
  refresh(): void {
    for (const { metadata } of this.informer.list()) this.#enqueue(`${metadata.namespace}/${metadata.name}`);
  }

  async stop(): Promise<void> {
    await this.informer.stop();
    await Promise.all(this.#writing.values());
    await this.#close();
  }

  #enqueue(key: string): void {
    const before = this.#writing.get(key) ?? Promise.resolve();
    const work = before.then(() => this.#bring(key)).catch((error: unknown) => this.#failed(key, error));
    this.#writing.set(key, work);
  }

  #failed(key: string, error: unknown): void {
    const { code } = KubeError.from(error);
    if (code === 404 || code === 0) return;
    if (code === 409) return this.#enqueue(key);
    throw error;
  }

  async #bring(key: string): Promise<void> {
    const pod = this.informer.get(key);
    if (pod?.spec?.nodeName === undefined) return;
    const { namespace, name = '' } = pod.metadata;
    if (pod.metadata.deletionTimestamp !== undefined) {
      return this.#client.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0 });
    }
    const version = pod.metadata.labels?.['sluice.dev/version'];
    const ready = version === undefined || !this.unready.has(version) ? 'True' : 'False';
    if (pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === ready)) return;
    const podIP = pod.status?.podIP ?? (version === undefined ? this.#routerAddress : this.#nextIp());
    const startedAt = `${new Date().toISOString().slice(0, 19)}Z`;
    const conditions = ['Initialized', 'ContainersReady', 'Ready'].map((type) => ({
      type,
      status: type === 'Initialized' ? 'True' : ready,
      lastTransitionTime: startedAt,
    }));
    const containerStatuses = (pod.spec.containers ?? []).map(({ name: container, image }) => ({
      name: container,
      image,
      imageID: image,
      ready: ready === 'True',
      started: true,
      restartCount: 0,
      state: { running: { startedAt } },
    }));
    const status = {
      phase: 'Running',
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: startedAt,
      conditions,
      containerStatuses,
    };
    await this.#client.patch(
      resources.pods,
      namespace,
      name,
      { status },
      { type: 'merge', subresource: 'status' },
    );
  }

  #nextIp(): string {
    this.#ip++;
    return `10.244.${this.#ip >> 8}.${this.#ip & 255}`;
  }
}
