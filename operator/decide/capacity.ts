/** What the ready pods of a version can carry, held against what the model has to carry. */

import type { VersionFacts } from './rollout/types.ts';

type Pods = Pick<VersionFacts, 'ready' | 'established' | 'targetConcurrency'>;

/** Renard's preferred numbers. */
const steps = [1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8, 10];

/**
 * The demand that capacity is held against: rounded up to the next of ten steps a decade, so at most 28 % more than
 * there is. Shares then follow the load in a few steps, not with every request.
 *
 * @param peak most requests that were in flight at once of late
 */
export function steady(peak: number): number {
  if (!(peak > 0)) return 0;
  const decade = 10 ** Math.floor(Math.log10(peak));
  return decade * steps.find((step) => step * decade >= peak)!;
}

/**
 * The largest share, in percent, that the version's ready pods can carry: their part of those that were ready and,
 * where it is known what a pod can carry, that of the requests in flight.
 *
 * @param demand see `steady`; undefined when it is not known, and nothing beyond `held` is then promised
 * @param held the share that it has
 */
export function bearable(pods: Pods, demand: number | undefined, held: number): number {
  const { ready, established, targetConcurrency } = pods;
  const present = Math.min(100, Math.floor((10_000 * ready) / established) / 100);
  if (targetConcurrency === undefined) return present;
  if (demand === undefined) return Math.min(present, held);
  return demand === 0
    ? present
    : Math.min(present, Math.floor((10_000 * ready * targetConcurrency) / demand) / 100);
}

/** Pods that a share needs, as far as it is known what a pod can carry. */
export function podsFor(share: number, { targetConcurrency }: Pods, demand: number): number {
  return targetConcurrency === undefined ? 0 : Math.ceil((share * demand) / 100 / targetConcurrency - 1e-9);
}
