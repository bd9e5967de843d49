/** What is wanted: versions that went, versions that somebody wants tried again, and the candidate that follows. */

import { optional } from '../../api/optional.ts';
import type { Share } from '../shares.ts';
import { type Draft, hasTooFew, isLatched, record, settled, without } from './draft.ts';
import type { Candidate } from './state.ts';

/** Drops what speaks of versions that are gone, and latches of contents that have changed since. */
export function forgetVanished(draft: Draft): void {
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

/** Opens the latches of failed versions that somebody wants tried again. */
export function giveAnotherTry(draft: Draft): void {
  for (const version of draft.input.retried) {
    if (!draft.state.latched.some((entry) => entry.version === version)) continue;
    draft.state = {
      ...draft.state,
      latched: draft.state.latched.filter((entry) => entry.version !== version),
    };
    record(draft, {
      type: 'Normal',
      reason: 'RetryRequested',
      version,
      message: `${version} may be tried again`,
    });
  }
}

/** Begins, keeps or gives up a candidate, as the target asks. A pause keeps what is. */
export function followTarget(draft: Draft): void {
  const { target, facts, now, policy, requests } = draft.input;
  if (requests.paused) return;
  switch (target.kind) {
    case 'unchanged':
      return;
    case 'split':
      return followSplit(draft, target.parts);
    case 'version': {
      const { candidate, stable } = draft.state;
      const wanted = facts.get(target.version);
      // In the middle of a swap stable has not the places that it would need for all of the traffic.
      const swaps = candidate?.swap !== undefined && candidate.step > 0;
      const queues = target.latest && (policy.onNewVersion === 'queue' || swaps);
      if (candidate !== undefined && candidate.version !== target.version && queues) return;
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
          incompleteSince: now,
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
