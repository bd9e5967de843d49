/** A pool of nodes with so many places: a resource of its own on one node, as a device plugin would report it. */
import { isNotFound } from '../../../kube-client/errors.ts';
import { kinds, type Metadata } from './kinds.ts';
import type { Manifest } from './kubectl.ts';
import type { Session } from './session.ts';

interface Node {
  readonly metadata: Metadata;
  readonly spec?: {
    readonly unschedulable?: boolean;
    readonly taints?: readonly { readonly effect: string }[];
  };
}

export class NodePlaces {
  /** Name of the GPUPool, and of the label of its node. */
  readonly pool: string;
  readonly #session: Session;
  readonly #node: string;
  readonly #resource: string;

  private constructor(session: Session, pool: string, node: string) {
    this.#session = session;
    this.pool = pool;
    this.#node = node;
    this.#resource = `scenarios.sluice.dev/${pool}`;
  }

  /**
   * Takes a node that any pod may run on. Its kubelet keeps a resource that it does not know, so this works on any cluster whose
   * user may write the status of nodes.
   *
   * @param pool name of the GPUPool to come
   */
  static async on(session: Session, pool: string, places: number): Promise<NodePlaces> {
    const { items } = await session.shell.get<{ items: readonly Node[] }>(['nodes']);
    const node = items.find(
      ({ spec }) =>
        spec?.unschedulable !== true &&
        (spec?.taints ?? []).every(({ effect }) => effect === 'PreferNoSchedule'),
    );
    if (node?.metadata.name === undefined) throw new Error('the cluster has no node that takes any pod');
    const made = new NodePlaces(session, pool, node.metadata.name);
    await made.set(places);
    return made;
  }

  /** The GPUPool. */
  manifest(spec: Readonly<Record<string, unknown>> = {}): Manifest {
    return {
      apiVersion: 'sluice.dev/v1alpha1',
      kind: 'GPUPool',
      metadata: { name: this.pool },
      spec: { resourceName: this.#resource, ...spec },
    };
  }

  /** Changes how many places there are; `null` takes the resource away. */
  async set(places: number | null): Promise<void> {
    const amounts = { [this.#resource]: places === null ? null : String(places) };
    const patch = JSON.stringify({ status: { capacity: amounts, allocatable: amounts } });
    await this.#session.shell.kubectl([
      'patch',
      'node',
      this.#node,
      '--subresource=status',
      '--type=merge',
      '-p',
      patch,
    ]);
  }

  async clear(): Promise<void> {
    await this.#session.client.delete(kinds.pools, undefined, this.pool).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
    await this.set(null);
  }
}
