/**
 * Condition types and how a list of conditions is carried from one visit to the next.
 *
 * All but `Reconciling` and `Stalled` are positive. Those two have kstatus's meaning: `Reconciling` is true while
 * work goes on, `Stalled` is true when nothing will change until a person does something.
 */

import type { Reason } from './reasons.ts';

export const conditionTypes = [
  'Ready',
  'Servable',
  'ArtifactReady',
  'WorkloadReady',
  'RouteReady',
  'Promoted',
  'Reconciling',
  'Stalled',
] as const;
export type ConditionType = (typeof conditionTypes)[number];

/** As in `metav1.Condition`. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly observedGeneration?: number;
  /** RFC 3339, whole seconds, as Kubernetes writes it. */
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

/** What a decision says of one condition, before time and generation are added. */
export interface Finding {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Reason;
  readonly message: string;
}

export type Findings = Readonly<Partial<Record<ConditionType, Finding>>>;

export const yes = (reason: Reason, message: string): Finding => ({ status: 'True', reason, message });
export const no = (reason: Reason, message: string): Finding => ({ status: 'False', reason, message });
export const unknown = (reason: Reason, message: string): Finding => ({ status: 'Unknown', reason, message });

/** Milliseconds since the epoch as Kubernetes writes a time: RFC 3339 in whole seconds. */
export const kubernetesTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');

/**
 * The conditions to report: one for each finding, in the order of `conditionTypes`. A condition whose status has
 * not changed keeps its transition time.
 */
export function conditionsFrom(
  findings: Findings,
  before: readonly Condition[] | undefined,
  generation: number,
  now: number,
): Condition[] {
  return conditionTypes.flatMap((type) => {
    const finding = findings[type];
    if (finding === undefined) return [];
    const former = before?.find((condition) => condition.type === type);
    return {
      type,
      status: finding.status,
      observedGeneration: generation,
      lastTransitionTime: former?.status === finding.status ? former.lastTransitionTime : kubernetesTime(now),
      reason: finding.reason,
      message: finding.message.slice(0, 32_768),
    };
  });
}

export const conditionOf = (
  conditions: readonly Condition[] | undefined,
  type: ConditionType,
): Condition | undefined => conditions?.find((condition) => condition.type === type);
