/** Counts of a run: in total and since the last report. Takes times as arguments; knows no clock. */
import { RequestFailed } from './client.ts';
import { Histogram } from './histogram.ts';

/** Failures that are kept with their words; all are counted. */
const keptFailures = 10;
const unknownVersion = 'unknown';

export interface FailureNote {
  /** RFC 3339, when the answer (or its absence) was noticed. */
  readonly at: string;
  /** A word to count by: `connect`, `timeout`, `http-503`, `grpc-UNAVAILABLE`, `wrong-answer`. */
  readonly error: string;
  readonly message: string;
  readonly version?: string;
}

export interface Latencies {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface Count {
  readonly requests: number;
  readonly errors: number;
  /** Milliseconds; absent when nothing was answered. */
  readonly latencyMs?: Latencies;
}

export interface Counts extends Count {
  /** By the version that answered; `unknown` where no answer said so. */
  readonly versions: Readonly<Record<string, Count>>;
}

export interface Report extends Counts {
  readonly errorKinds: Readonly<Record<string, number>>;
  /** The first few failures, in order. */
  readonly failures: readonly FailureNote[];
}

class Counter {
  #requests = 0;
  #errors = 0;
  readonly #latencies = new Histogram();

  add(ms: number, failed: boolean): void {
    this.#requests += 1;
    if (failed) this.#errors += 1;
    // A refused connection is quick and a timeout slow: neither says how fast answers are.
    else this.#latencies.record(ms);
  }

  count(): Count {
    const quantile = (q: number) => round(this.#latencies.quantile(q) ?? 0);
    return {
      requests: this.#requests,
      errors: this.#errors,
      ...(this.#latencies.count === 0
        ? {}
        : {
            latencyMs: {
              p50: quantile(0.5),
              p90: quantile(0.9),
              p99: quantile(0.99),
              max: round(this.#latencies.max),
            },
          }),
    };
  }
}

class Window {
  readonly #all = new Counter();
  readonly #versions = new Map<string, Counter>();

  add(version: string, ms: number, failed: boolean): void {
    const counter = this.#versions.get(version) ?? new Counter();
    this.#versions.set(version, counter);
    counter.add(ms, failed);
    this.#all.add(ms, failed);
  }

  counts(): Counts {
    const versions = [...this.#versions].map(([version, counter]) => [version, counter.count()]);
    return { ...this.#all.count(), versions: Object.fromEntries(versions) };
  }
}

export class Tally {
  readonly #total = new Window();
  #recent = new Window();
  readonly #kinds = new Map<string, number>();
  readonly #failures: FailureNote[] = [];

  /** A right answer of `version` after `ms` milliseconds. */
  succeeded(version: string | undefined, ms: number): void {
    for (const window of [this.#total, this.#recent]) window.add(version ?? unknownVersion, ms, false);
  }

  /** A request without an answer, or with a wrong one, noticed at `now`. */
  failed(error: unknown, ms: number, now: Date): FailureNote {
    const { kind, message, version } =
      error instanceof RequestFailed
        ? error
        : { kind: 'internal', message: String(error), version: undefined };
    for (const window of [this.#total, this.#recent]) window.add(version ?? unknownVersion, ms, true);
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
    const note = {
      at: now.toISOString(),
      error: kind,
      message,
      ...(version === undefined ? {} : { version }),
    };
    if (this.#failures.length < keptFailures) this.#failures.push(note);
    return note;
  }

  /** Everything since the start. */
  total(): Report {
    return {
      ...this.#total.counts(),
      errorKinds: Object.fromEntries(this.#kinds),
      failures: [...this.#failures],
    };
  }

  /** What came since the last call. */
  recent(): Counts {
    const counts = this.#recent.counts();
    this.#recent = new Window();
    return counts;
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
