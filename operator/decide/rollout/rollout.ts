/**
 * The rollout: a state machine over what is known of the versions, the policy and the time. It decides which version
 * is stable, which is the candidate, what has failed for good, and who gets which share.
 */

import { optional } from '../../api/optional.ts';
import { judgeCandidate } from './candidate.ts';
import type { Draft } from './draft.ts';
import { refuseRequests } from './refusals.ts';
import { sharesOf } from './shares-of.ts';
import { judgeStable } from './stable.ts';
import { replicasOf } from './swap.ts';
import { followTarget, forgetVanished, giveAnotherTry } from './target.ts';
import type { RolloutInput, RolloutOutput } from './types.ts';

/** One visit. Pure: the same input gives the same output, and a second visit at the same time changes nothing. */
export function advance(input: RolloutInput): RolloutOutput {
  const draft: Draft = { input, state: input.state, events: [], wakes: [] };
  forgetVanished(draft);
  giveAnotherTry(draft);
  followTarget(draft);
  judgeStable(draft);
  judgeCandidate(draft);
  refuseRequests(draft);
  return {
    state: draft.state,
    shares: sharesOf(draft),
    events: draft.events,
    ...optional('overdue', draft.overdue),
    ...optional('shortage', draft.state.candidate?.waitingFor === 'Places' ? draft.shortage : undefined),
    ...optional('lent', draft.lent),
    replicas: replicasOf(draft),
    ...optional('wakeAt', draft.wakes.length === 0 ? undefined : Math.min(...draft.wakes)),
  };
}
