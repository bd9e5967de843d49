import type { ModelSpec } from '../api/generated/model.ts';
import type { ModelFailureReason } from '../api/reasons.ts';
import { isLatched } from './rollout/draft.ts';
import type { Latch } from './rollout/state.ts';
import type { Target, VersionFacts } from './rollout/types.ts';
import { compareVersions } from './version-order.ts';

/** A version that can be asked for. */
export interface Choice extends VersionFacts {
  /** metadata.creationTimestamp, RFC 3339. */
  readonly createdAt: string;
}

/** What the spec wants and, when it cannot be had, why; the message names the field. */
export interface TargetDecision {
  readonly target: Target;
  readonly problem?: Problem;
}

interface Problem {
  readonly reason: ModelFailureReason;
  readonly message: string;
}

const unchanged = (reason: ModelFailureReason, message: string): TargetDecision => ({
  target: { kind: 'unchanged' },
  problem: { reason, message },
});

/**
 * Looks up what `spec.serve` asks for; absent, it asks for `latest`. That is the newest version that has not failed with its present content;
 * something that does not exist leaves everything as it is.
 */
export function targetOf(
  serve: ModelSpec['serve'] = { version: 'latest' },
  versions: ReadonlyMap<string, Choice>,
  latched: readonly Latch[],
): TargetDecision {
  if (serve.split !== undefined) {
    const missing = serve.split.findIndex((part) => !versions.has(part.version));
    if (missing >= 0) {
      return unchanged(
        'VersionNotFound',
        `spec.serve.split[${missing}].version: no ModelVersion of this model has version ${JSON.stringify(serve.split[missing]!.version)}; ${known(versions)}`,
      );
    }
    const target: Target = { kind: 'split', parts: serve.split };
    const failed = serve.split.findIndex((part) => isLatched(latched, versions.get(part.version)!));
    return failed < 0
      ? { target }
      : {
          target,
          problem: latchProblem(`spec.serve.split[${failed}].version`, serve.split[failed]!.version, latched),
        };
  }
  if (serve.version === undefined || serve.version === 'latest') {
    const newest = [...versions.values()]
      .filter((version) => !isLatched(latched, version))
      .sort(compareVersions)
      .at(-1);
    return {
      target:
        newest === undefined
          ? { kind: 'unchanged' }
          : { kind: 'version', version: newest.version, latest: true },
    };
  }
  const named = versions.get(serve.version);
  if (named === undefined) {
    return unchanged(
      'VersionNotFound',
      `spec.serve.version: no ModelVersion of this model has version ${JSON.stringify(serve.version)}; ${known(versions)}`,
    );
  }
  const target: Target = { kind: 'version', version: named.version, latest: false };
  return isLatched(latched, named)
    ? { target, problem: latchProblem('spec.serve.version', named.version, latched) }
    : { target };
}

/** Why a field that names a failed version changes nothing. */
export function latchProblem(field: string, version: string, latched: readonly Latch[]): Problem {
  const latch = latched.find((entry) => entry.version === version)!;
  return {
    reason: 'VersionLatched',
    message: `${field}: ${version} failed at ${new Date(latch.at).toISOString()} (${latch.reason}: ${latch.message}) and is not tried again until its spec changes`,
  };
}

/** The versions that there are, for people. */
export function known(versions: ReadonlyMap<string, Choice>): string {
  const names = [...versions.values()].sort(compareVersions).map((version) => version.version);
  return names.length === 0 ? 'it has none' : `it has ${names.slice(-10).join(', ')}`;
}
