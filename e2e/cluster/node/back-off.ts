/** Restart delays: the first restart is immediate, the next ones wait, doubling, until the container behaved. */

export interface BackOffPolicy {
  /** Milliseconds before the second restart. */
  readonly initial: number;
  /** Upper bound in milliseconds. */
  readonly max: number;
}

/** The kubelet's: 10 s doubling to 5 min. */
export const kubeletBackOff: BackOffPolicy = { initial: 10_000, max: 300_000 };

/** What is remembered between tries; absent before the first. */
export interface BackOff {
  /** Milliseconds that the next try waits, counted from the failure. */
  readonly delay: number;
  /** When the last try was made. */
  readonly triedAt: number;
}

/** When a try may be made, given when the last one ended. */
export function nextTryAt(backOff: BackOff | undefined, policy: BackOffPolicy, failedAt: number): number {
  if (!backOff || isForgiven(backOff, policy, failedAt)) return failedAt;
  return failedAt + backOff.delay;
}

/** The memory after a try at `now` that follows a failure at `failedAt`. */
export function tried(
  backOff: BackOff | undefined,
  policy: BackOffPolicy,
  failedAt: number,
  now: number,
): BackOff {
  if (!backOff || isForgiven(backOff, policy, failedAt)) return { delay: policy.initial, triedAt: now };
  return { delay: Math.min(backOff.delay * 2, policy.max), triedAt: now };
}

/** What ran for twice the longest delay starts afresh. */
function isForgiven(backOff: BackOff, policy: BackOffPolicy, failedAt: number): boolean {
  return failedAt - backOff.triedAt > 2 * policy.max;
}

/** A Go duration such as `10s`, `2m40s` or `1.5s`, which is how the kubelet's messages write delays. */
export function goDuration(milliseconds: number): string {
  if (milliseconds < 1000) return milliseconds === 0 ? '0s' : `${milliseconds}ms`;
  const seconds = milliseconds / 1000;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${Number((seconds % 60).toFixed(3))}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
