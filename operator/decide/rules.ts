/** What a Model asks of its requests beyond shares: which routes lead somewhere now, and when routers have news. */

import { createHash } from 'node:crypto';
import type { ModelSpec } from '../api/generated/model.ts';
import { canonical } from './content-hash.ts';
import { isLatched } from './rollout/draft.ts';
import { canAnswer } from './rollout/shares-of.ts';
import type { RolloutState } from './rollout/state.ts';
import type { Choice } from './target.ts';
import { known, latchProblem, type TargetDecision } from './target.ts';

/** Versions that routes name, in their order. */
export function leadsOf({ routes = [] }: Pick<ModelSpec, 'routes'>): ReadonlySet<string> {
  return new Set(routes.map((route) => route.version));
}

/** Those of them that may have requests now. To the others routers send what their shares say. */
export function routedOf(
  leads: ReadonlySet<string>,
  versions: ReadonlyMap<string, Choice>,
  state: RolloutState,
): readonly string[] {
  return [...leads].filter((version) => canAnswer(state, versions.get(version)));
}

/** Hash of everything that routers read of the spec; undefined when it is all left out. */
export function rulesHash(spec: ModelSpec): string | undefined {
  const { routes = [], sticky, pinning, timeouts = {} } = spec;
  const rules = {
    ...(routes.length > 0 ? { routes } : {}),
    ...(sticky === undefined ? {} : { sticky }),
    ...(pinning === 'disabled' ? { pinning } : {}),
    ...(Object.keys(timeouts).length > 0 ? { timeouts } : {}),
  };
  if (Object.keys(rules).length === 0) return undefined;
  return createHash('sha256').update(canonical(rules)).digest('hex').slice(0, 16);
}

/** The first route that cannot lead anywhere until somebody changes something. */
export function routesProblem(
  { routes = [] }: Pick<ModelSpec, 'routes'>,
  versions: ReadonlyMap<string, Choice>,
  { latched }: RolloutState,
): TargetDecision['problem'] {
  for (const [index, { version }] of routes.entries()) {
    const field = `spec.routes[${index}].version`;
    const found = versions.get(version);
    if (found === undefined) {
      return {
        reason: 'VersionNotFound',
        message: `${field}: no ModelVersion of this model has version ${JSON.stringify(version)}; ${known(versions)}`,
      };
    }
    if (isLatched(latched, found)) return latchProblem(field, version, latched);
  }
  return undefined;
}
