/**
 * The rollout: a state machine over what is known of the versions, the policy and the time. It decides which version
 * is stable, which is the candidate, what has failed for good, and who gets which share.
 */

import { readable } from '../api/duration.ts';
import type { EventReason, VersionFailureReason } from '../api/reasons.ts';
import type { Failure } from './failure.ts';
import {
  type Candidate,
  type HistoryEntry,
  historyLimit,
  type Latch,
  latchLimit,
  optional,
  previousLimit,
  type RolloutState,
} from './rollout-state.ts';
import { proportional, routable, type Share } from './shares.ts';

/** What a rollout needs to know of one version. */
export interface VersionFacts {
  readonly version: string;
  readonly contentHash: string;
  /** Pods it should have while it runs. */
  readonly wanted: number;
  readonly ready: number;
  readonly failure?: Failure;
  /** Why it cannot have pods at all now, though nothing has been tried yet. */
  readonly blocked?: Failure;
}

/** `spec.rollout` and `spec.rollback`, in milliseconds and fractions. */
export interface RolloutPolicy {
  readonly strategy: 'canary' | 'immediate';
  readonly steps: readonly { readonly weight: number; readonly holdMs: number }[];
  readonly bakeMs: number;
  readonly unreadyForMs: number;
  /** Fraction of the wanted pods, 0 to 1. */
  readonly minReady: number;
  readonly startupDeadlineMs: number;
}

/** What the spec wants, after `latest` and names have been looked up. */
export type Target =
  | { readonly kind: 'version'; readonly version: string }
  | { readonly kind: 'split'; readonly parts: readonly Share[] }
  /** Nothing to serve, or nothing that may be served: what runs goes on. */
  | { readonly kind: 'unchanged' };

export interface RolloutInput {
  readonly state: RolloutState;
  readonly target: Target;
  readonly facts: ReadonlyMap<string, VersionFacts>;
  readonly policy: RolloutPolicy;
  /** Whether every ready router follows the shares published last. */
  readonly acked: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Something to tell people: about the model, and about a version where one is concerned. */
export interface RolloutEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly version?: string;
  readonly message: string;
  /** For a failure: the reason that the version's own event carries. */
  readonly failure?: VersionFailureReason;
}

export interface RolloutOutput {
  readonly state: RolloutState;
  readonly shares: readonly Share[];
  readonly events: readonly RolloutEvent[];
  /** When something is due though nothing happens. */
  readonly wakeAt?: number;
}

/** A decision in the making: the input, and the state as it changes. */
interface Draft {
  readonly input: RolloutInput;
  state: RolloutState;
  readonly events: RolloutEvent[];
  readonly wakes: number[];
}

/** One visit. Pure: the same input gives the same output, and a second visit at the same time changes nothing. */
export function advance(input: RolloutInput): RolloutOutput {
  const draft: Draft = { input, state: input.state, events: [], wakes: [] };
  forgetVanished(draft);
  followTarget(draft);
  judgeStable(draft);
  judgeCandidate(draft);
  return {
    state: draft.state,
    shares: sharesOf(draft),
    events: draft.events,
    ...optional('wakeAt', draft.wakes.length === 0 ? undefined : Math.min(...draft.wakes)),
  };
}

/** Whether so many pods are unready that the version may not have traffic of its own. */
export const hasTooFew = (
  facts: VersionFacts | undefined,
  policy: Pick<RolloutPolicy, 'minReady'>,
): boolean => facts === undefined || facts.ready < Math.max(1, Math.ceil(policy.minReady * facts.wanted));

export const isLatched = (
  latched: readonly Latch[],
  facts: Pick<VersionFacts, 'version' | 'contentHash'>,
): boolean =>
  latched.some((latch) => latch.version === facts.version && latch.contentHash === facts.contentHash);

/** Drops what speaks of versions that are gone, and latches of contents that have changed since. */
function forgetVanished(draft: Draft): void {
  const { facts, now } = draft.input;
  const { stable, candidate, previous, latched } = draft.state;
  const kept = latched.filter((latch) => facts.get(latch.version)?.contentHash === latch.contentHash);
  const exists = (version: string) => facts.has(version);
  draft.state = { ...draft.state, latched: kept, previous: previous.filter(exists) };
  if (candidate !== undefined && !exists(candidate.version)) {
    draft.state = without(draft.state, 'candidate');
    record(draft, {
      type: 'Normal',
      reason: 'Superseded',
      version: candidate.version,
      message: `${candidate.version} was deleted`,
    });
  }
  if (stable !== undefined && !exists(stable)) {
    const heir = draft.state.previous.find((version) => (facts.get(version)?.ready ?? 0) > 0);
    draft.state = {
      ...without(without(without(draft.state, 'stable'), 'stableSince'), 'stableUnreadySince'),
      ...optional('stable', heir),
      ...optional('stableSince', heir === undefined ? undefined : now),
      previous: draft.state.previous.filter((version) => version !== heir),
    };
    const then = heir === undefined ? 'nothing took its place' : `${heir} took its place`;
    record(draft, {
      type: 'Warning',
      reason: 'StableLost',
      version: stable,
      message: `${stable} was deleted; ${then}`,
    });
  }
}

/** Begins, keeps or gives up a candidate, as the target asks. */
function followTarget(draft: Draft): void {
  const { target, facts, now } = draft.input;
  switch (target.kind) {
    case 'unchanged':
      return;
    case 'split':
      return followSplit(draft, target.parts);
    case 'version': {
      const { candidate, stable } = draft.state;
      const wanted = facts.get(target.version);
      if (candidate !== undefined && candidate.version !== target.version)
        supersede(draft, candidate, target.version);
      if (wanted === undefined || stable === target.version || isLatched(draft.state.latched, wanted)) return;
      if (draft.state.candidate?.contentHash === wanted.contentHash || wanted.blocked !== undefined) return;
      draft.state = {
        ...draft.state,
        candidate: {
          version: wanted.version,
          contentHash: wanted.contentHash,
          step: 0,
          startedAt: now,
          since: now,
        },
      };
      const from = stable === undefined ? '' : ` from ${stable}`;
      record(draft, {
        type: 'Normal',
        reason: 'RolloutStarted',
        version: wanted.version,
        message: `rolling out ${wanted.version}${from}`,
      });
    }
  }
}

/** A split has no candidate. Its largest member that can answer is the one that others fall back to. */
function followSplit(draft: Draft, parts: readonly Share[]): void {
  const { candidate, stable } = draft.state;
  if (candidate !== undefined) supersede(draft, candidate, 'a fixed split');
  const { facts, policy, now } = draft.input;
  const able = [...parts]
    .filter((part) => part.weight > 0 && !hasTooFew(facts.get(part.version), policy))
    .sort((a, b) => b.weight - a.weight);
  const largest = able[0]?.version;
  if (largest === undefined || largest === stable) return;
  draft.state = settled(draft.state, largest, now);
}

function supersede(draft: Draft, candidate: Candidate, by: string): void {
  draft.state = without(draft.state, 'candidate');
  record(draft, {
    type: 'Normal',
    reason: 'Superseded',
    version: candidate.version,
    message: `${candidate.version} gave way to ${by}`,
  });
}

/** While it bakes, a stable version that fails hands back to its predecessor for good. */
function judgeStable(draft: Draft): void {
  const { facts, policy, now, target } = draft.input;
  const { stable, stableSince } = draft.state;
  if (stable === undefined) return;
  const known = facts.get(stable);
  if (known === undefined || !hasTooFew(known, policy)) {
    draft.state = without(draft.state, 'stableUnreadySince');
    return;
  }
  const since = draft.state.stableUnreadySince ?? now;
  draft.state = { ...draft.state, stableUnreadySince: since };
  const predecessor = draft.state.previous.find((version) => {
    const former = facts.get(version);
    return former !== undefined && former.ready > 0 && !isLatched(draft.state.latched, former);
  });
  const baking = stableSince !== undefined && now < stableSince + policy.bakeMs;
  if (predecessor === undefined || !baking || target.kind === 'split') return;
  const failure = lostReadiness(known, policy, now - since);
  if (failure === undefined) {
    draft.wakes.push(since + policy.unreadyForMs);
    return;
  }
  latch(draft, known, failure);
  draft.state = {
    ...without(without(draft.state, 'stableUnreadySince'), 'stableSince'),
    stable: predecessor,
    previous: draft.state.previous.filter((version) => version !== predecessor),
  };
  rolledBack(draft, stable, failure, predecessor);
}

/** Steps, suspends, resumes, promotes or fails the candidate. */
function judgeCandidate(draft: Draft): void {
  const { candidate } = draft.state;
  const facts = candidate === undefined ? undefined : draft.input.facts.get(candidate.version);
  if (candidate === undefined || facts === undefined) return;
  if (facts.failure?.terminal === true && facts.ready < facts.wanted)
    return fail(draft, facts, facts.failure);
  if (candidate.step === 0) return judgeStarting(draft, candidate, facts);
  return judgeStepping(draft, candidate, facts);
}

function judgeStarting(draft: Draft, candidate: Candidate, facts: VersionFacts): void {
  const { policy, now } = draft.input;
  if (facts.ready >= facts.wanted) {
    return takesAllAtOnce(draft, candidate) ? promote(draft, candidate) : enterStep(draft, candidate, 1);
  }
  const deadline = candidate.startedAt + policy.startupDeadlineMs;
  if (now < deadline) {
    draft.wakes.push(deadline);
    return;
  }
  fail(draft, facts, {
    ...(facts.failure ?? { reason: 'StartupDeadlineExceeded' as const }),
    message: `${facts.ready} of ${facts.wanted} pods were ready after ${readable(policy.startupDeadlineMs)}${
      facts.failure === undefined ? '' : `: ${facts.failure.message}`
    }`,
    terminal: true,
  });
}

/** Steps are for moving away from something that serves, towards something that has not proved itself. */
function takesAllAtOnce(draft: Draft, candidate: Candidate): boolean {
  const { stable, previous } = draft.state;
  return (
    stable === undefined ||
    draft.input.policy.strategy === 'immediate' ||
    previous.includes(candidate.version) ||
    (draft.input.facts.get(stable)?.ready ?? 0) === 0
  );
}

function judgeStepping(draft: Draft, candidate: Candidate, facts: VersionFacts): void {
  const { policy, now, acked } = draft.input;
  if (hasTooFew(facts, policy)) {
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
    return;
  }
  if (candidate.unreadySince !== undefined) {
    draft.state = { ...draft.state, candidate: { ...without(candidate, 'unreadySince'), since: now } };
    record(draft, {
      type: 'Normal',
      reason: 'TrafficResumed',
      version: candidate.version,
      message: `${candidate.version} is ready again; step ${candidate.step} begins anew`,
    });
  }
  const current = draft.state.candidate ?? candidate;
  const step = policy.steps[current.step - 1];
  const due = current.since + (step?.holdMs ?? 0);
  if (now < due) {
    draft.wakes.push(due);
    return;
  }
  if (!acked) return;
  if (current.step >= policy.steps.length || (step?.weight ?? 100) >= 100) return promote(draft, current);
  enterStep(draft, current, current.step + 1);
}

function enterStep(draft: Draft, candidate: Candidate, number: number): void {
  const { policy, now } = draft.input;
  const step = policy.steps[number - 1];
  if (step === undefined) return promote(draft, candidate);
  draft.state = { ...draft.state, candidate: { ...candidate, step: number, since: now } };
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

/** The state in which `version` is stable from `now` on and the former one is first in line to return to. */
function settled(state: RolloutState, version: string, now: number): RolloutState {
  const former = state.stable === undefined ? [] : [state.stable];
  const previous = [...former, ...state.previous].filter(
    (name, i, all) => name !== version && all.indexOf(name) === i,
  );
  return {
    ...without(state, 'stableUnreadySince'),
    stable: version,
    stableSince: now,
    previous: previous.slice(0, previousLimit),
  };
}

/** The failure of a version that has had too few ready pods for so long, or whose pods will not come back. */
function lostReadiness(facts: VersionFacts, policy: RolloutPolicy, lostFor: number): Failure | undefined {
  if (facts.failure?.terminal !== true && lostFor < policy.unreadyForMs) return undefined;
  const seen = `${facts.ready} of ${facts.wanted} pods were ready`;
  if (facts.failure !== undefined)
    return { ...facts.failure, message: `${seen}: ${facts.failure.message}`, terminal: true };
  return { reason: 'ReadinessLost', message: `${seen} for ${readable(lostFor)}`, terminal: true };
}

function fail(draft: Draft, facts: VersionFacts, failure: Failure): void {
  latch(draft, facts, failure);
  draft.state = without(draft.state, 'candidate');
  rolledBack(draft, facts.version, failure, draft.state.stable);
}

function latch(draft: Draft, facts: VersionFacts, failure: Failure): void {
  const entry: Latch = {
    version: facts.version,
    contentHash: facts.contentHash,
    reason: failure.reason,
    message: failure.message.slice(0, 4_096),
    at: draft.input.now,
  };
  const others = draft.state.latched.filter((known) => known.version !== facts.version);
  draft.state = { ...draft.state, latched: [entry, ...others].slice(0, latchLimit) };
}

function rolledBack(draft: Draft, version: string, failure: Failure, stable: string | undefined): void {
  const where = stable === undefined ? 'nothing else serves' : `traffic is with ${stable}`;
  record(draft, {
    type: 'Warning',
    reason: 'RolledBack',
    version,
    failure: failure.reason,
    message: `${version} failed (${failure.reason}: ${failure.message}); ${where}`,
  });
}

function record(draft: Draft, event: RolloutEvent): void {
  draft.events.push(event);
  const entry: HistoryEntry = {
    at: draft.input.now,
    reason: event.reason,
    ...optional('version', event.version),
    message: event.message.slice(0, 1_024),
  };
  draft.state = { ...draft.state, history: [entry, ...draft.state.history].slice(0, historyLimit) };
}

/** Who gets what, after those that cannot answer have lost their part. */
function sharesOf(draft: Draft): Share[] {
  const { facts, target } = draft.input;
  const { stable, candidate, previous, latched } = draft.state;
  const canAnswer = (version: string): boolean => {
    const known = facts.get(version);
    if (known === undefined || known.ready === 0 || isLatched(latched, known)) return false;
    return candidate?.version !== version || candidate.unreadySince === undefined;
  };
  const planned =
    target.kind === 'split' ? splitShares(draft, target.parts, canAnswer) : rolloutShares(draft, canAnswer);
  const others = [...facts.keys()].filter((version) => version !== candidate?.version).reverse();
  const heirs = [stable, candidate?.version, ...previous, ...others].filter(
    (version) => version !== undefined,
  );
  if (planned.length === 0) {
    const heir = heirs.find((version) => canAnswer(version));
    return heir === undefined ? [] : [{ version: heir, weight: 100 }];
  }
  const named = new Set([stable, candidate?.version]);
  return routable(planned, canAnswer, heirs).filter((share) => share.weight > 0 || named.has(share.version));
}

function rolloutShares(draft: Draft, canAnswer: (version: string) => boolean): Share[] {
  const { stable, candidate } = draft.state;
  if (stable === undefined) {
    return candidate !== undefined && canAnswer(candidate.version)
      ? [{ version: candidate.version, weight: 100 }]
      : [];
  }
  if (candidate === undefined || candidate.version === stable) return [{ version: stable, weight: 100 }];
  const planned = candidate.step === 0 ? 0 : (draft.input.policy.steps[candidate.step - 1]?.weight ?? 100);
  return proportional([
    { version: stable, weight: 100 - planned },
    { version: candidate.version, weight: planned },
  ]);
}

/** A member gets its part when it can answer; a former stable version serves until one can. */
function splitShares(
  draft: Draft,
  parts: readonly Share[],
  canAnswer: (version: string) => boolean,
): Share[] {
  const { stable, latched } = draft.state;
  const able = parts.some((part) => part.weight > 0 && canAnswer(part.version));
  if (!able && stable !== undefined && canAnswer(stable)) return [{ version: stable, weight: 100 }];
  const eligible = parts.filter((part) => {
    const known = draft.input.facts.get(part.version);
    return known !== undefined && !isLatched(latched, known);
  });
  return proportional(eligible);
}

/** A copy without one optional field. */
function without<T extends object, K extends keyof T>(
  value: T,
  key: K,
): Omit<T, K> & { readonly [P in K]?: T[P] } {
  const { [key]: _dropped, ...rest } = value;
  return rest as Omit<T, K> & { readonly [P in K]?: T[P] };
}
