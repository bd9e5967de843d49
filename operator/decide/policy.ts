import { milliseconds } from '../api/duration.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import type { RolloutPolicy } from './rollout.ts';

/**
 * The spec of a Model that nobody wrote, as the API server fills it in. A test holds it against the defaults of
 * `crds/models.sluice.dev.yaml`.
 */
export const defaultModelSpec: ModelSpec = {
  serve: { version: 'latest' },
  rollout: {
    strategy: 'canary',
    steps: [
      { weight: 5, hold: '30s' },
      { weight: 25, hold: '30s' },
      { weight: 50, hold: '30s' },
    ],
    bake: '10m',
  },
  rollback: { unreadyFor: '5s', minReady: '50%', startupDeadline: '10m' },
  retention: { warm: 1, parkAfter: '10m' },
};

/** `spec.rollout` and `spec.rollback` as the rollout works with them. */
export function policyOf({ rollout, rollback }: ModelSpec): RolloutPolicy {
  return {
    strategy: rollout.strategy,
    steps: rollout.steps.map((step) => ({ weight: step.weight, holdMs: milliseconds(step.hold) })),
    bakeMs: milliseconds(rollout.bake),
    unreadyForMs: milliseconds(rollback.unreadyFor),
    minReady: Number.parseInt(rollback.minReady, 10) / 100,
    startupDeadlineMs: milliseconds(rollback.startupDeadline),
  };
}
