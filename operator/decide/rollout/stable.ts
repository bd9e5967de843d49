import { type Draft, hasTooFew, isLatched, latch, lostReadiness, rolledBack, without } from './draft.ts';
import type { VersionFacts } from './types.ts';

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
  const former = draft.state.previous
    .flatMap((version) => facts.get(version) ?? [])
    .filter((version) => !isLatched(draft.state.latched, version));
  const predecessor = (
    former.find(({ ready }) => ready > 0) ?? former.slice(0, 1).find((heir) => isInTheWayOf(known, heir))
  )?.version;
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

/** Whether a version answers nothing and has the room that its predecessor would start in: then waiting for that one would be for ever. */
const isInTheWayOf = ({ ready, places }: VersionFacts, heir: VersionFacts): boolean =>
  ready === 0 &&
  heir.places.lacking > 0 &&
  heir.places.whenFull === 'swap' &&
  heir.places.pool === places.pool &&
  places.held > 0;
