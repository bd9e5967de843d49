/**
 * A queue of keys that need work.
 *
 * A key that is added while it waits is there once; one that is added while it is worked on comes back
 * afterwards, so no change is lost and no key is worked on twice at the same time. First in, first out: a key
 * that is added all the time cannot starve the others.
 */
import type { Clock } from './clock.ts';

export interface QueueOptions {
  readonly clock: Clock;
  /** Bounds of the pauses after failures of one key: the first, doubled each time up to the cap. Milliseconds. */
  readonly backOff?: { readonly baseMs: number; readonly capMs: number };
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Called when something can be taken that could not before. */
  readonly onReady?: () => void;
  readonly observe?: (event: QueueEvent) => void;
}

export type QueueEvent =
  | { readonly type: 'added'; readonly depth: number }
  | { readonly type: 'taken'; readonly depth: number; readonly waitedMs: number }
  | { readonly type: 'retried' };

interface Delayed {
  readonly at: number;
  readonly cancel: () => void;
}

export class WorkQueue {
  readonly #clock: Clock;
  readonly #options: QueueOptions;
  readonly #backOff: { readonly baseMs: number; readonly capMs: number };
  readonly #random: () => number;
  /** Waiting keys in their order, with the time since when they wait. */
  readonly #waiting = new Map<string, number>();
  readonly #inFlight = new Set<string>();
  /** Added while in flight. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#backOff = options.backOff ?? { baseMs: 50, capMs: 60_000 };
    this.#random = options.random ?? Math.random;
  }

  /** Keys that can be taken now. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Failures in a row of a key. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  add(key: string): void {
    if (this.#closed) return;
    if (this.#inFlight.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    this.#waiting.set(key, this.#clock.now());
    this.#options.observe?.({ type: 'added', depth: this.depth });
    this.#options.onReady?.();
  }

  /** Adds the key after `ms` milliseconds; of several such times of one key the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) return this.add(key);
    const at = this.#clock.now() + ms;
    const before = this.#delayed.get(key);
    if (before !== undefined && before.at <= at) return;
    before?.cancel();
    const cancel = this.#clock.setTimer(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { at, cancel });
  }

  /**
   * Adds the key after a pause that doubles with each failure in a row.
   * @param atLeastMs a longer pause that somebody asked for.
   * @returns the pause in milliseconds.
   */
  retry(key: string, atLeastMs = 0): number {
    const failures = this.failures(key);
    this.#failures.set(key, failures + 1);
    const bound = Math.min(this.#backOff.capMs, this.#backOff.baseMs * 2 ** Math.min(failures, 40));
    const ms = Math.max(atLeastMs, bound * (0.5 + this.#random() / 2));
    this.#options.observe?.({ type: 'retried' });
    this.addAfter(key, ms);
    return ms;
  }

  /** The key has succeeded: its next failure is the first again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The key that has waited longest, which is in flight until `done`. */
  take(): string | undefined {
    if (this.#closed) return undefined;
    for (const [key, since] of this.#waiting) {
      this.#waiting.delete(key);
      this.#inFlight.add(key);
      this.#options.observe?.({ type: 'taken', depth: this.depth, waitedMs: this.#clock.now() - since });
      return key;
    }
    return undefined;
  }

  done(key: string): void {
    this.#inFlight.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Nothing can be added or taken any more; timers end. */
  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    this.#waiting.clear();
    this.#again.clear();
  }
}
