/**
 * How fast a failing version loses its traffic, as its watchers see it: from the event that says that too few pods are
 * ready, to the status that gives it no weight, to the status that says that every router follows.
 */
import { labels } from '#contract';
import { holds, type Pod } from '../scenarios/harness/kinds.ts';
import type { World } from '../scenarios/harness/world.ts';

export interface RollbackTimes {
  /** Name of the pod whose readiness was missed, and the monotonic milliseconds when its event came. */
  pod?: { readonly name: string; readonly at: number };
  /** When the status first gave the version no weight after that. */
  weightless?: number;
  /** When the status first said that all routers follow, and how many they are. */
  followed?: { readonly at: number; readonly routers: number };
}

/** Watches a version that has traffic lose it. `minReady` is the number of ready pods that it needs. */
export function timeRollback(
  world: World,
  about: { readonly model: string; readonly version: string; readonly minReady: number },
  now: () => number,
): { readonly times: RollbackTimes; stop(): void } {
  const times: RollbackTimes = {};
  const selector = { [labels.model]: about.model, [labels.version]: about.version };
  const weightOf = () =>
    world.model(about.model)?.status?.traffic?.find(({ version }) => version === about.version)?.weight ?? 0;
  const stops = [
    world.onPod(({ now: pod, before }) => {
      if (times.pod !== undefined || pod === undefined || !belongs(pod, selector)) return;
      if (!holds(before, 'Ready') || holds(pod, 'Ready')) return;
      const ready = world.pods(selector).filter((each) => holds(each, 'Ready')).length;
      if (ready < about.minReady) times.pod = { name: pod.metadata.name ?? '', at: now() };
    }),
    world.onModel(({ now: model }) => {
      if (model?.metadata.name !== about.model || times.pod === undefined) return;
      if (weightOf() > 0) return;
      times.weightless ??= now();
      const { acked, total } = model.status?.routers ?? {};
      if (times.followed === undefined && total !== undefined && total > 0 && acked === total) {
        times.followed = { at: now(), routers: total };
      }
    }),
  ];
  return {
    times,
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}

function belongs(pod: Pod, selector: Readonly<Record<string, string>>): boolean {
  return Object.entries(selector).every(([key, value]) => pod.metadata.labels?.[key] === value);
}
