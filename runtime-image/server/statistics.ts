/** Running totals of the model, as the protocol's statistics extension reports them. */

/** Count and total time of something. */
export interface Total {
  readonly count: number;
  readonly ms: number;
}

export interface Statistics {
  readonly success: Total;
  readonly fail: Total;
  readonly queue: Total;
  readonly compute: Total;
  /** Rows that were inferred. */
  readonly inferences: number;
  /** Runs of the model; fewer than rows when batching works. */
  readonly executions: number;
  /** Milliseconds since 1970; 0 when there was none. */
  readonly lastInferenceAt: number;
  readonly batches: ReadonlyMap<number, Total>;
}

const zero: Total = { count: 0, ms: 0 };

function plus(total: Total | undefined, ms: number): Total {
  return { count: (total?.count ?? 0) + 1, ms: (total?.ms ?? 0) + ms };
}

export class StatisticsRecorder {
  #success = zero;
  #fail = zero;
  #queue = zero;
  #compute = zero;
  #inferences = 0;
  #executions = 0;
  #lastInferenceAt = 0;
  readonly #batches = new Map<number, Total>();

  recordRun(rows: number, computeMs: number): void {
    this.#executions += 1;
    this.#inferences += rows;
    this.#batches.set(rows, plus(this.#batches.get(rows), computeMs));
  }

  recordSuccess(totalMs: number, queueMs: number, computeMs: number, at: number): void {
    this.#success = plus(this.#success, totalMs);
    this.#queue = plus(this.#queue, queueMs);
    this.#compute = plus(this.#compute, computeMs);
    this.#lastInferenceAt = at;
  }

  recordFailure(totalMs: number): void {
    this.#fail = plus(this.#fail, totalMs);
  }

  read(): Statistics {
    return {
      success: this.#success,
      fail: this.#fail,
      queue: this.#queue,
      compute: this.#compute,
      inferences: this.#inferences,
      executions: this.#executions,
      lastInferenceAt: this.#lastInferenceAt,
      batches: this.#batches,
    };
  }
}
