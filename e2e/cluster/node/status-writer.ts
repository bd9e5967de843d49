/** Writes the status of one pod: the newest, one write at a time, until it is through or the pod is gone. */
import { isDeepStrictEqual } from 'node:util';
import { isNotFound, KubeError } from '../../../kube-client/errors.ts';
import { resources } from '../../../kube-client/resources.ts';
import type { Pod, PodStatus } from './pod.ts';
import { isOfAnother } from './pod-removal.ts';
import type { Api, Clock, Logger } from './ports.ts';

const firstPause = 50;
const longestPause = 5_000;

export class StatusWriter {
  readonly #api: Api;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #pod: Pod;
  #wanted: PodStatus | undefined;
  #sent: PodStatus | undefined;
  #work: Promise<void> | undefined;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(options: { api: Api; clock: Clock; logger: Logger; pod: Pod }) {
    this.#api = options.api;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#pod = options.pod;
  }

  /** The status that was offered last. */
  get latest(): PodStatus | undefined {
    return this.#wanted;
  }

  offer(status: PodStatus): void {
    if (this.#closed || isDeepStrictEqual(status, this.#wanted)) return;
    this.#wanted = status;
    this.#work ??= this.#run().finally(() => {
      this.#work = undefined;
    });
  }

  /** Resolves when the latest status was written, or can no longer be. */
  async flush(): Promise<void> {
    while (this.#work) await this.#work;
  }

  /** Writes nothing more, except what is on its way. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { namespace, name, uid } = this.#pod.metadata;
    for (let pause = firstPause; !this.#closed && this.#wanted !== this.#sent; ) {
      const status = this.#wanted;
      if (!status) return;
      try {
        // The uid makes the API server refuse when another pod has taken the name.
        const body = { metadata: { uid }, status: patchOf(status, this.#sent ?? this.#pod.status) };
        await this.#api.patch(resources.pods, namespace, name, body, {
          type: 'strategic',
          subresource: 'status',
        });
        this.#sent = status;
        pause = firstPause;
      } catch (thrown) {
        const error = KubeError.from(thrown);
        if (isNotFound(thrown) || isOfAnother(error)) {
          this.close();
          return;
        }
        this.#logger.warn('pod status not written', { pod: `${namespace}/${name}`, error: error.message });
        await this.#pause(error.retryAfterMs ?? pause);
        pause = Math.min(pause * 2, longestPause);
      }
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(milliseconds, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** The status as a strategic merge patch: what was there and is no longer must be named as null. */
export function patchOf(status: PodStatus, before: PodStatus | undefined): object {
  const withNulls = <T extends object>(
    now: T,
    then: object | undefined,
    keys: readonly (keyof T & string)[],
  ) => {
    const nulls = keys.filter((key) => now[key] === undefined && then !== undefined && key in then);
    return { ...now, ...Object.fromEntries(nulls.map((key) => [key, null])) };
  };
  const conditions = status.conditions?.map((condition) =>
    withNulls(
      condition,
      before?.conditions?.find(({ type }) => type === condition.type),
      ['reason', 'message'],
    ),
  );
  return { ...withNulls(status, before, ['reason', 'message']), ...(conditions ? { conditions } : {}) };
}
