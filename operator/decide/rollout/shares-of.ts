/** Who gets which share of the traffic. */

import { capped, proportional, routable, type Share, weightOf } from '../shares.ts';
import { type Draft, isLatched, without } from './draft.ts';
import { borne } from './gates.ts';
import type { RolloutState } from './state.ts';
import type { VersionFacts } from './types.ts';

/** Whether a version may have requests now. */
export function canAnswer({ candidate, latched }: RolloutState, facts: VersionFacts | undefined): boolean {
  if (facts === undefined || facts.ready === 0 || isLatched(latched, facts)) return false;
  return candidate?.version !== facts.version || candidate.unreadySince === undefined;
}

/** Who gets what, after those that cannot answer have lost their part. */
export function sharesOf(draft: Draft): Share[] {
  const { facts, target } = draft.input;
  const { stable, candidate, previous } = draft.state;
  const answers = answering(draft);
  const planned =
    target.kind === 'split' ? splitShares(draft, target.parts, answers) : rolloutShares(draft, answers);
  const others = [...facts.keys()].filter((version) => version !== candidate?.version).reverse();
  const heirs = [stable, candidate?.version, ...previous, ...others].filter(
    (version) => version !== undefined,
  );
  if (planned.length === 0) {
    const heir = heirs.find(answers);
    return heir === undefined ? [] : [{ version: heir, weight: 100 }];
  }
  const named = new Set([stable, candidate?.version]);
  return routable(planned, answers, heirs).filter((share) => share.weight > 0 || named.has(share.version));
}

/** Which versions may have requests. A candidate whose traffic is suspended answers when nobody else can. */
function answering({ input: { facts }, state }: Draft): (version: string) => boolean {
  const { candidate } = state;
  const able = [...facts.values()].some((version) => canAnswer(state, version));
  const resumed =
    able || candidate === undefined ? state : { ...state, candidate: without(candidate, 'unreadySince') };
  return (version) => canAnswer(resumed, facts.get(version));
}

function rolloutShares(draft: Draft, answers: (version: string) => boolean): Share[] {
  const { stable, candidate } = draft.state;
  if (stable === undefined) {
    return candidate !== undefined && answers(candidate.version)
      ? [{ version: candidate.version, weight: 100 }]
      : [];
  }
  if (candidate === undefined || candidate.version === stable) return [{ version: stable, weight: 100 }];
  const step = candidate.step === 0 ? 0 : (draft.input.policy.steps[candidate.step - 1]?.weight ?? 100);
  const planned = answers(stable) ? Math.min(step, borneBy(draft, candidate.version)) : step;
  return proportional([
    { version: stable, weight: 100 - planned },
    { version: candidate.version, weight: planned },
  ]);
}

/** The largest share of a version that its ready pods can carry now. */
function borneBy(draft: Draft, version: string): number {
  const facts = draft.input.facts.get(version);
  return facts === undefined ? 0 : borne(draft, facts);
}

/**
 * A member gets its part when it can answer, as far as it can carry it; a former stable version serves until one
 * can.
 */
function splitShares(draft: Draft, parts: readonly Share[], answers: (version: string) => boolean): Share[] {
  const { stable, latched } = draft.state;
  const able = parts.some((part) => part.weight > 0 && answers(part.version));
  if (!able && stable !== undefined && answers(stable)) return [{ version: stable, weight: 100 }];
  const eligible = parts.filter((part) => {
    const known = draft.input.facts.get(part.version);
    return known !== undefined && !isLatched(latched, known);
  });
  const shares = proportional(eligible);
  // One that cannot answer at all is succeeded by one that can, not by all others.
  return capped(shares, (version) =>
    answers(version) ? borneBy(draft, version) : weightOf(shares, version),
  );
}
