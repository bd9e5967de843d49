import { keyOf } from '../../../kube-client/object.ts';
import { resources } from '../../../kube-client/resources.ts';
import { timestamp } from './deployment/status.ts';
import type { Context, Controller } from './machinery/context.ts';
import {
  type Condition,
  conditionOf,
  isFinished,
  isReady,
  type Pod,
  type PodDisruptionBudget,
} from './machinery/kinds.ts';
import { resolvePercent } from './machinery/percent.ts';
import { sameStatus } from './machinery/same-status.ts';
import { matches } from './machinery/selector.ts';

/** How long an eviction that was allowed may take to show as a deletion. */
const deletionTimeoutMs = 120_000;

type Status = NonNullable<PodDisruptionBudget['status']>;

/** A budget's status by the pods it covers and the size their owners want (by default as many as there are). Pure. */
export function statusOf(
  budget: Readonly<PodDisruptionBudget>,
  pods: readonly Readonly<Pod>[],
  expectedPods: number,
  now: number,
): Status {
  const { minAvailable, maxUnavailable } = budget.spec;
  const disruptedPods = Object.fromEntries(
    Object.entries(budget.status?.disruptedPods ?? {}).filter(([name, at]) =>
      pods.some(
        ({ metadata }) =>
          metadata.name === name &&
          metadata.deletionTimestamp === undefined &&
          Date.parse(at) + deletionTimeoutMs > now,
      ),
    ),
  );
  const currentHealthy = pods.filter(
    (pod) =>
      pod.metadata.deletionTimestamp === undefined &&
      isReady(pod) &&
      disruptedPods[pod.metadata.name ?? ''] === undefined,
  ).length;
  const desiredHealthy =
    maxUnavailable !== undefined
      ? Math.max(0, expectedPods - resolvePercent(maxUnavailable, expectedPods, 'up'))
      : resolvePercent(minAvailable ?? 1, expectedPods, 'up');
  const disruptionsAllowed = expectedPods > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0;
  const reason = disruptionsAllowed > 0 ? 'SufficientPods' : 'InsufficientPods';
  const status = disruptionsAllowed > 0 ? 'True' : 'False';
  const before = conditionOf(budget.status?.conditions, 'DisruptionAllowed');
  const condition: Condition = {
    type: 'DisruptionAllowed',
    status,
    reason,
    message: '',
    observedGeneration: budget.metadata.generation ?? 0,
    lastTransitionTime:
      before?.status === status ? (before.lastTransitionTime ?? timestamp(now)) : timestamp(now),
  };
  return {
    observedGeneration: budget.metadata.generation ?? 0,
    disruptionsAllowed,
    currentHealthy,
    desiredHealthy,
    expectedPods,
    ...(Object.keys(disruptedPods).length > 0 ? { disruptedPods } : {}),
    conditions: [condition],
  };
}

/** Keeps the status of PodDisruptionBudgets, by which the API server allows or refuses evictions. */
export function disruptionController(context: Context): Controller {
  const { client, caches, now } = context;

  function expected(budget: Readonly<PodDisruptionBudget>, pods: readonly Readonly<Pod>[]): number {
    const { minAvailable, maxUnavailable } = budget.spec;
    if (maxUnavailable === undefined && typeof minAvailable !== 'string') return pods.length;
    const sizes = new Map<string, number>();
    for (const pod of pods) {
      const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller === true);
      if (owner?.kind !== 'ReplicaSet') {
        sizes.set(pod.metadata.uid ?? '', 1);
        continue;
      }
      const set = caches.replicaSets.get(`${pod.metadata.namespace}/${owner.name}`);
      const parent = set?.metadata.ownerReferences?.find((reference) => reference.controller === true);
      const deployment =
        parent?.kind === 'Deployment'
          ? caches.deployments.get(`${pod.metadata.namespace}/${parent.name}`)
          : undefined;
      const top = deployment ?? set;
      sizes.set(top?.metadata.uid ?? owner.uid, top?.spec.replicas ?? 1);
    }
    return [...sizes.values()].reduce((total, size) => total + size, 0);
  }

  return {
    name: 'disruption',
    watch: (enqueue) => {
      const enqueueFor = (pod: Readonly<Pod>) => {
        for (const budget of caches.disruptionBudgets.byIndex('namespace', pod.metadata.namespace ?? '')) {
          if (matches(budget.spec.selector, pod.metadata.labels)) enqueue(keyOf(budget));
        }
      };
      return [
        caches.disruptionBudgets.subscribe(({ key }) => enqueue(key)),
        caches.pods.subscribe(({ now: pod, before }) => {
          for (const one of [pod, before]) if (one !== undefined) enqueueFor(one);
        }),
        caches.deployments.subscribe(({ now: deployment, before }) => {
          if (deployment?.spec.replicas === before?.spec.replicas) return;
          const namespace = (deployment ?? before)?.metadata.namespace ?? '';
          for (const budget of caches.disruptionBudgets.byIndex('namespace', namespace)) {
            enqueue(keyOf(budget));
          }
        }),
      ];
    },
    async visit(key) {
      const budget = caches.disruptionBudgets.get(key);
      if (budget === undefined) return undefined;
      const { namespace = '', name = '' } = budget.metadata;
      const pods = caches.pods
        .byIndex('namespace', namespace)
        .filter((pod) => !isFinished(pod) && matches(budget.spec.selector, pod.metadata.labels));
      const status = statusOf(budget, pods, expected(budget, pods), now());
      if (!sameStatus(status, budget.status)) {
        caches.disruptionBudgets.wrote(
          await client.replace<PodDisruptionBudget>(
            resources.poddisruptionbudgets,
            namespace,
            name,
            { ...budget, status },
            { subresource: 'status' },
          ),
        );
      }
      return status.disruptedPods === undefined ? undefined : deletionTimeoutMs;
    },
  };
}
