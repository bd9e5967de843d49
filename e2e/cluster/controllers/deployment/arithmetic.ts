import type { IntOrString } from '../machinery/kinds.ts';
import { resolvePercent } from '../machinery/percent.ts';

/** How far a rolling update may stray from the wanted number of pods. */
export interface Fenceposts {
  /** Pods above the wanted number, at most. */
  readonly surge: number;
  /** Pods below it, at most. */
  readonly unavailable: number;
}

/** Resolves percentages: surge rounds up, unavailable down, and both together are never zero. */
export function fenceposts(
  desired: number,
  maxSurge: IntOrString = '25%',
  maxUnavailable: IntOrString = '25%',
): Fenceposts {
  const surge = resolvePercent(maxSurge, desired, 'up');
  const unavailable = Math.min(resolvePercent(maxUnavailable, desired, 'down'), desired);
  return surge === 0 && unavailable <= 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

/** Sizes of one replica set: what it is told to have, and what of that is available. */
export interface Size {
  readonly replicas: number;
  readonly available: number;
}

/** How many pods the newest replica set is told to have next. */
export function nextNew(desired: number, posts: Fenceposts, current: number, old: readonly Size[]): number {
  if (current > desired) return desired;
  const room = desired + posts.surge - current - sum(old, (size) => size.replicas);
  return room <= 0 ? current : current + Math.min(room, desired - current);
}

/**
 * How many pods each old replica set (oldest first) is told to have next: first those that aren't available
 * go, then as many available ones as the minimum can spare.
 */
export function nextOld(desired: number, posts: Fenceposts, current: Size, old: readonly Size[]): number[] {
  const minimum = desired - posts.unavailable;
  const sizes = old.map((size) => size.replicas);
  const newUnavailable = current.replicas - Math.min(current.available, current.replicas);
  // New pods that aren't available yet must not be paid for with old ones that are.
  let budget = current.replicas + sum(old, (size) => size.replicas) - minimum - newUnavailable;
  // A status may lag behind a scale-down: what is told to go no longer counts.
  const available = old.map((size) => Math.min(size.available, size.replicas));
  for (const [index, size] of old.entries()) {
    const unhealthy = Math.max(0, Math.min(budget, size.replicas - (available[index] ?? 0)));
    sizes[index] = size.replicas - unhealthy;
    budget -= unhealthy;
  }
  let spare = Math.min(
    budget,
    Math.min(current.available, current.replicas) + available.reduce((a, b) => a + b, 0) - minimum,
  );
  for (const [index, size] of sizes.entries()) {
    const down = Math.max(0, Math.min(spare, size));
    sizes[index] = size - down;
    spare -= down;
  }
  return sizes;
}

/** One replica set in a resize: its pods, and the most the whole deployment was allowed when it got them. */
export interface Share {
  readonly replicas: number;
  readonly maxReplicas: number;
}

/**
 * Spreads a resize that comes in mid-rollout over the replica sets in proportion to their sizes (larger ones
 * first in the list); what rounding leaves over goes to the first.
 */
export function proportional(desired: number, posts: Fenceposts, shares: readonly Share[]): number[] {
  const allowed = desired > 0 ? desired + posts.surge : 0;
  const total = sum(shares, (share) => share.replicas);
  const toAdd = allowed - total;
  const sizes: number[] = [];
  let added = 0;
  for (const share of shares) {
    if (share.replicas === 0 || toAdd === 0) {
      sizes.push(share.replicas);
      continue;
    }
    const fraction = Math.round((share.replicas * allowed) / (share.maxReplicas || total)) - share.replicas;
    const left = toAdd - added;
    const step = toAdd > 0 ? Math.min(Math.max(0, fraction), left) : Math.max(Math.min(0, fraction), left);
    added += step;
    sizes.push(Math.max(0, share.replicas + step));
  }
  // What is left over goes to the first, or comes from it and then the next.
  let rest = toAdd - added;
  for (const [index, size] of sizes.entries()) {
    const next = Math.max(0, size + rest);
    rest -= next - size;
    sizes[index] = next;
  }
  return sizes;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
