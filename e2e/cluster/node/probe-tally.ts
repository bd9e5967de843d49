/** When a row of probe results becomes a verdict. Pure. */
import type { Probe } from './pod.ts';

/** The current row of equal results. */
export interface Tally {
  readonly ok: boolean;
  readonly length: number;
}

/** Probe with the API's defaults filled in; times in seconds. */
export function probeTimes(probe: Probe): {
  readonly initialDelay: number;
  readonly period: number;
  readonly timeout: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
} {
  return {
    initialDelay: probe.initialDelaySeconds ?? 0,
    period: probe.periodSeconds || 10,
    timeout: probe.timeoutSeconds || 1,
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
  };
}

/** The row after one more result, and the verdict once the row is long enough. */
export function count(
  probe: Probe,
  tally: Tally | undefined,
  ok: boolean,
): { readonly tally: Tally; readonly verdict?: boolean } {
  const length = tally?.ok === ok ? tally.length + 1 : 1;
  const { successThreshold, failureThreshold } = probeTimes(probe);
  const needed = ok ? successThreshold : failureThreshold;
  return { tally: { ok, length }, ...(length >= needed ? { verdict: ok } : {}) };
}
