/** What the scenarios of pains do to a stage. */
import { labels } from '#contract';
import { condition, type Pod } from '../harness/kinds.ts';
import type { Manifest } from '../harness/kubectl.ts';
import { type VersionOptions, version } from '../harness/manifests.ts';
import type { Stage } from '../harness/stage.ts';

/** kubectl in the stage's namespace. */
export const kubectlOf =
  ({ session, namespace }: Stage) =>
  (...args: string[]): Promise<string> =>
    session.shell.kubectl([...args, '-n', namespace]);

/** A version that works, whose pods stay ready on a machine that is busy for seconds. */
export const good = ({ spec = {}, ...options }: VersionOptions): Manifest =>
  version({
    ...options,
    spec: { probes: { readiness: { period: '5s', failureThreshold: 3 } }, ...spec },
  });

/** Pods of a version that are not being ended. */
export const podsOf = (stage: Stage, version: string, model = 'vad'): readonly Pod[] =>
  stage.world
    .pods({ [labels.model]: model, [labels.version]: version })
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined);

export const uidsOf = (pods: readonly Pod[]): (string | undefined)[] =>
  pods.map(({ metadata }) => metadata.uid).sort();

let asked = 0;

/** Asks for something once, as people and `kubectl sluice` do. */
export async function ask(stage: Stage, what: 'approve' | 'promote' | 'abort', model = 'vad'): Promise<void> {
  asked += 1;
  await kubectlOf(stage)('annotate', '--overwrite', `model/${model}`, `sluice.dev/${what}=${asked}`);
}

/** Waits until a candidate has the share of its step and waits for somebody to approve it. */
export async function awaitsApproval(stage: Stage, version: string, model = 'vad'): Promise<void> {
  const { world } = stage;
  await world.until(`${version} to wait for an approval`, () => {
    const state = world.model(model);
    return (
      state?.status?.candidate?.version === version &&
      state.status.candidate.weight > 0 &&
      condition(state, 'Ready')?.reason === 'AwaitingApproval'
    );
  });
}

/** Waits until a version has failed for good; why. */
export async function latched(stage: Stage, version: string, timeoutMs = 60_000) {
  const { world } = stage;
  return await world.until(
    `${version} to be latched`,
    () => world.model('vad')?.status?.latched?.find((entry) => entry.version === version),
    timeoutMs,
  );
}
