/** The decision about one model and all its versions: one readonly value in, everything that should be true out. */

import { defaultModelSpec } from '../api/defaults.ts';
import type { ModelStatus } from '../api/generated/model.ts';
import type { ModelVersion, ModelVersionStatus } from '../api/generated/model-version.ts';
import { isTerminating } from '../api/kubernetes.ts';
import { implicitLabel } from '../api/labels.ts';
import { optional } from '../api/optional.ts';
import { decideChildren, type EndpointChildren, endpointChildren, type Workload } from './children.ts';
import { changeEvents, type DecidedEvent, providerEvents, rolloutEvents, roomEvents } from './events.ts';
import { modelStatus, patienceOf, problemOf } from './model-status.ts';
import type { ModelObserved } from './observed.ts';
import { requestsOf } from './requests.ts';
import type { Part } from './roles.ts';
import type { RolloutOutput } from './rollout/types.ts';
import { routesProblem } from './rules.ts';
import { see } from './see.ts';
import { decideTraffic } from './traffic.ts';
import { duplicateStatus, versionStatus } from './version-status.ts';

export interface ModelDecision {
  /** A Model is missing that the versions ask for, or an implicit one has no version left. */
  readonly implicit?: 'create' | 'delete';
  readonly workloads: readonly Workload[];
  /** Versions whose Deployment and Service are to go. */
  readonly released: readonly ModelVersion[];
  readonly endpoint?: EndpointChildren;
  readonly modelStatus?: ModelStatus;
  readonly versionStatuses: ReadonlyMap<ModelVersion, ModelVersionStatus>;
  readonly events: readonly DecidedEvent[];
  /** When something is due though nothing happens, milliseconds from now. */
  readonly requeueAfterMs?: number;
}

/** Decides. Pure; `now` in milliseconds since the epoch. */
export function decideModel(observed: ModelObserved, now: number): ModelDecision {
  const model = observed.model !== undefined && isTerminating(observed.model) ? undefined : observed.model;
  const spec = model?.spec ?? defaultModelSpec;
  const { seen, duplicates } = see(observed, now);
  const traffic = decideTraffic(observed, seen, model, now);
  const { policy, target, rollout, leads, routed, rules, routers, endpoint, judgement, generation } = traffic;
  const { parts, released, workloads, wakeAt } = decideChildren(seen, traffic, spec, now);
  const obstacle = problemOf(
    observed,
    endpoint,
    seen,
    target,
    traffic.problem ?? routesProblem(spec, seen, rollout.state),
  );
  const patientUntil = patienceOf(model?.status, obstacle, now);
  const { paused } = requestsOf(model);
  const { route } = endpoint;
  const context = { rollout, target, routed, paused, route, minReady: policy.minReady, now };
  const versionStatuses = new Map<ModelVersion, ModelVersionStatus>([
    ...[...seen.values()].map(
      (version) =>
        [version.observed.object, versionStatus(version, parts.get(version.version)!, context)] as const,
    ),
    ...duplicates.map(
      (twin) => [twin.object, duplicateStatus(twin, seen.get(twin.object.spec.version)!, now)] as const,
    ),
  ]);
  const status =
    model === undefined
      ? undefined
      : modelStatus(model, {
          observed,
          seen,
          rollout,
          target,
          leads,
          routed,
          rules,
          problem: obstacle,
          patientUntil,
          routers,
          endpoint,
          judgement,
          generation,
          now,
        });
  const objectOf = (version: string) => seen.get(version)?.observed.object;
  return {
    ...optional('implicit', implicitChange(observed)),
    workloads,
    released: [...released].map((version) => seen.get(version)!.observed.object),
    ...optional(
      'endpoint',
      model === undefined ? undefined : endpointChildren(observed, traffic, workloads, spec.pinning),
    ),
    ...optional('modelStatus', status),
    versionStatuses,
    events: [
      ...(model === undefined ? [] : rolloutEvents(model, rollout.events, objectOf)),
      ...(model === undefined ? [] : changeEvents(model, status?.conditions)),
      ...[...versionStatuses].flatMap(([version, { conditions }]) => changeEvents(version, conditions)),
      ...[...seen.values()].flatMap(({ observed: version }) =>
        providerEvents(version, versionStatuses.get(version.object)?.server),
      ),
      ...[...seen.values()].flatMap(({ version, observed: { object } }) =>
        roomEvents(model, object, parts.get(version)!),
      ),
    ],
    ...optional(
      'requeueAfterMs',
      soonest(rollout, parts, [patientUntil, wakeAt, ...endpoint.wakes], policy.bakeMs, now),
    ),
  };
}

function implicitChange({ model, versions }: ModelObserved): 'create' | 'delete' | undefined {
  if (model === undefined)
    return versions.some(({ object }) => !isTerminating(object)) ? 'create' : undefined;
  return model.metadata.labels?.[implicitLabel] === 'true' && versions.length === 0 ? 'delete' : undefined;
}

/** The next time at which something is due: in the rollout, at the end of the bake, or when a version is parked. */
function soonest(
  { wakeAt, state }: RolloutOutput,
  parts: ReadonlyMap<string, Part>,
  others: readonly (number | undefined)[],
  bakeMs: number,
  now: number,
): number | undefined {
  const baked = state.stableSince === undefined ? undefined : state.stableSince + bakeMs;
  const due = [wakeAt, baked, ...others, ...[...parts.values()].map((part) => part.parksAt)];
  const ahead = due.filter((at) => at !== undefined).filter((at) => at > now);
  return ahead.length === 0 ? undefined : Math.min(...ahead) - now;
}
