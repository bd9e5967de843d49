/**
 * A full pool: stable lends its places to the candidate, one pod after the other.
 *
 * Each step rests on what the scheduler says now: a pod of the candidate finds no room, and the place that was given up last is in use.
 * So nothing is given for a reason that more places do not mend, and of places that nobody takes there is one at most.
 */

import { readable } from '../../api/duration.ts';
import { podsFor } from '../capacity.ts';
import type { Places } from '../places.ts';
import { weightOf } from '../shares.ts';
import { type Draft, hasTooFew, record, without } from './draft.ts';
import { borne, recordOnce } from './gates.ts';
import type { Candidate, Swap } from './state.ts';
import type { Shortage, VersionFacts } from './types.ts';

/** Part of a version's pods that may be missing while places change hands: what a Deployment has for `maxUnavailable`. */
const maxUnavailable = 0.25;

/** How long a free place may wait for the candidate: the scheduler comes back to a pod within ten seconds. */
const patienceMs = 60_000;

/** Pods of so many that may be missing; at least one, since otherwise no place could change hands. */
export const allowance = (pods: number): number => Math.max(1, Math.floor(maxUnavailable * pods));

/** Pods without which a version may not get all of the traffic. */
const leastOf = ({ wanted }: Pick<VersionFacts, 'wanted'>): number => Math.max(1, wanted - allowance(wanted));

/**
 * Pods that a version needs for its share: its part of them less the allowance, and what the measured load takes where it is known what a pod can
 * carry. One that has traffic needs one in any case.
 *
 * @param share percent; exact to the 0.01 by which shares are rounded
 * @param demand see `steady`; undefined when it is not known, and then no pod can be spared that is known to carry something
 */
export function needed(facts: VersionFacts, share: number, demand: number | undefined): number {
  if (share <= 0) return 0;
  const part = Math.ceil((facts.wanted * (share - 0.01)) / 100 - 1e-9) - allowance(facts.wanted);
  const load =
    facts.targetConcurrency === undefined
      ? 0
      : demand === undefined
        ? Number.POSITIVE_INFINITY
        : podsFor(share, facts, demand);
  return Math.max(1, part, load);
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

/** Whether stable can spare a pod now: `later` while something is still under way. */
function spares(
  draft: Draft,
  { kept }: Swap,
  lender: VersionFacts,
  facts: VersionFacts,
): 'yes' | 'later' | 'no' {
  const { published, demand, lagging, policy, now, roomComing } = draft.input;
  const { ready } = lender;
  const { held, leaving, lacking } = lender.places;
  if (!suits(lender, facts.places)) return 'no';
  const starting = held < Math.min(kept, lender.wanted) && lacking === 0 && lender.failure === undefined;
  if (facts.places.lacking === 0 || roomComing || leaving > 0 || held > kept || starting) return 'later';
  const due = shareDue(draft, facts);
  if (lagging !== undefined || weightOf(published, facts.version) < due - 0.02) return 'later';
  const share = Math.max(weightOf(published, lender.version), 100 - due);
  // Of pods that are not all ready, a Deployment ends those first that are not.
  const left = held > ready ? ready : ready - 1;
  if (left >= needed(lender, share, demand)) return 'yes';
  // What does not answer loses nothing, if it is not just about to come back.
  const since = draft.state.stableUnreadySince;
  if (held <= ready || since === undefined) return 'no';
  draft.wakes.push(since + policy.unreadyForMs);
  return now < since + policy.unreadyForMs ? 'later' : 'yes';
}

/** Begins a swap of places when the candidate finds no room, goes on with one, and says why a candidate has to wait for places. */
export function swapPlaces(draft: Draft, facts: VersionFacts): void {
  const { requests, policy, facts: all } = draft.input;
  const candidate = draft.state.candidate!;
  const lender = all.get(draft.state.stable ?? '');
  if (lender === undefined || requests.paused) return;
  if (candidate.step > 0 && hasTooFew(facts, policy)) return;
  const swap = candidate.swap?.lender === lender.version ? candidate.swap : begin(draft, facts, lender);
  if (swap === undefined) {
    draft.state = { ...draft.state, candidate: without(candidate, 'swap') };
    return;
  }
  const next = advanceSwap(draft, swap, facts, lender);
  // There was room after all.
  if (facts.ready >= facts.wanted && next.kept >= lender.wanted) {
    draft.state = { ...draft.state, candidate: without(candidate, 'swap') };
    return;
  }
  const lends = next.kept < swap.kept;
  // A pod that has just been given a place has as long to start as the first one.
  const since = lends ? { incompleteSince: draft.input.now } : {};
  draft.state = { ...draft.state, candidate: { ...draft.state.candidate!, ...since, swap: next } };
}

/** A swap after one visit. */
function advanceSwap(draft: Draft, swap: Swap, facts: VersionFacts, lender: VersionFacts): Swap {
  const { held, lacking } = facts.places;
  if (held < Math.min(swap.given, facts.wanted))
    return swap.taken === true ? lost(swap, facts) : awaitTaking(draft, swap, facts, lender);
  const used: Swap = { ...without(swap, 'freeSince'), taken: true };
  const current = lacking === 0 ? without(used, 'futile') : used;
  if (facts.ready < Math.min(held, facts.wanted)) return current;
  if (held >= goalOf(draft, draft.state.candidate!, facts)) return returned(current, facts, lender);
  const spare = current.futile === true ? 'no' : spares(draft, current, lender, facts);
  if (spare === 'yes')
    return {
      ...without(current, 'taken'),
      kept: Math.min(current.kept, lender.places.held) - 1,
      given: held + 1,
    };
  if (spare === 'no') draft.shortage = shortageOf(draft, current, facts, lender);
  return current;
}

/** A place that the candidate had and has lost, to which the scheduler finds none instead, is as one that it has never been given. */
const lost = (swap: Swap, { places: { held, lacking } }: VersionFacts): Swap =>
  lacking === 0 ? swap : { ...swap, given: held };

/** A place that stable has given up is for the candidate. One that it cannot use goes back, and no other one is given. */
function awaitTaking(draft: Draft, swap: Swap, facts: VersionFacts, lender: VersionFacts): Swap {
  const { now } = draft.input;
  if (lender.places.leaving > 0 || lender.places.held > swap.kept) return without(swap, 'freeSince');
  const { freeSince = now } = swap;
  if (now < freeSince + patienceMs) {
    draft.wakes.push(freeSince + patienceMs);
    return { ...swap, freeSince };
  }
  record(draft, {
    type: 'Warning',
    reason: 'SwapImpossible',
    version: facts.version,
    message: `a place that ${lender.version} gave up was not taken for ${readable(patienceMs)}, and goes back: ${facts.failure?.message ?? 'something else has it'}`,
  });
  const back = { ...without(swap, 'freeSince'), kept: Math.min(swap.kept + 1, lender.wanted) };
  return { ...back, given: facts.places.held, futile: true };
}

/** When the candidate has what it needs and the pool has room again, stable gets its own back, one pod after the other. */
function returned(swap: Swap, { places }: VersionFacts, lender: VersionFacts): Swap {
  const { held, leaving, gpus, free = 0 } = lender.places;
  const lacksNothing = places.lacking === 0 && leaving === 0 && held >= swap.kept;
  return lacksNothing && swap.kept < lender.wanted && gpus > 0 && free >= gpus
    ? { ...swap, kept: swap.kept + 1 }
    : swap;
}

function shortageOf(draft: Draft, swap: Swap, facts: VersionFacts, lender: VersionFacts): Shortage {
  const { demand, published } = draft.input;
  const full = `${where(facts)} is full, and`;
  const reason = 'AwaitingPlaces';
  if (swap.futile === true)
    return { reason, message: `${full} ${facts.version} cannot use the places of ${lender.version}` };
  const why =
    demand === undefined && lender.targetConcurrency !== undefined
      ? 'can lend no pod while no router says how many requests are under way'
      : `can lend no more of its ${swap.kept} pods while it has ${weightOf(published, lender.version)} % of the traffic`;
  return { reason, message: `${full} ${lender.version} ${why}`, blameless: true };
}

/** Whether the candidate has to do with fewer pods than it wants until places have changed hands. */
export const isPartial = ({ swap }: Candidate, { ready, wanted }: VersionFacts): boolean =>
  swap !== undefined && ready < wanted;

/** Whether all pods are ready that the candidate has places for, and it has any. */
export const hasItsPods = ({ swap }: Candidate, { ready, wanted, places }: VersionFacts): boolean =>
  ready >= wanted || (swap !== undefined && ready > 0 && ready >= Math.max(swap.given, places.held));

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

/**
 * Pods of the two versions between which places change hands. The candidate asks for one more than it has places for: if there is room for that
 * one, nobody needs to give any.
 */
export function replicasOf(draft: Draft): ReadonlyMap<string, number> {
  const { candidate, stable } = draft.state;
  const facts = draft.input.facts.get(candidate?.version ?? '');
  if (candidate?.swap === undefined || facts === undefined || candidate.swap.lender !== stable)
    return new Map();
  const { lender, kept, given } = candidate.swap;
  const { held } = facts.places;
  const asked = Math.max(given, held, Math.min(held + 1, goalOf(draft, candidate, facts)));
  return new Map([
    [lender, kept],
    [candidate.version, asked],
  ]);
}

const podsOf = (count: number): string => (count === 1 ? 'pod' : 'pods');

const where = ({ places }: VersionFacts): string => `GPUPool ${places.pool}`;

/** A swap, if the candidate finds no room and there can be one; says why not otherwise. Outside of pools nobody has said what to do. */
function begin(draft: Draft, facts: VersionFacts, lender: VersionFacts): Swap | undefined {
  const { version, places, wanted } = facts;
  if (places.lacking === 0 || places.whenFull === undefined || draft.input.roomComing) return undefined;
  // It has had all of its pods: what is missing has been lost, and comes back by itself or not at all.
  if (draft.state.candidate!.step > 0 && facts.established >= wanted) return undefined;
  const obstacle = obstacleOf(facts, lender);
  if (obstacle === undefined) {
    record(draft, {
      type: 'Normal',
      reason: 'SwapStarted',
      version,
      message: `${where(facts)} is full: ${lender.version} lends its places to ${version}, one pod after the other`,
    });
    return { lender: lender.version, kept: lender.wanted, given: Math.min(places.held, wanted) };
  }
  draft.shortage = obstacle;
  recordOnce(draft, draft.state.candidate!, {
    type: 'Warning',
    version,
    reason: obstacle.reason === 'AwaitingPlaces' ? 'PlacesRequired' : obstacle.reason,
    message: `${version} waits: ${obstacle.message}`,
  });
  return undefined;
}

/** Why places cannot change hands at all. */
function obstacleOf({ version, places, wanted }: VersionFacts, lender: VersionFacts): Shortage | undefined {
  const { held, gpus, pool } = lender.places;
  const full = `GPUPool ${places.pool} is full`;
  if (pool !== places.pool || places.whenFull === 'wait') {
    const others =
      pool === places.pool
        ? `${lender.version} has ${held} ${podsOf(held)} in it`
        : `${lender.version} is not in it`;
    const rule = places.whenFull === 'wait' ? ' (whenFull: wait)' : '';
    return {
      reason: 'AwaitingPlaces',
      message: `${full}${rule}: ${places.lacking} of ${wanted} places are lacking, and ${others}`,
    };
  }
  const missing = leastOf({ wanted }) - places.held - held + (lender.ready === 0 ? 0 : 1);
  if (missing <= 0 && gpus >= places.gpus) return undefined;
  const why =
    gpus < places.gpus
      ? `a place of ${lender.version} has ${gpus} GPUs, of which a pod of ${version} needs ${places.gpus}; room for ${places.lacking} more`
      : `${lender.version} has ${held} ${podsOf(held)} in it and cannot be without the last one that answers; room for ${missing} more`;
  const or = wanted > 1 ? `, or fewer replicas of ${version}` : '';
  return { reason: 'SwapImpossible', message: `${full}, and ${why} would do${or}` };
}
