/** Tries again what another try may mend. */
import { setTimeout as sleep } from 'node:timers/promises';
import { explain } from './http-client.ts';

export interface RetryOptions {
  /** A try has failed and another follows. */
  readonly onRetry?: (why: string) => void;
  /** Milliseconds before the first retry; doubles. For tests. */
  readonly retryDelayMs?: number;
}

/** Tries that brought nothing. A try that brought bytes starts the count again: progress is being made. */
const maxFruitlessTries = 4;

/**
 * @param progress a number that grows while a try brings something
 * @throws Failure with the reason of the last try
 */
export async function retrying<T>(
  uri: string,
  attempt: () => Promise<T>,
  { onRetry, retryDelayMs = 250 }: RetryOptions,
  progress: () => number = () => 0,
): Promise<T> {
  for (let fruitless = 0, delay = retryDelayMs; ; delay *= 2) {
    const before = progress();
    try {
      return await attempt();
    } catch (thrown) {
      const failure = explain(uri, thrown);
      const advanced = progress() > before;
      fruitless = advanced ? 1 : fruitless + 1;
      if (failure.reason !== 'ArtifactUnreachable' || fruitless >= maxFruitlessTries) throw failure;
      onRetry?.(failure.message);
      if (advanced) delay = retryDelayMs;
      await sleep(delay);
    }
  }
}
