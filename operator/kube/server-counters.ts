/**
 * What the servers of a candidate and of stable count themselves, while they are compared: a gRPC failure is HTTP 200,
 * and one that comes after the first message of a stream is seen by nobody else. Servers need not have such counters.
 */
import type { ServerTotals } from '../api/traffic.ts';
import type { Clock } from '../engine/clock.ts';
import type { ServerPod, ServerReports } from '../reconcile/ports.ts';
import { parseExposition } from './exposition.ts';
import { fewOf, PodMetrics, type PodMetricsOptions } from './pod-metrics.ts';

const intervalMs = 2_000;
/** A model that nobody has asked about for so long is not read any more. */
const forgetMs = 10_000;

interface Book {
  pods: readonly ServerPod[];
  askedAt: number;
  /** By uid of the pod. */
  readonly last: Map<string, ServerTotals>;
  /** By version, since the first reading. */
  readonly totals: Map<string, ServerTotals>;
}

export interface ServerCountersOptions extends PodMetricsOptions {
  readonly clock: Clock;
}

export class ServerCounters implements ServerReports {
  readonly #books = new Map<string, Book>();
  readonly #clock: Clock;
  readonly #metrics: PodMetrics;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: ServerCountersOptions) {
    this.#clock = options.clock;
    this.#metrics = new PodMetrics(options);
  }

  counts(model: string, pods: readonly ServerPod[]): ReadonlyMap<string, ServerTotals> {
    const book = this.#books.get(model) ?? { pods, askedAt: 0, last: new Map(), totals: new Map() };
    book.pods = pods;
    book.askedAt = this.#clock.now();
    this.#books.set(model, book);
    this.#schedule(0);
    return new Map(book.totals);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    this.#books.clear();
    await this.#metrics.stop();
  }

  #schedule(ms: number): void {
    if (this.#stopped || this.#cancel !== undefined) return;
    this.#cancel = this.#clock.setTimer(ms, () => {
      void this.#round().finally(() => {
        this.#cancel = undefined;
        if (this.#books.size > 0) this.#schedule(intervalMs);
      });
    });
  }

  /** Reads all pods and takes what they said at once, so that versions are compared over the same time. */
  async #round(): Promise<void> {
    const now = this.#clock.now();
    for (const [model, { askedAt }] of this.#books) if (now - askedAt > forgetMs) this.#books.delete(model);
    const books = [...this.#books.values()];
    const chosen = books.map(({ pods }) => fewOf(pods));
    const said = await this.#metrics.readAll(chosen.flat(), parseExposition);
    for (const [index, book] of books.entries()) take(book, chosen[index]!, said);
  }
}

/** A pod that is read for the first time, or that began again from zero, says where it stands, and no more. */
function take(book: Book, pods: readonly ServerPod[], said: ReadonlyMap<ServerPod, ServerTotals>): void {
  for (const pod of pods) {
    const now = said.get(pod);
    if (now === undefined) continue;
    const before = book.last.get(pod.uid);
    book.last.set(pod.uid, now);
    const total = book.totals.get(pod.version) ?? { requests: 0, failures: 0 };
    const grown = before !== undefined && now.requests >= before.requests && now.failures >= before.failures;
    book.totals.set(
      pod.version,
      grown
        ? {
            requests: total.requests + now.requests - before.requests,
            failures: total.failures + now.failures - before.failures,
          }
        : total,
    );
  }
  const present = new Set(pods.map(({ uid }) => uid));
  for (const uid of book.last.keys()) if (!present.has(uid)) book.last.delete(uid);
}
