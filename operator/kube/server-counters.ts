/**
 * What the servers of a candidate and of stable count themselves, while they are compared: a gRPC failure is HTTP 200,
 * and one that comes after the first message of a stream is seen by nobody else. Servers need not have such counters.
 */
import { Agent, request } from 'undici';
import type { Logger } from '../../kube-client/logger.ts';
import type { ServerTotals } from '../api/traffic.ts';
import type { Clock } from '../engine/clock.ts';
import type { ServerPod, ServerReports } from '../reconcile/ports.ts';
import { parseExposition } from './exposition.ts';

const intervalMs = 2_000;
/** A model that nobody has asked about for so long is not read any more. */
const forgetMs = 10_000;
/** Pods of one version that are read; more would say nothing else. */
const podsPerVersion = 16;
const atOnce = 32;
const timeoutMs = 1_500;
const longestBytes = 4 * 1024 * 1024;

interface Book {
  pods: readonly ServerPod[];
  askedAt: number;
  /** By uid of the pod. */
  readonly last: Map<string, ServerTotals>;
  /** By version, since the first reading. */
  readonly totals: Map<string, ServerTotals>;
}

export interface ServerCountersOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Reads a pod's metrics; the default asks over HTTP. Undefined when there are none. */
  readonly read?: (pod: ServerPod) => Promise<string | undefined>;
}

export class ServerCounters implements ServerReports {
  readonly #books = new Map<string, Book>();
  readonly #options: ServerCountersOptions;
  readonly #agent = new Agent({ connectTimeout: timeoutMs, connections: 1, keepAliveTimeout: 10_000 });
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: ServerCountersOptions) {
    this.#options = options;
  }

  counts(model: string, pods: readonly ServerPod[]): ReadonlyMap<string, ServerTotals> {
    const book = this.#books.get(model) ?? { pods, askedAt: 0, last: new Map(), totals: new Map() };
    book.pods = pods;
    book.askedAt = this.#options.clock.now();
    this.#books.set(model, book);
    this.#schedule(0);
    return new Map(book.totals);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    this.#books.clear();
    await this.#agent.destroy();
  }

  #schedule(ms: number): void {
    if (this.#stopped || this.#cancel !== undefined) return;
    this.#cancel = this.#options.clock.setTimer(ms, () => {
      void this.#round().finally(() => {
        this.#cancel = undefined;
        if (this.#books.size > 0) this.#schedule(intervalMs);
      });
    });
  }

  /** Reads all pods and takes what they said at once, so that versions are compared over the same time. */
  async #round(): Promise<void> {
    const now = this.#options.clock.now();
    for (const [model, { askedAt }] of this.#books) if (now - askedAt > forgetMs) this.#books.delete(model);
    const books = [...this.#books.values()];
    const chosen = books.map(({ pods }) => choose(pods));
    const said = new Map<ServerPod, ServerTotals>();
    const queue = chosen.flat();
    const work = async () => {
      for (let pod = queue.pop(); pod !== undefined; pod = queue.pop()) {
        const counted = await this.#ask(pod);
        if (counted !== undefined) said.set(pod, counted);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    for (const [index, book] of books.entries()) take(book, chosen[index]!, said);
  }

  async #ask(pod: ServerPod): Promise<ServerTotals | undefined> {
    try {
      const text = await (this.#options.read ?? ((asked) => this.#get(asked)))(pod);
      return text === undefined ? undefined : parseExposition(text);
    } catch (error) {
      this.#options.logger.debug('a pod does not say what it counted', {
        address: pod.address,
        error: String(error),
      });
      return undefined;
    }
  }

  async #get({ address, port }: ServerPod): Promise<string | undefined> {
    const host = address.includes(':') ? `[${address}]` : address;
    const { statusCode, body } = await request(`http://${host}:${port}/metrics`, {
      dispatcher: this.#agent,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      bytes += chunk.length;
      // Breaking off closes the connection, so nothing more is read.
      if (bytes > longestBytes) return undefined;
      chunks.push(chunk);
    }
    return statusCode === 200 ? Buffer.concat(chunks).toString('utf8') : undefined;
  }
}

/** The same pods every time, as long as they are there: only two readings of one pod say anything. */
function choose(pods: readonly ServerPod[]): ServerPod[] {
  const sorted = [...pods].sort((a, b) => (a.uid < b.uid ? -1 : 1));
  return [...Map.groupBy(sorted, ({ version }) => version).values()].flatMap((its) =>
    its.slice(0, podsPerVersion),
  );
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
