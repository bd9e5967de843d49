/** What to tell people of a decision, once it has been written down. */

import { failureReasons } from '#contract';
import { type Condition, conditionOf } from '../api/conditions.ts';
import type { Model } from '../api/generated/model.ts';
import type { ModelVersion, ModelVersionStatus } from '../api/generated/model-version.ts';
import { podFailureReasons, type Reason, versionFailureReasons } from '../api/reasons.ts';
import type { VersionObserved } from './observed.ts';
import { gaveWayOf, gaveWayText, isSameGiving, type Part } from './roles.ts';
import type { RolloutEvent } from './rollout/types.ts';
import { lackOf } from './starts.ts';

/** Something for `kubectl describe` and `kubectl events`. */
export interface DecidedEvent {
  readonly about: Model | ModelVersion;
  readonly type: 'Normal' | 'Warning';
  readonly reason: Reason;
  readonly message: string;
}

const failures: ReadonlySet<string> = new Set([
  ...failureReasons,
  ...Object.keys(podFailureReasons),
  ...Object.keys(versionFailureReasons),
]);

/** What the rollout tells: about the model, and about the version that is concerned if it still exists. */
export function rolloutEvents(
  model: Model,
  events: readonly RolloutEvent[],
  objectOf: (version: string) => ModelVersion | undefined,
): DecidedEvent[] {
  return events.flatMap(({ type, reason, version, message }) => {
    const concerned = version === undefined ? undefined : objectOf(version);
    const told = { type, reason, message };
    return [{ about: model, ...told }, ...(concerned === undefined ? [] : [{ about: concerned, ...told }])];
  });
}

/** A warning when a version begins to compute on something else than it was to, or than it pays for. */
export function providerEvents(
  { object: about, server: before }: VersionObserved,
  now: ModelVersionStatus['server'],
): DecidedEvent[] {
  const lack = lackOf(now);
  if (lack === undefined || lack.message === lackOf(before)?.message) return [];
  return [{ about, type: 'Warning', ...lack }];
}

/** A version that gives way to another one: about it, and about the model. */
export function roomEvents(
  model: Model | undefined,
  version: ModelVersion,
  { gaveWay }: Part,
): DecidedEvent[] {
  if (gaveWay === undefined || isSameGiving(gaveWay, gaveWayOf(version.status))) return [];
  const message = `${version.spec.version} is ${gaveWayText(gaveWay)}`;
  return [version, ...(model === undefined ? [] : [model])].map((about) => ({
    about,
    type: 'Normal',
    reason: 'GaveWay',
    message,
  }));
}

/** One warning when `Ready` begins to be false for a failure, or changes from one failure to another. */
export function changeEvents(
  about: Model | ModelVersion,
  now: readonly Condition[] | undefined,
): DecidedEvent[] {
  const ready = conditionOf(now, 'Ready');
  const before = conditionOf(about.status?.conditions, 'Ready');
  if (ready === undefined || ready.status === 'True' || ready.reason === before?.reason) return [];
  if (!failures.has(ready.reason)) return [];
  return [{ about, type: 'Warning', reason: ready.reason as Reason, message: ready.message }];
}
