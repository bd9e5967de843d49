/** What a candidate has to wait for: somebody's approval, or pods that can carry more. */

import { bearable, podsFor } from '../capacity.ts';
import { weightOf } from '../shares.ts';
import { type Draft, record } from './draft.ts';
import type { Candidate } from './state.ts';
import type { RolloutEvent, VersionFacts } from './types.ts';

/** How often the evidence is looked at; the tests allow for any number of looks. */
export const lookEveryMs = 1_000;

export const isApproved = (candidate: Candidate): boolean => candidate.approvedStep === candidate.step;

export function approve(draft: Draft, candidate: Candidate): void {
  draft.state = { ...draft.state, candidate: { ...candidate, approvedStep: candidate.step } };
  const what = candidate.step === 0 ? 'the switch' : `step ${candidate.step}`;
  record(draft, {
    type: 'Normal',
    reason: 'Approved',
    version: candidate.version,
    message: `${what} was approved`,
  });
}

export function awaitApproval(draft: Draft, candidate: Candidate): void {
  if (candidate.waitingFor === 'Approval') return;
  wait(draft, candidate, 'Approval');
  recordOnce(draft, candidate, {
    type: 'Normal',
    reason: 'ApprovalRequired',
    version: candidate.version,
    message: `${candidate.version} waits for the annotation sluice.dev/approve`,
  });
}

/**
 * What a candidate waits for may change with every visit, while load and routers come and go: people are told once a
 * step, or the history would hold nothing else.
 */
export function recordOnce(draft: Draft, { version, since }: Candidate, event: RolloutEvent): void {
  const told = draft.state.history.some(
    (entry) => entry.reason === event.reason && entry.version === version && entry.at >= since,
  );
  if (!told) record(draft, event);
}

export function wait(
  draft: Draft,
  candidate: Candidate,
  waitingFor: NonNullable<Candidate['waitingFor']>,
): void {
  draft.state = { ...draft.state, candidate: { ...candidate, waitingFor } };
}

/**
 * The largest share of a version that its ready pods can carry now. Of a candidate that is still being given places they are a part of
 * all that it wants.
 */
export function borne({ input, state: { candidate } }: Draft, facts: VersionFacts): number {
  const { version, wanted } = facts;
  const isPart = candidate?.version === version && candidate.swap !== undefined;
  const pods = isPart ? { ...facts, established: wanted } : facts;
  return bearable(pods, input.demand, weightOf(input.published, version));
}

/** Whether the ready pods can carry a share; says what is missing when they cannot. Capacity first, then weight. */
export function canCarry(draft: Draft, candidate: Candidate, facts: VersionFacts, share: number): boolean {
  const { demand, now } = draft.input;
  if (borne(draft, facts) >= share) return true;
  draft.wakes.push(now + lookEveryMs);
  if (demand === undefined) wait(draft, candidate, 'Routers');
  if (demand === undefined || candidate.waitingFor === 'Capacity') return false;
  wait(draft, candidate, 'Capacity');
  recordOnce(draft, candidate, {
    type: 'Normal',
    reason: 'CapacityRequired',
    version: candidate.version,
    message: `${candidate.version} needs ${podsFor(share, facts, demand)} ready pods for ${share} % of ${demand} requests at a time (${facts.targetConcurrency} a pod), and has ${facts.ready}`,
  });
  return false;
}
