/** Growing pauses with jitter, so that many clients of one failed server do not come back together. */

export interface BackOffLimits {
  /** Upper bound of the first pause, in milliseconds. */
  readonly baseMs: number;
  /** Upper bound of every pause, in milliseconds. */
  readonly capMs: number;
}

export class BackOff {
  readonly #limits: BackOffLimits;
  readonly #random: () => number;
  #failures = 0;

  constructor(limits: BackOffLimits, random: () => number = Math.random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** The next pause in milliseconds: between half of the bound and the bound, which doubles each time. */
  next(): number {
    const bound = Math.min(this.#limits.capMs, this.#limits.baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    return bound * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** Resolves after `ms`, or at once and without an error when the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
