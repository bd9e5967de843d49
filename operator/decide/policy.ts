import { milliseconds } from '../api/duration.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import type { RolloutPolicy } from './rollout/types.ts';

/** `spec.rollout` and `spec.rollback` as the rollout works with them. */
export function policyOf({ rollout, rollback }: ModelSpec): RolloutPolicy {
  return {
    strategy: rollout.strategy,
    steps: rollout.steps.map(({ weight, hold, approval = false }) => ({
      weight,
      holdMs: milliseconds(hold),
      approval,
    })),
    analysis: rollout.analysis,
    approval: rollout.approval,
    onNewVersion: rollout.onNewVersion,
    bakeMs: milliseconds(rollout.bake),
    unreadyForMs: milliseconds(rollback.unreadyFor),
    minReady: Number.parseInt(rollback.minReady, 10) / 100,
    startupDeadlineMs: milliseconds(rollback.startupDeadline),
  };
}
