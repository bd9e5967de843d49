/** Requests that wait for a worker: bounded, first come first served, batched by rows. Knows no threads. */
import { InferenceError } from '../protocol/errors.ts';
import type { Tensor } from '../protocol/tensor.ts';
import type { PlannedRequest } from '../protocol/validate.ts';

export interface Outcome {
  readonly outputs: readonly Tensor[];
  readonly queueMs: number;
  readonly computeMs: number;
}

export interface Waiting {
  readonly request: PlannedRequest;
  /** Equal keys may share a batch; undefined runs alone. */
  key: string | undefined;
  readonly rows: number;
  /** Milliseconds of the queue's clock. */
  readonly since: number;
  /** Milliseconds after which it is not worth running; Infinity means that it always is. */
  readonly timeoutMs: number;
  resolve(outcome: Outcome): void;
  reject(error: InferenceError): void;
}

export interface BatchLimits {
  readonly maxSize: number;
  readonly maxDelayMs: number;
}

export class RequestQueue {
  readonly #limit: number;
  #items: Waiting[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#items.length;
  }

  /** @throws InferenceError Exhausted when full */
  push(item: Waiting): void {
    if (this.#items.length >= this.#limit) {
      throw new InferenceError('Exhausted', `the queue is full: ${this.#limit} requests wait already`);
    }
    this.#items.push(item);
  }

  /** Before everything else: requests of a batch that failed as a whole, to run one by one. Not bounded. */
  pushFront(items: readonly Waiting[]): void {
    this.#items = [...items, ...this.#items];
  }

  /** Returns whether it was still waiting. */
  remove(item: Waiting): boolean {
    const index = this.#items.indexOf(item);
    if (index >= 0) this.#items.splice(index, 1);
    return index >= 0;
  }

  /** Takes out what has waited for too long: on a busy thread timers are late, and nobody waits for the answer. */
  expired(now: number): readonly Waiting[] {
    const isLate = (item: Waiting) => now - item.since >= item.timeoutMs;
    if (!this.#items.some(isLate)) return [];
    const { late = [], due = [] } = Object.groupBy(this.#items, (item) => (isLate(item) ? 'late' : 'due'));
    this.#items = due;
    return late;
  }

  /**
   * What should run next, taken out of the queue.
   * @returns milliseconds to wait for the batch to fill, when that is better; undefined when nothing waits
   */
  next(limits: BatchLimits, now: number): readonly Waiting[] | number | undefined {
    const head = this.#items[0];
    if (head === undefined) return undefined;
    let rows = head.rows;
    let count = 1;
    if (head.key !== undefined && head.rows < limits.maxSize) {
      for (const item of this.#items.slice(1)) {
        if (item.key !== head.key || rows + item.rows > limits.maxSize) break;
        rows += item.rows;
        count += 1;
      }
      const wait = head.since + limits.maxDelayMs - now;
      // Nothing but more of the same can make this batch bigger: waiting is of use only at the end of the queue.
      if (rows < limits.maxSize && count === this.#items.length && wait > 0) return wait;
    }
    return this.#items.splice(0, count);
  }

  /** Takes out everything. */
  drain(): readonly Waiting[] {
    return this.#items.splice(0);
  }
}
