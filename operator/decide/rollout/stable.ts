import { type Draft, hasTooFew, isLatched, latch, lostReadiness, rolledBack, without } from './draft.ts';

/** While it bakes, a stable version that fails hands back to its predecessor for good. */
export function judgeStable(draft: Draft): void {
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
