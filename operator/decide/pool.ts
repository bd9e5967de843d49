import { conditionsFrom, type Findings, no, yes } from '../api/conditions.ts';
import type { GPUPool, GPUPoolStatus } from '../api/generated/gpu-pool.ts';
import { isFinished, isTerminating, type Node, type Pod } from '../api/kubernetes.ts';

/** Everything a pool's status depends on. */
export interface PoolObserved {
  readonly pool: GPUPool;
  readonly nodes: readonly Node[];
  /** Pods of the whole cluster, by the node they are bound to. */
  readonly podsOn: (node: string) => readonly Pod[];
}

/** The status of a pool: its nodes, and how many of their GPUs are requested by pods of anybody. */
export function decidePool({ pool, nodes, podsOn }: PoolObserved, now: number): GPUPoolStatus {
  const members = nodes.filter((node) => belongs(node, pool));
  const usable = members.filter(isUsable);
  const resource = pool.spec.resourceName;
  const capacity =
    resource === undefined ? 0 : sum(usable, (node) => count(node.status?.allocatable?.[resource]));
  const allocated =
    resource === undefined
      ? 0
      : sum(usable, (node) =>
          sum(
            podsOn(node.metadata.name).filter((pod) => !isFinished(pod)),
            (pod) => requested(pod, resource),
          ),
        );
  const what = resource === undefined ? 'no GPUs' : `${capacity - allocated} of ${capacity} ${resource} free`;
  const ready =
    usable.length > 0
      ? yes('Nodes', `${usable.length} ${usable.length === 1 ? 'node' : 'nodes'}, ${what}`)
      : no(
          'NoNodes',
          members.length === 0 ? 'no node matches spec.nodeSelector' : 'no node of the pool takes pods',
        );
  const findings: Findings = {
    Ready: ready,
    Reconciling: no('Settled', 'nothing is left to do'),
    Stalled: no('Settled', 'nothing stands in the way'),
  };
  const generation = pool.metadata.generation ?? 0;
  return {
    observedGeneration: generation,
    conditions: conditionsFrom(findings, pool.status?.conditions, generation, now),
    nodes: usable.length,
    capacity,
    allocated,
    free: capacity - allocated,
  };
}

function belongs(node: Node, pool: GPUPool): boolean {
  const selector = Object.entries(pool.spec.nodeSelector ?? {});
  if (!selector.every(([key, value]) => node.metadata.labels?.[key] === value)) return false;
  const resource = pool.spec.resourceName;
  return selector.length > 0 || resource === undefined || count(node.status?.allocatable?.[resource]) > 0;
}

function isUsable(node: Node): boolean {
  if (isTerminating(node) || node.spec?.unschedulable === true) return false;
  return node.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

const requested = (pod: Pod, resource: string): number =>
  sum(pod.spec?.containers ?? [], (container) => count(container.resources?.requests?.[resource]));

/** Extended resources are whole numbers, though the API carries them as text. */
function count(quantity: string | number | undefined): number {
  const value = Number(quantity ?? 0);
  return Number.isSafeInteger(value) ? value : 0;
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);
