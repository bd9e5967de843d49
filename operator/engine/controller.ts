/**
 * engine: the loop under every controller. Holds queue, controller, clock and the two kinds of errors. It knows
 * no kind, no client and no logger, and imports nothing of ours.
 *
 * A controller calls `reconcile` for keys, several at a time but never twice at once for the same key.
 */
import type { Clock } from './clock.ts';
import { RetryError, TerminalError } from './errors.ts';
import { WorkQueue } from './queue.ts';

export interface Result {
  /** Visit again after this time though nothing has changed; absent: only when something changes. */
  readonly requeueAfterMs?: number;
}

/**
 * Makes the world match what the object of this key says. Level-triggered: it may be called at any time.
 * @param signal aborts when the process ends or the visit takes too long.
 */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<Result>;

export type Outcome = 'success' | 'requeue' | 'error' | 'terminal';

export type ControllerEvent =
  | { readonly type: 'added'; readonly depth: number }
  | { readonly type: 'taken'; readonly depth: number; readonly waitedMs: number; readonly active: number }
  | { readonly type: 'retried' }
  | {
      readonly type: 'finished';
      readonly key: string;
      readonly outcome: Outcome;
      readonly tookMs: number;
      readonly active: number;
      readonly error?: unknown;
      /** When the key is visited again by itself. */
      readonly againMs?: number;
    };

export interface ControllerOptions {
  readonly name: string;
  readonly reconcile: Reconcile;
  readonly clock: Clock;
  /** Keys at the same time. Default 4. */
  readonly concurrency?: number;
  readonly observe?: (event: ControllerEvent) => void;
  readonly backOff?: { readonly baseMs: number; readonly capMs: number };
  readonly random?: () => number;
  /** After this time the signal of a visit aborts. Default two minutes. */
  readonly timeoutMs?: number;
}

export class Controller {
  readonly name: string;
  readonly #options: ControllerOptions;
  readonly #concurrency: number;
  readonly #queue: WorkQueue;
  readonly #active = new Map<string, { readonly abort: AbortController; readonly ended: Promise<void> }>();
  #state: 'new' | 'running' | 'stopped' = 'new';

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#concurrency = options.concurrency ?? 4;
    this.#queue = new WorkQueue({
      clock: options.clock,
      onReady: () => this.#pump(),
      observe: (event) =>
        options.observe?.(event.type === 'taken' ? { ...event, active: this.#active.size + 1 } : event),
      ...(options.backOff ? { backOff: options.backOff } : {}),
      ...(options.random ? { random: options.random } : {}),
    });
  }

  /** Keys may be enqueued before `start`; they wait. */
  enqueue(key: string): void {
    this.#queue.add(key);
  }

  enqueueAfter(key: string, ms: number): void {
    this.#queue.addAfter(key, ms);
  }

  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'running';
    this.#pump();
  }

  /**
   * Begins no visit any more and waits for those under way.
   * @param graceMs after which their signals abort. Default 10 s.
   */
  async stop(graceMs = 10_000): Promise<void> {
    this.#state = 'stopped';
    this.#queue.close();
    const cancel = this.#options.clock.setTimer(graceMs, () => {
      for (const { abort } of this.#active.values()) abort.abort(new Error(`${this.name} is stopping`));
    });
    await Promise.all([...this.#active.values()].map(({ ended }) => ended));
    cancel();
  }

  #pump(): void {
    while (this.#state === 'running' && this.#active.size < this.#concurrency) {
      const key = this.#queue.take();
      if (key === undefined) return;
      const abort = new AbortController();
      this.#active.set(key, { abort, ended: this.#visit(key, abort) });
    }
  }

  async #visit(key: string, abort: AbortController): Promise<void> {
    const { clock, reconcile, timeoutMs = 120_000 } = this.#options;
    const started = clock.now();
    const cancel = clock.setTimer(timeoutMs, () => {
      abort.abort(new Error(`${this.name} ${key} took longer than ${timeoutMs} ms`));
    });
    let finished: Pick<Extract<ControllerEvent, { type: 'finished' }>, 'outcome' | 'error' | 'againMs'>;
    try {
      // Never in the caller's turn: whoever enqueues must not run a reconcile by accident.
      await Promise.resolve();
      const { requeueAfterMs } = await reconcile(key, abort.signal);
      this.#queue.forget(key);
      if (requeueAfterMs !== undefined) this.#queue.addAfter(key, requeueAfterMs);
      finished =
        requeueAfterMs === undefined
          ? { outcome: 'success' }
          : { outcome: 'requeue', againMs: requeueAfterMs };
    } catch (error) {
      if (error instanceof TerminalError) {
        this.#queue.forget(key);
        finished = { outcome: 'terminal', error };
      } else {
        const againMs = this.#queue.retry(key, error instanceof RetryError ? error.afterMs : 0);
        finished = { outcome: 'error', error, againMs };
      }
    }
    cancel();
    this.#active.delete(key);
    this.#options.observe?.({
      type: 'finished',
      key,
      tookMs: clock.now() - started,
      active: this.#active.size,
      ...finished,
    });
    this.#queue.done(key);
    this.#pump();
  }
}
