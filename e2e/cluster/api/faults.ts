/** Faults on purpose, for reliability tests: refusals, lost connections, slow answers, cut or frozen watches, a lost past. */
import type { ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { StatusError } from './errors.ts';
import type { Watches, WatchHandle } from './resource/watch.ts';
import type { Store } from './store/store.ts';

export interface FaultFilter {
  readonly user?: string | RegExp;
  readonly verb?: string | readonly string[];
  readonly group?: string;
  readonly resource?: string;
}

export type FaultAction =
  /** Answers with this code instead of doing anything. */
  | { readonly type: 'status'; readonly code: 409 | 429 | 500 | 503; readonly retryAfterSeconds?: number }
  /** Cuts the connection before anything is done. */
  | { readonly type: 'drop' }
  /**
   * Does what is asked and cuts the connection instead of answering. With `then`, only what was done is kept quiet
   * about, after calling it; a refusal is answered.
   */
  | { readonly type: 'dropAnswer'; readonly then?: () => void }
  /** Does what is asked and waits before answering, so that the consequences come first. */
  | { readonly type: 'delayAnswer'; readonly milliseconds: number }
  /** Waits before doing what is asked. */
  | { readonly type: 'delay'; readonly milliseconds: number };

export interface Fault {
  readonly match: FaultFilter;
  readonly action: FaultAction;
  /** How many requests it meets; absent means all until it is removed. */
  readonly times?: number;
  /** How many matching requests pass before the first one it meets. */
  readonly after?: number;
}

interface Active {
  readonly fault: Fault;
  left: number;
  skip: number;
}

export interface RequestFacts {
  readonly user: string;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
}

const reasons = {
  409: 'Conflict',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
} as const;

function matches(
  filter: FaultFilter,
  facts: Omit<RequestFacts, 'verb'> & { readonly verb?: string },
): boolean {
  if (typeof filter.user === 'string' && filter.user !== facts.user) return false;
  if (filter.user instanceof RegExp && !filter.user.test(facts.user)) return false;
  if (filter.group !== undefined && filter.group !== facts.group) return false;
  if (filter.resource !== undefined && filter.resource !== facts.resource) return false;
  if (filter.verb === undefined || facts.verb === undefined) return true;
  return typeof filter.verb === 'string' ? filter.verb === facts.verb : filter.verb.includes(facts.verb);
}

export class Faults {
  private readonly active = new Set<Active>();
  private readonly observers = new Set<(facts: RequestFacts) => void>();
  private readonly watches: Watches;
  private readonly store: Store;

  constructor(watches: Watches, store: Store) {
    this.watches = watches;
    this.store = store;
  }

  /** Starts a fault; returns the way to end it. */
  add(fault: Fault): () => void {
    const entry = { fault, left: fault.times ?? Number.POSITIVE_INFINITY, skip: fault.after ?? 0 };
    this.active.add(entry);
    return () => this.active.delete(entry);
  }

  /** Calls `observer` for every resource request, before it is done. Returns the way to stop. */
  observe(observer: (facts: RequestFacts) => void): () => void {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  }

  clear(): void {
    this.active.clear();
    this.thawWatches();
  }

  /** Ends running watches; `abrupt` cuts the connection. */
  closeWatches(filter: FaultFilter = {}, abrupt = false): void {
    for (const watch of this.select(filter)) watch.close(abrupt);
  }

  /** Holds back the events of running watches until they are thawed: the client sees the past. */
  freezeWatches(filter: FaultFilter = {}): void {
    for (const watch of this.select(filter)) watch.freeze();
  }

  thawWatches(filter: FaultFilter = {}): void {
    for (const watch of this.select(filter)) watch.thaw();
  }

  /** Forgets all history: older watches and continue tokens get 410. */
  compact(): void {
    this.store.compact();
  }

  /** Applies the faults that a request meets. @throws StatusError for a refusal */
  async meet(facts: RequestFacts, response: ServerResponse): Promise<'serve' | 'answered'> {
    for (const observer of this.observers) observer(facts);
    for (const entry of [...this.active]) {
      if (!matches(entry.fault.match, facts)) continue;
      if (entry.skip > 0) {
        entry.skip -= 1;
        continue;
      }
      entry.left -= 1;
      if (entry.left <= 0) this.active.delete(entry);
      const { action } = entry.fault;
      switch (action.type) {
        case 'status': {
          const details = action.retryAfterSeconds
            ? { retryAfterSeconds: action.retryAfterSeconds }
            : undefined;
          throw new StatusError(action.code, reasons[action.code], 'a fault was injected', details);
        }
        case 'drop':
          response.destroy();
          return 'answered';
        case 'dropAnswer':
          dropAnswer(response, action.then);
          break;
        case 'delayAnswer':
          delayAnswer(response, action.milliseconds);
          break;
        case 'delay':
          await wait(action.milliseconds);
      }
    }
    return 'serve';
  }

  private select(filter: FaultFilter): WatchHandle[] {
    return [...this.watches.running].filter((watch) => matches(filter, watch));
  }
}

function dropAnswer(response: ServerResponse, then: (() => void) | undefined): void {
  const end = response.end.bind(response) as ServerResponse['end'];
  response.end = ((...args: Parameters<ServerResponse['end']>) => {
    if (then === undefined) return response.destroy();
    if (response.statusCode >= 300) return end(...args);
    then();
    return response.destroy();
  }) as ServerResponse['end'];
}

function delayAnswer(response: ServerResponse, milliseconds: number): void {
  const end = response.end.bind(response) as ServerResponse['end'];
  response.end = ((...args: Parameters<ServerResponse['end']>) => {
    setTimeout(() => end(...args), milliseconds);
    return response;
  }) as ServerResponse['end'];
}
