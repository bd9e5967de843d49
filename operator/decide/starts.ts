/** How the pods of a version start, and started: what its status says of that, from what the pods say themselves. */

import { fetchContainerName } from '#contract';
import type { ModelVersionStatus } from '../api/generated/model-version.ts';
import { isReady, isTerminating, type Pod } from '../api/kubernetes.ts';
import { contentLabel } from '../api/labels.ts';
import { optional } from '../api/optional.ts';
import type { StartStage } from '../api/starts.ts';
import type { VersionObserved } from './observed.ts';

export type FetchingStatus = NonNullable<NonNullable<ModelVersionStatus['artifact']>['fetching']>;
export type ServerStatus = NonNullable<ModelVersionStatus['server']>;

/** Whether there is something that a pod may say of its start now. */
export function stageOf(pod: Pod): StartStage | undefined {
  if (isTerminating(pod)) return undefined;
  if (isReady(pod)) return 'serving';
  const fetch = pod.status?.initContainerStatuses?.find(({ name }) => name === fetchContainerName);
  return fetch?.state?.running === undefined ? undefined : 'fetching';
}

/** A version's pods in one stage of their start, which have the content that it has now, by its hash. */
const podsIn = (stage: StartStage, pods: readonly Pod[], hash: string): Pod[] =>
  pods.filter((pod) => stageOf(pod) === stage && pod.metadata.labels?.[contentLabel] === hash);

/**
 * How many pods fetch now, and of those that say how far they are the one that is furthest behind; undefined when none says.
 *
 * @param hash of the version's content: what pods with another one fetch is not it
 */
export function fetchingOf({ pods, starts }: VersionObserved, hash: string): FetchingStatus | undefined {
  const fetching = podsIn('fetching', pods, hash);
  const said = fetching.flatMap(({ metadata: { uid = '' } }) => starts?.get(uid)?.fetching ?? []);
  const [last] = said.toSorted((a, b) => a.fetchedBytes - b.fetchedBytes);
  return last === undefined ? undefined : { pods: fetching.length, ...last };
}

/**
 * What the ready pods say of how they started, the slowest of them, and one that had to fall back before all others. Without a
 * word from any of them it is what they said last.
 *
 * @param hash of the version's content: what pods with another one say, or said, is not about it
 */
export function serverOf(
  { object, pods, starts, server: before }: VersionObserved,
  hash: string,
): ServerStatus | undefined {
  const { server, placement } = object.spec;
  const said = podsIn('serving', pods, hash).flatMap(
    ({ metadata: { uid = '' } }) => starts?.get(uid)?.started ?? [],
  );
  if (said.length === 0) return object.status?.contentHash === hash ? before : undefined;
  const computing = said.flatMap(({ provider, wantedProvider = provider }) => {
    if (provider === undefined) return [];
    // A server that was left the choice has nothing to fall back from, and still the pod pays for its GPUs.
    const idle = provider === 'cpu' && server.provider !== 'cpu' ? placement.gpus : 0;
    return {
      provider,
      ...optional('fallbackFrom', wantedProvider === provider ? undefined : wantedProvider),
      ...optional('unusedGPUs', idle > 0 ? idle : undefined),
    };
  });
  const seconds = said.flatMap(({ loadSeconds }) => loadSeconds ?? []);
  return {
    ...(computing.find(({ fallbackFrom }) => fallbackFrom !== undefined) ??
      computing.find(({ unusedGPUs }) => unusedGPUs !== undefined) ??
      computing[0]),
    ...optional('loadSeconds', seconds.length === 0 ? undefined : Math.max(...seconds)),
  };
}

/** For people, such as `fetching: 1.2 of 4.0 GiB`. */
export function fetchingText({ pods, fetchedBytes, sizeBytes }: FetchingStatus): string {
  const [unit, scale] = unitOf(sizeBytes ?? fetchedBytes);
  const amount = (bytes: number): string => (bytes / scale).toFixed(scale === 1 ? 0 : 1);
  const of = sizeBytes === undefined ? '' : ` of ${amount(sizeBytes)}`;
  const where = pods === 1 ? '' : `, the slowest known of ${pods} pods`;
  return `fetching: ${amount(fetchedBytes)}${of} ${unit}${where}`;
}

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

function unitOf(bytes: number): readonly [unit: string, scale: number] {
  const index = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return [units[index]!, 1_024 ** index];
}

/** What a version does without, and a sentence for people; undefined when that is nothing. */
export function lackOf(
  server: ServerStatus | undefined,
): { readonly reason: 'ProviderFallback' | 'GPUUnused'; readonly message: string } | undefined {
  const { provider, fallbackFrom, unusedGPUs } = server ?? {};
  if (fallbackFrom !== undefined)
    return { reason: 'ProviderFallback', message: `${fallbackFrom} cannot be used, ${provider} computes` };
  return unusedGPUs === undefined
    ? undefined
    : { reason: 'GPUUnused', message: `no GPU is used, ${provider} computes` };
}
