/** The way of a candidate from its first pod to all of the traffic, or out. */

import { readable } from '../../api/duration.ts';
import type { VersionFailureReason } from '../../api/reasons.ts';
import { type Draft, fail, hasTooFew, lostReadiness, record, settled, without } from './draft.ts';
import { approve, awaitApproval, canCarry, isApproved, lookEveryMs, wait } from './gates.ts';
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
  const { policy, requests } = draft.input;
  const candidate = judgeCompleteness(draft, facts);
  if (candidate === undefined || facts.ready < facts.wanted || requests.paused) return;
  if (isReturnOrRescue(draft, candidate)) return promote(draft, candidate);
  const gated = policy.strategy === 'blueGreen' && policy.approval;
  if (gated && !isApproved(candidate)) return awaitApproval(draft, candidate);
  return policy.strategy === 'canary'
    ? enterStep(draft, candidate, facts, 1)
    : promoteWhenBorne(draft, candidate, facts);
}

/**
 * A rollout waits for its last pod. Past the deadline a candidate fails that has never had all of them, or has too few
 * to have traffic, with what its pods say if they say anything. One that has had them has shown that it can start: then
 * it is the cluster that has no room, and a person is told. The candidate as it stands then; undefined when it has failed.
 */
function judgeCompleteness(draft: Draft, facts: VersionFacts): Candidate | undefined {
  const { policy, now } = draft.input;
  const { incompleteSince = now, ...candidate } = draft.state.candidate!;
  const isComplete = facts.ready >= facts.wanted;
  draft.state = { ...draft.state, candidate: isComplete ? candidate : { ...candidate, incompleteSince } };
  const deadline = incompleteSince + policy.startupDeadlineMs;
  if (isComplete) return draft.state.candidate;
  if (now < deadline) {
    draft.wakes.push(deadline);
    return draft.state.candidate;
  }
  const seen = `${facts.ready} of ${facts.wanted} pods were ready after ${readable(policy.startupDeadlineMs)}`;
  const message = facts.failure === undefined ? seen : `${seen}: ${facts.failure.message}`;
  const wasComplete = candidate.step > 0 || incompleteSince > candidate.startedAt;
  if (wasComplete && !hasTooFew(facts, policy)) {
    draft.overdue = {
      reason: facts.failure?.reason ?? 'ProgressDeadlineExceeded',
      message: `${candidate.version}: ${message}`,
    };
    return draft.state.candidate;
  }
  fail(draft, facts, {
    ...(facts.failure ?? { reason: 'StartupDeadlineExceeded' }),
    message,
    terminal: true,
  });
  return undefined;
}

/**
 * The first version, a former stable one, or one that replaces what does not answer at all. Gates are for moving away
 * from something that serves, towards something that has not proved itself.
 */
function isReturnOrRescue(draft: Draft, candidate: Candidate): boolean {
  const { stable, previous } = draft.state;
  if (stable === undefined || previous.includes(candidate.version)) return true;
  return (draft.input.facts.get(stable)?.ready ?? 0) === 0;
}

function judgeStepping(draft: Draft, facts: VersionFacts): void {
  const { policy, now, lagging, requests, judgement } = draft.input;
  const candidate = draft.state.candidate!;
  if (hasTooFew(facts, policy)) return suspend(draft, candidate, facts);
  if (candidate.unreadySince !== undefined) {
    draft.state = { ...draft.state, candidate: begun(candidate, candidate.step, now) };
    record(draft, {
      type: 'Normal',
      reason: 'TrafficResumed',
      version: candidate.version,
      message: `${candidate.version} is ready again; step ${candidate.step} begins anew`,
    });
    draft.wakes.push(now + lookEveryMs);
    return;
  }
  if (judgement.verdict === 'Fail') return failByEvidence(draft, facts, judgement.reason ?? 'ErrorRate');
  const judged = judgeCompleteness(draft, facts);
  if (judged === undefined) return;
  draft.wakes.push(now + lookEveryMs);
  const laggard = lagging === 'gateway' ? 'Gateways' : 'Routers';
  if (judged.followedSince === undefined && lagging !== undefined) return wait(draft, judged, laggard);
  const current = followed(judged, now);
  draft.state = { ...draft.state, candidate: current };
  const step = policy.steps[current.step - 1];
  const due = current.followedSince + (step?.holdMs ?? 0);
  if (now < due) {
    draft.wakes.push(due);
    return;
  }
  if (lagging !== undefined) return wait(draft, current, laggard);
  if (judgement.verdict === 'Inconclusive') {
    if (policy.analysis.onInconclusive === 'hold') return wait(draft, current, 'Traffic');
    if (policy.analysis.onInconclusive === 'rollback') return failByEvidence(draft, facts, 'TooFewRequests');
  }
  if (step?.approval === true && !isApproved(current)) return awaitApproval(draft, current);
  if (facts.ready < facts.wanted) return wait(draft, current, 'Pods');
  if (requests.paused) return;
  if (current.step >= policy.steps.length || (step?.weight ?? 100) >= 100)
    return promoteWhenBorne(draft, current, facts);
  enterStep(draft, current, facts, current.step + 1);
}

/** A candidate that begins a step, or begins it again. */
const begun = (candidate: Candidate, step: number, now: number): Candidate => ({
  ...without(without(without(candidate, 'unreadySince'), 'waitingFor'), 'followedSince'),
  step,
  since: now,
});

/** What a share does can be watched only from when it is in force, so that is where the hold begins. */
const followed = (candidate: Candidate, now: number): Candidate & { readonly followedSince: number } =>
  candidate.followedSince === undefined
    ? { ...without(candidate, 'waitingFor'), followedSince: now }
    : { ...candidate, followedSince: candidate.followedSince };

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

function promoteWhenBorne(draft: Draft, candidate: Candidate, facts: VersionFacts): void {
  if (canCarry(draft, candidate, facts, 100)) promote(draft, candidate);
}

function enterStep(draft: Draft, candidate: Candidate, facts: VersionFacts, number: number): void {
  const { policy, now } = draft.input;
  const step = policy.steps[number - 1];
  if (step === undefined) return promoteWhenBorne(draft, candidate, facts);
  if (!canCarry(draft, candidate, facts, step.weight)) return;
  draft.state = { ...draft.state, candidate: begun(candidate, number, now) };
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
