/** A decision in the making, and the small steps that all parts of the rollout make it with. */

import { readable } from '../../api/duration.ts';
import { optional } from '../../api/optional.ts';
import type { Failure } from '../failure.ts';
import {
  type HistoryEntry,
  historyLimit,
  type Latch,
  latchLimit,
  previousLimit,
  type RolloutState,
} from './state.ts';
import type {
  Overdue,
  RolloutEvent,
  RolloutInput,
  RolloutOutput,
  RolloutPolicy,
  Shortage,
  VersionFacts,
} from './types.ts';

/** A decision in the making: the input, and the state as it changes. */
export interface Draft {
  readonly input: RolloutInput;
  state: RolloutState;
  readonly events: RolloutEvent[];
  readonly wakes: number[];
  overdue?: Overdue;
  shortage?: Shortage;
  lent?: RolloutOutput['lent'];
}

/** Whether so many pods are unready that the version may not have traffic of its own. */
export const hasTooFew = (
  facts: VersionFacts | undefined,
  policy: Pick<RolloutPolicy, 'minReady'>,
): boolean =>
  facts === undefined || facts.ready < Math.max(1, Math.ceil(policy.minReady * facts.established));

export const isLatched = (
  latched: readonly Latch[],
  facts: Pick<VersionFacts, 'version' | 'contentHash'>,
): boolean =>
  latched.some((latch) => latch.version === facts.version && latch.contentHash === facts.contentHash);

/** The state in which `version` is stable from `now` on and the former one is first in line to return to. */
export function settled(state: RolloutState, version: string, now: number): RolloutState {
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
export function lostReadiness(
  facts: VersionFacts,
  policy: RolloutPolicy,
  lostFor: number,
): Failure | undefined {
  if (facts.failure?.terminal !== true && lostFor < policy.unreadyForMs) return undefined;
  const seen = `${facts.ready} of ${facts.wanted} pods were ready`;
  if (facts.failure !== undefined)
    return { ...facts.failure, message: `${seen}: ${facts.failure.message}`, terminal: true };
  return { reason: 'ReadinessLost', message: `${seen} for ${readable(lostFor)}`, terminal: true };
}

export function fail(draft: Draft, facts: VersionFacts, failure: Failure): void {
  latch(draft, facts, failure);
  draft.state = without(draft.state, 'candidate');
  rolledBack(draft, facts.version, failure, draft.state.stable);
}

export function latch(draft: Draft, facts: VersionFacts, failure: Failure): void {
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

export function rolledBack(
  draft: Draft,
  version: string,
  failure: Failure,
  stable: string | undefined,
): void {
  const where = stable === undefined ? 'nothing else serves' : `traffic is with ${stable}`;
  record(draft, {
    type: 'Warning',
    reason: 'RolledBack',
    version,
    failure: failure.reason,
    message: `${version} failed (${failure.reason}: ${failure.message}); ${where}`,
  });
}

export function record(draft: Draft, event: RolloutEvent): void {
  draft.events.push(event);
  const entry: HistoryEntry = {
    at: draft.input.now,
    reason: event.reason,
    ...optional('version', event.version),
    message: event.message.slice(0, 1_024),
  };
  draft.state = { ...draft.state, history: [entry, ...draft.state.history].slice(0, historyLimit) };
}

/** A copy without one optional field. */
export function without<T extends object, K extends keyof T>(
  value: T,
  key: K,
): Omit<T, K> & { readonly [P in K]?: T[P] } {
  const { [key]: _dropped, ...rest } = value;
  return rest as Omit<T, K> & { readonly [P in K]?: T[P] };
}
