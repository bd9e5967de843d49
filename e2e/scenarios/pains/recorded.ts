/** Every state of a namespace's objects that their watches have shown, in order: what never was can be asked only of all of them. */
import assert from 'node:assert/strict';
import { labels } from '#contract';
import type { Model } from '../../../operator/api/generated/model.ts';
import type { ModelVersion } from '../../../operator/api/generated/model-version.ts';
import { holds, type Pod } from '../harness/kinds.ts';
import type { World } from '../harness/world.ts';

export class Recorded {
  readonly #models: Model[] = [];
  readonly #versions: ModelVersion[] = [];
  readonly #pods: Pod[] = [];

  constructor(world: World) {
    world.onModel(({ now }) => now && this.#models.push(now));
    world.onVersion(({ now }) => now && this.#versions.push(now));
    world.onPod(({ now }) => now && this.#pods.push(now));
  }

  model(name: string): readonly Model[] {
    return this.#models.filter(({ metadata }) => metadata.name === name);
  }

  version(name: string): readonly ModelVersion[] {
    return this.#versions.filter(({ metadata }) => metadata.name === name);
  }

  /** States of the pods of one version. */
  podsOf(model: string, version: string): readonly Pod[] {
    return this.#pods.filter(
      ({ metadata }) =>
        metadata.labels?.[labels.model] === model && metadata.labels[labels.version] === version,
    );
  }
}

/**
 * Where a state stands in the order of all writes. Only for objects of one cluster whose API server keeps them in one store,
 * which every cluster does with all but its events.
 */
export const writeOf = ({ metadata }: { readonly metadata: { readonly resourceVersion?: string } }): number =>
  Number(metadata.resourceVersion);

export const shareOf = ({ status }: Model, version: string): number =>
  status?.traffic?.find((entry) => entry.version === version)?.weight ?? 0;

/**
 * Asserts that a version had no share before so many of its pods were ready. The writes are compared, not the times at which
 * they were heard of, since two watches may be apart.
 */
export function assertReadyBeforeTraffic(
  recorded: Recorded,
  model: string,
  version: string,
  pods: number,
): void {
  const first = recorded.model(model).find((state) => shareOf(state, version) > 0);
  assert.ok(first !== undefined, `${version} got traffic`);
  const ready = new Set(
    recorded
      .podsOf(model, version)
      .filter((pod) => holds(pod, 'Ready') && writeOf(pod) < writeOf(first))
      .map(({ metadata }) => metadata.uid),
  );
  assert.equal(ready.size, pods, `pods of ${version} that were ready before it got traffic`);
}
