/** The way of a candidate from its first pod to all of the traffic, or out. */

import { readable } from '../../api/duration.ts';
import type { VersionFailureReason } from '../../api/reasons.ts';
import { type Draft, fail, hasTooFew, lostReadiness, record, settled, without } from './draft.ts';
import type { Candidate } from './state.ts';
import type { VersionFacts } from './types.ts';

/** Steps, suspends, resumes, promotes or fails the candidate. Neither a gate nor a pause suspends detection. */
export function judgeCandidate(draft: Draft): void {
  const { candidate } = draft.state;
  const { facts: all, requests } = draft.input;
  const facts = candidate === undefined ? undefined : all.get(candidate.version);
  if (candidate === undefined || facts === undefined) return;
  if (facts.failure?.terminal === true && facts.ready < facts.wanted)
    return fail(draft, facts, facts.failure);
  if (requests.abort)
    return fail(draft, facts, { reason: 'Aborted', message: 'sluice.dev/abort', terminal: true });
  if (requests.approve) approve(draft, candidate);
  if (requests.promote && facts.ready >= facts.wanted) return promote(draft, candidate);
  if (candidate.step === 0) return judgeStarting(draft, facts);
  return judgeStepping(draft, facts);
}

function judgeStarting(draft: Draft, facts: VersionFacts): void {
  const { policy, now, requests } = draft.input;
  const candidate = draft.state.candidate!;
  if (facts.ready >= facts.wanted) {
    if (requests.paused) return;
    if (!takesAllAtOnce(draft, candidate)) return enterStep(draft, candidate, 1);
    const gated = policy.strategy === 'blueGreen' && policy.approval && !isReturnOrRescue(draft, candidate);
    return gated && !isApproved(candidate) ? awaitApproval(draft, candidate) : promote(draft, candidate);
  }
  const deadline = candidate.startedAt + policy.startupDeadlineMs;
  if (now < deadline) {
    draft.wakes.push(deadline);
    return;
  }
  const seen = `${facts.ready} of ${facts.wanted} pods were ready after ${readable(policy.startupDeadlineMs)}`;
  fail(draft, facts, {
    ...(facts.failure ?? { reason: 'StartupDeadlineExceeded' as const }),
    message: facts.failure === undefined ? seen : `${seen}: ${facts.failure.message}`,
    terminal: true,
  });
}

/** Steps are for moving away from something that serves, towards something that has not proved itself. */
const takesAllAtOnce = (draft: Draft, candidate: Candidate): boolean =>
  draft.input.policy.strategy !== 'canary' || isReturnOrRescue(draft, candidate);

/** The first version, a former stable one, or one that replaces what does not answer at all. */
function isReturnOrRescue(draft: Draft, candidate: Candidate): boolean {
  const { stable, previous } = draft.state;
  if (stable === undefined || previous.includes(candidate.version)) return true;
  return (draft.input.facts.get(stable)?.ready ?? 0) === 0;
}

function judgeStepping(draft: Draft, facts: VersionFacts): void {
  const { policy, now, acked, requests, judgement } = draft.input;
  const candidate = draft.state.candidate!;
  if (hasTooFew(facts, policy)) return suspend(draft, candidate, facts);
  if (candidate.unreadySince !== undefined) {
    draft.state = { ...draft.state, candidate: { ...without(candidate, 'unreadySince'), since: now } };
    record(draft, {
      type: 'Normal',
      reason: 'TrafficResumed',
      version: candidate.version,
      message: `${candidate.version} is ready again; step ${candidate.step} begins anew`,
    });
  }
  if (judgement.verdict === 'Fail') return failByEvidence(draft, facts, judgement.reason ?? 'ErrorRate');
  draft.wakes.push(now + lookEveryMs);
  const current = draft.state.candidate ?? candidate;
  const step = policy.steps[current.step - 1];
  const due = current.since + (step?.holdMs ?? 0);
  if (now < due) {
    draft.wakes.push(due);
    return;
  }
  if (!acked) return wait(draft, current, draft.input.followers);
  if (judgement.verdict === 'Inconclusive') {
    if (policy.analysis.onInconclusive === 'hold') return wait(draft, current, 'Traffic');
    if (policy.analysis.onInconclusive === 'rollback') return failByEvidence(draft, facts, 'TooFewRequests');
  }
  if (step?.approval === true && !isApproved(current)) return awaitApproval(draft, current);
  if (facts.ready < facts.wanted) return wait(draft, current, 'Pods');
  if (requests.paused) return;
  if (current.step >= policy.steps.length || (step?.weight ?? 100) >= 100) return promote(draft, current);
  enterStep(draft, current, current.step + 1);
}

/** How often the evidence is looked at; the tests allow for any number of looks. */
const lookEveryMs = 1_000;

function failByEvidence(draft: Draft, facts: VersionFacts, reason: VersionFailureReason): void {
  fail(draft, facts, { reason, message: draft.input.judgement.message, terminal: true });
}

/** Takes the candidate's traffic away until enough pods are ready again, or for good when that takes too long. */
function suspend(draft: Draft, candidate: Candidate, facts: VersionFacts): void {
  const { policy, now } = draft.input;
  const since = candidate.unreadySince ?? now;
  const failure = lostReadiness(facts, policy, now - since);
  if (failure !== undefined) return fail(draft, facts, failure);
  draft.wakes.push(since + policy.unreadyForMs);
  if (candidate.unreadySince !== undefined) return;
  draft.state = { ...draft.state, candidate: { ...candidate, unreadySince: now } };
  record(draft, {
    type: 'Warning',
    reason: 'TrafficSuspended',
    version: candidate.version,
    message: `${facts.ready} of ${facts.wanted} pods of ${candidate.version} are ready; it has no traffic until they are again`,
  });
}

const isApproved = (candidate: Candidate): boolean => candidate.approvedStep === candidate.step;

function approve(draft: Draft, candidate: Candidate): void {
  draft.state = { ...draft.state, candidate: { ...candidate, approvedStep: candidate.step } };
  const what = candidate.step === 0 ? 'the switch' : `step ${candidate.step}`;
  record(draft, {
    type: 'Normal',
    reason: 'Approved',
    version: candidate.version,
    message: `${what} was approved`,
  });
}

function awaitApproval(draft: Draft, candidate: Candidate): void {
  if (candidate.waitingFor === 'Approval') return;
  wait(draft, candidate, 'Approval');
  record(draft, {
    type: 'Normal',
    reason: 'ApprovalRequired',
    version: candidate.version,
    message: `${candidate.version} waits for the annotation sluice.dev/approve`,
  });
}

function wait(draft: Draft, candidate: Candidate, waitingFor: NonNullable<Candidate['waitingFor']>): void {
  draft.state = { ...draft.state, candidate: { ...candidate, waitingFor } };
}

function enterStep(draft: Draft, candidate: Candidate, number: number): void {
  const { policy, now } = draft.input;
  const step = policy.steps[number - 1];
  if (step === undefined) return promote(draft, candidate);
  const entered = { ...without(candidate, 'waitingFor'), step: number, since: now };
  draft.state = { ...draft.state, candidate: entered };
  draft.wakes.push(now + step.holdMs);
  record(draft, {
    type: 'Normal',
    reason: 'StepReached',
    version: candidate.version,
    message: `step ${number} of ${policy.steps.length}: ${candidate.version} gets ${step.weight} % for ${readable(step.holdMs)}`,
  });
}

function promote(draft: Draft, candidate: Candidate): void {
  const { now } = draft.input;
  const former = draft.state.stable;
  draft.state = without(settled(draft.state, candidate.version, now), 'candidate');
  const instead = former === undefined ? '' : ` instead of ${former}`;
  record(draft, {
    type: 'Normal',
    reason: 'VersionPromoted',
    version: candidate.version,
    message: `${candidate.version} is stable${instead} after ${readable(now - candidate.startedAt)}`,
  });
}
