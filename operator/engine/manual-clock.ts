import type { Clock } from './clock.ts';

/** A clock for tests that moves only when told to. Timers of the same time fire in the order they were set. */
export class ManualClock implements Clock {
  #now: number;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  constructor(now = 0) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  setTimer(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** When the next timer fires, in milliseconds since the epoch. */
  get next(): number | undefined {
    return this.#timers.reduce<number | undefined>(
      (min, { at }) => (min === undefined || at < min ? at : min),
      undefined,
    );
  }

  /** Moves time by `ms` and lets microtasks run after every timer on the way. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    for (let at = this.next; at !== undefined && at <= until; at = this.next) {
      this.#now = Math.max(this.#now, at);
      const due = this.#timers.find((timer) => timer.at === at)!;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      due.callback();
      await settle();
    }
    this.#now = until;
  }
}

/** Lets everything run that waits for nothing but promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
