/** A full pool: stable lends its places to the candidate, one pod after the other. */

import { podsFor } from '../capacity.ts';
import type { Places } from '../places.ts';
import { weightOf } from '../shares.ts';
import { type Draft, hasTooFew, record } from './draft.ts';
import { borne, recordOnce } from './gates.ts';
import type { Candidate, Swap } from './state.ts';
import type { VersionFacts } from './types.ts';

/** Part of a version's pods that may be missing while places change hands: what a Deployment has for `maxUnavailable`. */
const maxUnavailable = 0.25;

/** Pods of so many that may be missing; at least one, since otherwise no place could change hands. */
export const allowance = (pods: number): number => Math.max(1, Math.floor(maxUnavailable * pods));

/** Pods without which a version may not get all of the traffic. */
const leastOf = ({ wanted }: VersionFacts): number => Math.max(1, wanted - allowance(wanted));

/**
 * Pods that a version needs for its share: by what is measured where it is known what a pod can carry, else its part of them, less
 * the allowance. One that has traffic needs one in any case.
 *
 * @param share percent; exact to the 0.01 by which shares are rounded
 * @param demand see `steady`; undefined when it is not known, and then no pod can be spared that is known to carry something
 */
export function needed(facts: VersionFacts, share: number, demand: number | undefined): number {
  if (share <= 0) return 0;
  if (facts.targetConcurrency === undefined) {
    const part = Math.ceil((facts.wanted * (share - 0.01)) / 100 - 1e-9);
    return Math.max(1, part - allowance(facts.wanted));
  }
  return demand === undefined ? Number.POSITIVE_INFINITY : Math.max(1, podsFor(share, facts, demand));
}

/** The weight of the candidate's step, or of the first one while its pods start; 100 after the last. */
export function weightOfStep({ input: { policy } }: Draft, { step }: Candidate): number {
  const number = step === 0 && policy.strategy === 'canary' ? 1 : step;
  return policy.steps[number - 1]?.weight ?? 100;
}

/** Pods that the candidate needs for the weight of its step. */
function goalOf(draft: Draft, candidate: Candidate, facts: VersionFacts): number {
  const weight = weightOfStep(draft, candidate);
  const part = Math.ceil((facts.wanted * weight) / 100 - 1e-9);
  return Math.min(facts.wanted, Math.max(1, part, podsFor(weight, facts, draft.input.demand ?? 0)));
}

/** Whether the candidate can use places of stable. */
const suits = ({ places: { pool, gpus } }: VersionFacts, wanted: Places): boolean =>
  pool === wanted.pool && gpus >= wanted.gpus;

/** The share that the candidate's ready pods bear of what its step has for it. */
function shareDue(draft: Draft, facts: VersionFacts): number {
  const candidate = draft.state.candidate!;
  return candidate.step === 0 ? 0 : Math.min(weightOfStep(draft, candidate), borne(draft, facts));
}

/** Whether stable can spare a pod now: `later` while what has been decided is still under way. */
function spares(
  draft: Draft,
  { kept }: Swap,
  lender: VersionFacts,
  facts: VersionFacts,
): 'yes' | 'later' | 'no' {
  const { published, demand, lagging, policy, now } = draft.input;
  const { held, leaving, lacking } = lender.places;
  if (!suits(lender, facts.places)) return 'no';
  const own = Math.min(kept, lender.wanted);
  if (leaving > 0 || held > own || (held < own && lacking === 0)) return 'later';
  if (lender.ready === 0) {
    // What answers nothing loses nothing, if it is not just about to come back.
    const since = draft.state.stableUnreadySince ?? now;
    draft.wakes.push(since + policy.unreadyForMs);
    return now < since + policy.unreadyForMs ? 'later' : held > 0 ? 'yes' : 'no';
  }
  const due = shareDue(draft, facts);
  if (lagging !== undefined || weightOf(published, facts.version) < due - 0.02) return 'later';
  const share = Math.max(weightOf(published, lender.version), 100 - due);
  return lender.ready - 1 >= needed(lender, share, demand) ? 'yes' : 'no';
}

/** Begins a swap of places when the candidate finds no room, goes on with one, and says why a candidate has to wait for places. */
export function swapPlaces(draft: Draft, facts: VersionFacts): void {
  const { requests, policy } = draft.input;
  const { stable } = draft.state;
  const lender = stable === undefined ? undefined : draft.input.facts.get(stable);
  const { swap: known } = draft.state.candidate!;
  if (lender === undefined || requests.paused) return;
  if (draft.state.candidate!.step > 0 && hasTooFew(facts, policy)) return;
  const begun =
    known === undefined || known.lender === stable
      ? (known ?? begin(draft, facts, lender))
      : { lender: lender.version, kept: lender.wanted, given: known.given };
  if (begun === undefined) return;
  const given = Math.max(begun.given, Math.min(facts.places.held, facts.wanted));
  const candidate = { ...draft.state.candidate!, swap: { ...begun, given } };
  draft.state = { ...draft.state, candidate };
  if (facts.ready < given || given >= goalOf(draft, candidate, facts)) return;
  const spare = spares(draft, begun, lender, facts);
  if (spare === 'yes') {
    const next = { ...begun, kept: Math.min(begun.kept, lender.places.held) - 1, given: given + 1 };
    draft.state = {
      ...draft.state,
      candidate: { ...candidate, swap: next, incompleteSince: draft.input.now },
    };
  } else if (spare === 'no') {
    draft.shortage = {
      reason: 'AwaitingPlaces',
      message: `${where(facts)} is full, and ${lender.version} can lend no more of its ${begun.kept} pods while it has ${weightOf(draft.input.published, lender.version)} % of the traffic`,
    };
  }
}

/** Whether the candidate has to do with fewer pods than it wants until places have changed hands. */
export const isPartial = ({ swap }: Candidate, { ready, wanted }: VersionFacts): boolean =>
  swap !== undefined && ready < wanted;

/** Whether all pods are ready that the candidate may have so far, and it has any. */
export const hasItsPods = ({ swap }: Candidate, { ready, wanted }: VersionFacts): boolean =>
  ready >= wanted || (swap !== undefined && ready > 0 && ready >= swap.given);

/** Whether the ready pods bear the weight of the candidate's step. */
export const bearsStep = (draft: Draft, candidate: Candidate, facts: VersionFacts): boolean =>
  borne(draft, facts) >= weightOfStep(draft, candidate);

/** Whether the candidate may take the rest of the traffic though it has not all places: stable can give no more before that. */
export function mayTakeRest(draft: Draft, candidate: Candidate, facts: VersionFacts): boolean {
  const { demand } = draft.input;
  return (
    draft.shortage !== undefined &&
    hasItsPods(candidate, facts) &&
    facts.ready >= leastOf(facts) &&
    (facts.targetConcurrency === undefined || facts.ready >= needed(facts, 100, demand))
  );
}

/** Pods of the two versions between which places change hands. */
export function replicasOf({ state: { candidate, stable }, shortage }: Draft): ReadonlyMap<string, number> {
  const swap = candidate?.swap;
  if (candidate === undefined || swap === undefined || swap.lender !== stable) return new Map();
  // When none can be lent, the scheduler may still know of a place.
  const asked = shortage === undefined ? 0 : 1;
  return new Map([
    [swap.lender, swap.kept],
    [candidate.version, Math.max(1, swap.given + asked)],
  ]);
}

const podsOf = (count: number): string => (count === 1 ? 'pod' : 'pods');

const where = ({ places }: VersionFacts): string => `GPUPool ${places.pool}`;

/** A swap, if the candidate finds no room and there can be one; says why not otherwise. Outside of pools nobody has said what to do. */
function begin(draft: Draft, facts: VersionFacts, lender: VersionFacts): Swap | undefined {
  const { version, places, wanted } = facts;
  if (places.lacking === 0 || places.whenFull === undefined || draft.input.roomComing) return undefined;
  const { held, gpus } = lender.places;
  const holds = `${lender.version} has ${held} ${podsOf(held)} in it`;
  const pool = where(facts);
  if (lender.places.pool !== places.pool || places.whenFull === 'wait') {
    const others = lender.places.pool === places.pool ? holds : `${lender.version} is not in it`;
    const rule = places.whenFull === 'wait' ? ', by whenFull: wait' : '';
    draft.shortage = {
      reason: 'AwaitingPlaces',
      message: `waits for room in ${pool}${rule}: it lacks ${places.lacking} of ${wanted} places, and ${others}`,
    };
    recordOnce(draft, draft.state.candidate!, {
      type: 'Warning',
      reason: 'PlacesRequired',
      version,
      message: `${version} ${draft.shortage.message}`,
    });
    return undefined;
  }
  const missing = leastOf(facts) - places.held - held + (lender.ready === 0 ? 0 : 1);
  if (missing > 0 || gpus < places.gpus) {
    const why =
      gpus < places.gpus
        ? `a place of ${lender.version} has ${gpus} GPUs, of which a pod of ${version} needs ${places.gpus}; room for ${places.lacking} more`
        : `${holds} and cannot be without the last one that answers; room for ${missing} more`;
    const or = wanted > 1 ? `, or fewer replicas of ${version}` : '';
    draft.shortage = {
      reason: 'SwapImpossible',
      message: `${pool} is full, and ${why} would do${or}`,
    };
    recordOnce(draft, draft.state.candidate!, {
      type: 'Warning',
      version,
      ...draft.shortage,
      reason: 'SwapImpossible',
    });
    return undefined;
  }
  record(draft, {
    type: 'Normal',
    reason: 'SwapStarted',
    version,
    message: `${pool} is full: ${lender.version} lends its places to ${version}, one pod after the other`,
  });
  return { lender: lender.version, kept: lender.wanted, given: places.held };
}
