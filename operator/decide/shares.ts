/** Shares of traffic in percent, exact to 0.01: what the routers' 10,000 buckets can carry. */

/** One version's share; a list of them is in the order of the routers' ranges. */
export interface Share {
  readonly version: string;
  /** Percent, a multiple of 0.01. */
  readonly weight: number;
}

const buckets = 10_000;

/**
 * Shares in proportion to the given parts, rounded to buckets by largest remainder so that they sum to exactly 100.
 * Empty when no part is above 0.
 */
export function proportional(parts: readonly Share[]): Share[] {
  const sum = parts.reduce((total, part) => total + Math.max(0, part.weight), 0);
  if (!(sum > 0)) return [];
  const exact = parts.map((part) => (Math.max(0, part.weight) / sum) * buckets);
  const whole = exact.map((value) => Math.floor(value + 1e-9));
  let left = buckets - whole.reduce((total, value) => total + value, 0);
  const byRemainder = exact
    .map((value, index) => ({ index, remainder: value - whole[index]! }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  for (const { index } of byRemainder) {
    if (left === 0) break;
    if (exact[index] === 0) continue;
    whole[index]! += 1;
    left -= 1;
  }
  return parts.map((part, index) => ({ version: part.version, weight: whole[index]! / 100 }));
}

/**
 * The shares when a version can carry no more than `most` percent. What one cannot carry goes to those that have room, in
 * proportion to their shares; what nobody has room for stays where it was asked for, since somebody has to answer.
 */
export function capped(shares: readonly Share[], most: (version: string) => number): Share[] {
  const asked = shares.map(({ weight }) => Math.round(weight * 100));
  const room = shares.map(({ version }) => Math.floor(most(version) * 100 + 1e-9));
  if (asked.every((units, index) => units <= room[index]!)) return [...shares];
  const given = asked.map((units, index) => Math.min(units, room[index]!));
  for (;;) {
    const left = buckets - sum(given);
    const open = shares.filter((_, index) => asked[index]! > 0 && given[index]! < room[index]!);
    if (left === 0) return withUnits(shares, given);
    if (open.length === 0) return [...shares];
    for (const { version, weight } of proportional(open)) {
      const index = shares.findIndex((share) => share.version === version);
      const more = Math.ceil((weight * left) / 100);
      given[index]! += Math.min(more, room[index]! - given[index]!, buckets - sum(given));
    }
  }
}

const sum = (units: readonly number[]): number => units.reduce((total, one) => total + one, 0);

const withUnits = (shares: readonly Share[], units: readonly number[]): Share[] =>
  shares.map(({ version }, index) => ({ version, weight: units[index]! / 100 }));

/**
 * The shares when only some versions can answer. What an unroutable version had goes to `heirs`, the first of which
 * that can answer takes all of it; with none, everything stays as it is, since the routers then have nothing better.
 * Versions keep their place in the list, with weight 0.
 */
export function routable(
  shares: readonly Share[],
  canAnswer: (version: string) => boolean,
  heirs: readonly string[],
): Share[] {
  const lost = shares.filter((share) => share.weight > 0 && !canAnswer(share.version));
  if (lost.length === 0) return [...shares];
  const heir = heirs.find((version) => canAnswer(version));
  if (heir === undefined) return [...shares];
  const freed = lost.reduce((total, share) => total + Math.round(share.weight * 100), 0);
  const kept = shares.map((share) => (lost.includes(share) ? { ...share, weight: 0 } : share));
  const known = kept.some((share) => share.version === heir);
  return (known ? kept : [...kept, { version: heir, weight: 0 }]).map((share) =>
    share.version === heir ? { ...share, weight: (Math.round(share.weight * 100) + freed) / 100 } : share,
  );
}

export const weightOf = (shares: readonly Share[], version: string): number =>
  shares.find((share) => share.version === version)?.weight ?? 0;

export const sameShares = (a: readonly Share[], b: readonly Share[]): boolean =>
  a.length === b.length &&
  a.every((share, index) => share.version === b[index]!.version && share.weight === b[index]!.weight);
