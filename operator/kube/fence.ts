/**
 * The one-writer rule: everything that writes asks here first, at the moment of writing.
 *
 * A fence is open while this process holds the lease, by its own monotonic clock, and closes before anybody else may
 * take it. Once closed it stays closed: a process that lost the lease ends.
 */

import type { CallLimits } from '../../kube-client/client.ts';

/** This process may not write: it does not hold the lease. */
export class NotLeading extends Error {
  constructor() {
    super('this process does not hold the lease, so it writes nothing');
    this.name = 'NotLeading';
  }
}

export interface Fence {
  /** Aborts when the lease is lost, so that calls under way end too. */
  readonly signal: AbortSignal;
  /** @throws NotLeading */
  check(): void;
}

/** What a write has to obey: it is not sent, and does not go on, when the lease is lost. */
export const limitsOf = (fence: Fence): CallLimits => ({
  signal: fence.signal,
  guard: () => fence.check(),
});

/** For an operator that runs alone, without leader election. */
export const openFence: Fence = { signal: new AbortController().signal, check() {} };
