/** The way of a candidate from its first pod to all of the traffic, or out. */

import { readable } from '../../api/duration.ts';
import { optional } from '../../api/optional.ts';
import type { VersionFailureReason } from '../../api/reasons.ts';
import { type Draft, fail, hasTooFew, lostReadiness, record, settled, without } from './draft.ts';
import { approve, awaitApproval, canCarry, isApproved, lookEveryMs, wait } from './gates.ts';
import type { Candidate } from './state.ts';
import { bearsStep, hasItsPods, isPartial, mayTakeRest, swapPlaces, weightOfStep } from './swap.ts';
import type { VersionFacts } from './types.ts';

/** Steps, suspends, resumes, promotes or fails the candidate. Neither a gate nor a pause suspends detection. */
export function judgeCandidate(draft: Draft): void {
  const { candidate } = draft.state;
  const { facts: all, requests } = draft.input;
  const facts = candidate === undefined ? undefined : all.get(candidate.version);
  if (candidate === undefined || facts === undefined) return;
  // A former version that was on its way back when the one after it failed, or was deleted.
  if (candidate.version === draft.state.stable) {
    draft.state = without(draft.state, 'candidate');
    return;
  }
  if (facts.failure?.terminal === true && facts.ready < facts.wanted)
    return fail(draft, facts, facts.failure);
  if (requests.abort)
    return fail(draft, facts, { reason: 'Aborted', message: 'sluice.dev/abort', terminal: true });
  swapPlaces(draft, facts);
  if (requests.approve) approve(draft, draft.state.candidate!);
  const current = draft.state.candidate!;
  if (requests.promote && facts.ready >= facts.wanted) return promote(draft, current);
  if (requests.promote && canSkip(draft, current, facts)) return enterLastStep(draft, current);
  if (current.step === 0) return judgeStarting(draft, facts);
  return judgeStepping(draft, facts);
}

function judgeStarting(draft: Draft, facts: VersionFacts): void {
  const { policy, requests } = draft.input;
  const candidate = judgeCompleteness(draft, facts);
  if (candidate === undefined || requests.paused) return;
  if (!hasItsPods(candidate, facts)) return waitForPods(draft, candidate);
  const isReturn = isReturnOrRescue(draft, candidate);
  if (isReturn && isPartial(candidate, facts)) return enterLastStep(draft, candidate);
  if (isReturn) return promote(draft, candidate);
  const gated = policy.strategy === 'blueGreen' && policy.approval;
  if (gated && !isApproved(candidate)) return awaitApproval(draft, candidate);
  return policy.strategy === 'canary'
    ? enterStep(draft, candidate, facts, 1)
    : takeRest(draft, candidate, facts);
}

/** Pods are starting, or there are no places for them. */
function waitForPods(draft: Draft, candidate: Candidate): void {
  if (draft.shortage !== undefined) wait(draft, candidate, 'Places');
  else if (candidate.waitingFor === 'Places')
    draft.state = { ...draft.state, candidate: without(candidate, 'waitingFor') };
}

/**
 * A rollout waits for its last pod. Past the deadline a candidate fails that has never had all of them, or has too few
 * to have traffic, with what its pods say if they say anything. One that has had them has shown that it can start: then
 * it is the cluster that has no room, and a person is told; as when stable has too much to carry to lend a place. The candidate as it
 * stands then; undefined when it has failed.
 */
function judgeCompleteness(draft: Draft, facts: VersionFacts): Candidate | undefined {
  const { policy, now } = draft.input;
  const { incompleteSince = now, ...candidate } = draft.state.candidate!;
  const lacksPlaces =
    candidate.waitingFor === 'Places' && (candidate.step > 0 || draft.shortage !== undefined);
  const isComplete = hasItsPods(candidate, facts) && !lacksPlaces;
  draft.state = { ...draft.state, candidate: isComplete ? candidate : { ...candidate, incompleteSince } };
  const deadline = incompleteSince + policy.startupDeadlineMs;
  if (isComplete) return draft.state.candidate;
  if (now < deadline) {
    draft.wakes.push(deadline);
    return draft.state.candidate;
  }
  const seen = `${facts.ready} of ${facts.wanted} pods were ready after ${readable(policy.startupDeadlineMs)}`;
  const why = draft.shortage ?? facts.failure;
  const message = why === undefined ? seen : `${seen}: ${why.message}`;
  const wasComplete =
    candidate.step > 0 || (candidate.swap === undefined && incompleteSince > candidate.startedAt);
  if (draft.shortage?.blameless === true || (wasComplete && !hasTooFew(facts, policy))) {
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
  if (isPartial(judged, facts) && weightOfStep(draft, judged) >= 100)
    return judgeLastStep(draft, judged, facts);
  if (judged.followedSince === undefined && judged.swap !== undefined && !bearsStep(draft, judged, facts)) {
    // A step that asks for more than stable can lend before it is replaced is held with what there is.
    if (isPartial(judged, facts) && draft.shortage === undefined) return wait(draft, judged, 'Places');
    if (!isPartial(judged, facts) && !canCarry(draft, judged, facts, weightOfStep(draft, judged))) return;
  }
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
  if (!hasItsPods(current, facts)) return wait(draft, current, 'Pods');
  if (requests.paused) return;
  if (current.step >= policy.steps.length || (step?.weight ?? 100) >= 100)
    return takeRest(draft, current, facts);
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

/** All of the traffic at once; where places still change hands, as they do. */
function takeRest(draft: Draft, candidate: Candidate, facts: VersionFacts): void {
  if (isPartial(candidate, facts)) enterLastStep(draft, candidate);
  else promoteWhenBorne(draft, candidate, facts);
}

/** Whether somebody may ask for the rest of the traffic now, though places still change hands. */
const canSkip = ({ input: { policy } }: Draft, candidate: Candidate, facts: VersionFacts): boolean =>
  candidate.swap !== undefined && hasItsPods(candidate, facts) && candidate.step <= policy.steps.length;

/** The step after the last: the share follows the places until stable can give no more before it is replaced. */
function enterLastStep(draft: Draft, candidate: Candidate): void {
  const { policy, now } = draft.input;
  draft.state = { ...draft.state, candidate: begun(candidate, policy.steps.length + 1, now) };
  draft.wakes.push(now + lookEveryMs);
  record(draft, {
    type: 'Normal',
    reason: 'StepReached',
    version: candidate.version,
    message: `last step: ${candidate.version} gets what its pods can carry, until it has the places of ${candidate.swap?.lender}`,
  });
}

function judgeLastStep(draft: Draft, candidate: Candidate, facts: VersionFacts): void {
  const { lagging, requests } = draft.input;
  if (requests.paused) return;
  if (lagging !== undefined) return wait(draft, candidate, lagging === 'gateway' ? 'Gateways' : 'Routers');
  if (!mayTakeRest(draft, candidate, facts)) return wait(draft, candidate, 'Places');
  delete draft.shortage;
  promote(draft, candidate);
}

function enterStep(draft: Draft, candidate: Candidate, facts: VersionFacts, number: number): void {
  const { policy, now } = draft.input;
  const step = policy.steps[number - 1];
  if (step === undefined) return takeRest(draft, candidate, facts);
  if (!isPartial(candidate, facts) && !canCarry(draft, candidate, facts, step.weight)) return;
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
  const { swap } = candidate;
  const lender = swap?.lender === former ? draft.input.facts.get(swap?.lender ?? '') : undefined;
  if (swap !== undefined && lender !== undefined && swap.kept < lender.wanted) {
    const gaveWay = { to: candidate.version, pods: 0, ...optional('kept', swap.kept || undefined), at: now };
    draft.lent = { version: lender.version, gaveWay };
  }
  draft.state = without(settled(draft.state, candidate.version, now), 'candidate');
  const instead = former === undefined ? '' : ` instead of ${former}`;
  record(draft, {
    type: 'Normal',
    reason: 'VersionPromoted',
    version: candidate.version,
    message: `${candidate.version} is stable${instead} after ${readable(now - candidate.startedAt)}`,
  });
}
