/**
 * Events for `kubectl describe` and `kubectl events`, by events.k8s.io/v1.
 *
 * The same event again within some minutes is counted in the series of the first, not written anew. One object
 * cannot flood the API: it has a budget of events that refills slowly, and what exceeds it is counted and dropped.
 */
import { createHash } from 'node:crypto';
import type { KubeClient } from '../../kube-client/client.ts';
import { KubeError } from '../../kube-client/errors.ts';
import type { Logger } from '../../kube-client/logger.ts';
import { resources } from '../../kube-client/resources.ts';
import type { Clock } from '../engine/clock.ts';
import type { EventSink } from '../reconcile/ports.ts';
import { type Fence, limitsOf } from './fence.ts';
import { microTime } from './times.ts';

export type SentEvent = Parameters<EventSink['emit']>[0];

export interface RecorderOptions {
  readonly client: KubeClient;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Name of this process, usually its pod's. */
  readonly instance: string;
  readonly observe?: (outcome: 'sent' | 'counted' | 'dropped' | 'failed') => void;
}

export const reportingController = 'sluice.dev/operator';

/** Repetitions within this time of the last one belong to the series. */
const seriesMs = 6 * 60_000;
/** Events of one object at once, and the time in which one of them comes back. */
const burst = 25;
const refillMs = 10_000;
/** Events that wait for the API server; the oldest are dropped first. */
const longestQueue = 1_000;
const attempts = 4;
/** The API's limit of a note, in bytes. */
const longestNote = 1_024;

interface Series {
  readonly namespace: string;
  readonly name: string;
  count: number;
  lastAt: number;
}

interface Budget {
  tokens: number;
  at: number;
}

export class EventRecorder implements EventSink {
  readonly #options: RecorderOptions;
  readonly #series = new Map<string, Series>();
  readonly #budgets = new Map<string, Budget>();
  readonly #queue: (() => Promise<void>)[] = [];
  #sending: Promise<void> | undefined;
  #serial = 0;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  emit(event: SentEvent): void {
    const now = this.#options.clock.now();
    this.#prune(now);
    const { metadata, kind } = event.about;
    if (!this.#spend(metadata.uid ?? `${kind} ${metadata.namespace}/${metadata.name}`, now)) {
      this.#drop(`too many events of ${kind} ${metadata.name}`, event);
      return;
    }
    const key = [
      metadata.uid,
      kind,
      metadata.namespace,
      metadata.name,
      event.type,
      event.reason,
      event.message,
    ].join('\0');
    const known = this.#series.get(key);
    if (known !== undefined && now - known.lastAt < seriesMs) {
      known.count++;
      known.lastAt = now;
      const count = known.count;
      this.#enqueue(() => this.#repeat(known, { count, lastObservedTime: microTime(now) }), event);
      return;
    }
    const series = {
      namespace: metadata.namespace ?? 'default',
      name: this.#nameOf(event, now),
      count: 1,
      lastAt: now,
    };
    this.#series.set(key, series);
    this.#enqueue(() => this.#create(event, series, now), event);
  }

  /** Resolves when nothing waits to be sent any more. */
  async flush(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  async #create(event: SentEvent, { namespace, name }: Series, now: number): Promise<void> {
    const { client, instance, fence } = this.#options;
    const { about, type, reason, message } = event;
    const { uid, resourceVersion } = about.metadata;
    const body = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name, namespace },
      eventTime: microTime(now),
      reportingController,
      reportingInstance: instance.slice(0, 128),
      action: 'Reconcile',
      reason,
      type,
      note: shorten(message),
      regarding: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        name: about.metadata.name,
        ...(about.metadata.namespace === undefined ? {} : { namespace: about.metadata.namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
    };
    await client.create(resources.events, namespace, body, limitsOf(fence));
    this.#options.observe?.('sent');
  }

  async #repeat(
    { namespace, name }: Series,
    series: { count: number; lastObservedTime: string },
  ): Promise<void> {
    const { client, fence } = this.#options;
    await client.patch(resources.events, namespace, name, { series }, { type: 'merge', ...limitsOf(fence) });
    this.#options.observe?.('counted');
  }

  #enqueue(send: () => Promise<void>, event: SentEvent): void {
    if (this.#queue.length >= longestQueue) {
      this.#queue.shift();
      this.#drop('the API server takes events too slowly', event);
    }
    this.#queue.push(() => this.#try(send, event));
    this.#sending ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // In the caller's turn nothing is sent.
    await Promise.resolve();
    for (let send = this.#queue.shift(); send !== undefined; send = this.#queue.shift()) await send();
    this.#sending = undefined;
  }

  async #try(send: () => Promise<void>, event: SentEvent): Promise<void> {
    const { fence, clock, logger } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        fence.check();
        return await send();
      } catch (thrown) {
        const error = KubeError.from(thrown);
        // What is refused stays refused: the namespace is gone, or the event of a series has expired.
        const refused = error.code >= 400 && error.code < 500 && error.code !== 429;
        const hopeless = fence.signal.aborted || refused;
        if (hopeless || attempt >= attempts) {
          logger.warn(
            `cannot write event ${event.reason} of ${event.about.kind} ${event.about.metadata.name}: ${error.message}`,
          );
          this.#options.observe?.('failed');
          return;
        }
        const ms = Math.max(error.retryAfterMs ?? 0, 250 * 2 ** attempt);
        await new Promise<void>((resolve) => clock.setTimer(ms, resolve));
      }
    }
  }

  #spend(key: string, now: number): boolean {
    const budget = this.#budgets.get(key) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, budget.tokens + (now - budget.at) / refillMs);
    if (tokens < 1) {
      this.#budgets.set(key, { tokens, at: now });
      return false;
    }
    this.#budgets.set(key, { tokens: tokens - 1, at: now });
    return true;
  }

  #drop(why: string, { reason }: SentEvent): void {
    this.#options.logger.warn(`event ${reason} dropped: ${why}`);
    this.#options.observe?.('dropped');
  }

  /** Forgets series that have ended and budgets that are full again. */
  #prune(now: number): void {
    if (this.#series.size + this.#budgets.size < 4_096) return;
    for (const [key, { lastAt }] of this.#series) if (now - lastAt >= seriesMs) this.#series.delete(key);
    for (const [key, { at }] of this.#budgets) if (now - at >= burst * refillMs) this.#budgets.delete(key);
  }

  /** Unique also among replicas and restarts; a name of an object may be too long to be kept whole. */
  #nameOf({ about, reason }: SentEvent, now: number): string {
    const { instance } = this.#options;
    const seed = `${instance} ${now} ${++this.#serial} ${about.metadata.uid} ${reason}`;
    return `${about.metadata.name.slice(0, 230)}.${createHash('sha256').update(seed).digest('hex').slice(0, 16)}`;
  }
}

function shorten(message: string): string {
  if (Buffer.byteLength(message) <= longestNote) return message;
  const cut = Buffer.from(message)
    .subarray(0, longestNote - 3)
    .toString('utf8');
  // A character that was cut in two becomes U+FFFD, which is as long as what it replaces at most, so it is dropped.
  return `${cut.replace(/\uFFFD$/, '')}…`;
}
