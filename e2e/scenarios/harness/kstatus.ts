/**
 * How Flux, kpt and others that follow kstatus read an object: its published rules for kinds that they do not know, in the
 * order in which they are published. (https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md)
 */
import type { Condition } from './kinds.ts';

export type KStatus = 'Terminating' | 'InProgress' | 'Failed' | 'Current';

export interface Readable {
  readonly metadata: {
    readonly generation?: number | undefined;
    readonly deletionTimestamp?: string | undefined;
  };
  readonly status?: {
    readonly observedGeneration?: unknown;
    readonly conditions?: readonly Condition[] | undefined;
  };
}

export function kstatus({ metadata, status }: Readable): KStatus {
  if (metadata.deletionTimestamp !== undefined) return 'Terminating';
  const seen = status?.observedGeneration;
  if (seen !== undefined) {
    // They read an int64 here and give up on anything else.
    if (!Number.isSafeInteger(seen)) throw new TypeError(`observedGeneration is ${JSON.stringify(seen)}`);
    if (metadata.generation !== undefined && seen !== metadata.generation) return 'InProgress';
  }
  for (const { type, status: value } of status?.conditions ?? []) {
    if (type === 'Reconciling' && value === 'True') return 'InProgress';
    if (type === 'Stalled' && value === 'True') return 'Failed';
  }
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return ready === undefined || ready.status === 'True' ? 'Current' : 'InProgress';
}
