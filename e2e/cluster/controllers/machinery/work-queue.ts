/**
 * A queue of keys: a key waits at most once, is worked on by one worker at a time, and comes back later when its
 * visit failed (exponential back-off) or asked for it.
 */
export interface WorkQueueOptions {
  /** Visits one key; resolves to the milliseconds after which it wants another visit, or nothing. */
  readonly visit: (key: string) => Promise<number | undefined>;
  /** Called with every failed visit. */
  readonly failed: (key: string, error: unknown, attempt: number) => void;
  /** Keys visited at once. */
  readonly workers: number;
}

const firstBackoffMs = 5;
const lastBackoffMs = 30_000;

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();
  readonly #timers = new Map<string, { timer: NodeJS.Timeout; at: number }>();
  readonly #failures = new Map<string, number>();
  #stopped = false;
  #idle: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Asks for a visit now. */
  add(key: string): void {
    if (this.#stopped) return;
    if (this.#running.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#waiting.add(key);
    this.#pump();
  }

  /** Asks for a visit after a while; the earlier of two wishes wins. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const at = performance.now() + ms;
    const pending = this.#timers.get(key);
    if (pending !== undefined) {
      if (pending.at <= at) return;
      clearTimeout(pending.timer);
    }
    // setTimeout turns anything above 2^31 - 1 ms into 1 ms.
    const timer = setTimeout(
      () => {
        this.#timers.delete(key);
        this.add(key);
      },
      Math.min(ms, 2 ** 31 - 1),
    );
    this.#timers.set(key, { timer, at });
  }

  /** Ends all timers, forgets what waits, and resolves when the running visits are over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.clear();
    this.#again.clear();
    if (this.#running.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  #pump(): void {
    while (this.#running.size < this.#options.workers) {
      const key = this.#waiting.values().next().value;
      if (key === undefined) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#visit(key);
    }
  }

  async #visit(key: string): Promise<void> {
    try {
      const after = await this.#options.visit(key);
      this.#failures.delete(key);
      if (after !== undefined) this.addAfter(key, after);
    } catch (error) {
      const attempt = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, attempt);
      if (!this.#stopped) {
        this.#options.failed(key, error, attempt);
        this.addAfter(key, Math.min(firstBackoffMs * 2 ** (attempt - 1), lastBackoffMs));
      }
    } finally {
      this.#running.delete(key);
      if (this.#again.delete(key)) this.add(key);
      if (this.#stopped && this.#running.size === 0) this.#idle?.();
      this.#pump();
    }
  }
}
