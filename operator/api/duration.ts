const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * Milliseconds of a duration as the CRDs allow it (`1h30m`, `500ms`).
 *
 * @throws RangeError on anything else; the API refuses such a value, so this is a defect, not an input error.
 */
export function milliseconds(duration: string): number {
  if (!/^(\d+(ms|s|m|h))+$/.test(duration))
    throw new RangeError(`not a duration: ${JSON.stringify(duration)}`);
  let total = 0;
  for (const [, amount, unit] of duration.matchAll(/(\d+)(ms|s|m|h)/g)) {
    total += Number(amount) * units[unit as keyof typeof units];
  }
  return total;
}

/** Whole seconds, at least one: what probes and grace periods are counted in. */
export const wholeSeconds = (duration: string): number =>
  Math.max(1, Math.ceil(milliseconds(duration) / 1_000));

/** A duration for people: `850 ms`, `12.3 s`, `4 min 10 s`. */
export function readable(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1).replace(/\.0$/, '')} s`;
  const seconds = Math.round(ms / 1_000);
  const rest = seconds % 60;
  return `${Math.floor(seconds / 60)} min${rest === 0 ? '' : ` ${rest} s`}`;
}
