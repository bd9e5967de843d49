/** Reads HAProxy's counters at intervals and knows, at any time, what to report of every model. */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../logger.ts';
import type { Agent, AgentEvent } from './agent.ts';
import type { Session } from './cli.ts';
import { backendName, files, slotOf } from './config.ts';
import {
  Counters,
  countedColumns,
  parseCodes,
  parseStat,
  readSlots,
  type VersionCounters,
} from './counters.ts';
import { type Latency, rateRange, sampleRange, unitsFor } from './latency.ts';

export interface VersionReport extends VersionCounters {
  readonly version: string;
  readonly latency: readonly number[] | undefined;
  /** Requests that latency is estimated from. */
  readonly timed: number;
  /** Servers of it, whatever checks say of them. */
  readonly pods: number;
}

export interface ModelReport {
  readonly model: string;
  readonly uid: string;
  readonly generation: number;
  readonly versions: readonly VersionReport[];
}

const slowestMs = 1000;
const fastestMs = 100;
/** A reading may take this part of the time at most, however many versions there are. */
const share = 1 / 20;
/** Up to so many slots are asked for by name; beyond, one answer about all is shorter. */
const byNameUpTo = 24;

export class Monitor {
  /** Counters run from the start of this. */
  readonly epoch: string = randomUUID();
  readonly #agent: Agent;
  readonly #latency: Latency;
  readonly #logger: Logger;
  readonly #counters = new Counters();
  readonly #intervals = new Set<{ readonly ms: number }>();
  #sampled = { at: 0, total: 0 };
  #process: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #tookMs = 0;
  #stopped = false;

  constructor(agent: Agent, latency: Latency, logger: Logger) {
    this.#agent = agent;
    this.#latency = latency;
    this.#logger = logger;
  }

  start(): void {
    this.#stopped = false;
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Asks for readings that are at most `ms` old. @returns ends that. */
  require(ms: number): () => void {
    const interval = { ms: Math.max(fastestMs, ms) };
    this.#intervals.add(interval);
    this.#schedule();
    return () => this.#intervals.delete(interval);
  }

  /** Counts what HAProxy says by itself. */
  observe(event: AgentEvent): void {
    if (event.kind !== 'ejection') return;
    const { slot, kind } = slotOf(event.backend);
    const found = this.#agent.applied.slots.find((one) => one.slot === slot);
    if (found) this.#counters.eject(found.uid, found.version, kind);
  }

  /** Reads now, or joins the reading under way. Never throws: without HAProxy the last counts stay. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** What was last read, and the generations and pods that are applied at this moment. */
  report(): ModelReport[] {
    const { routes, slots, servers } = this.#agent.applied;
    const slotsOf = Map.groupBy(slots, (slot) => slot.uid);
    const serversOf = Map.groupBy(servers, (server) => server.slot);
    const podsOf = (slot: number) => new Set((serversOf.get(slot) ?? []).map(({ address }) => address)).size;
    return routes.map(({ name, uid, generation }) => ({
      model: name,
      uid,
      generation,
      versions: (slotsOf.get(uid) ?? []).map(({ slot, version }) => ({
        version,
        pods: podsOf(slot),
        ...this.#counters.of(uid, version),
        latency: this.#latency.of(uid, version),
        timed: this.#latency.timed(uid, version),
      })),
    }));
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const wanted = Math.min(slowestMs, ...[...this.#intervals].map((interval) => interval.ms));
    this.#timer = setTimeout(
      () => void this.refresh().then(() => this.#schedule()),
      Math.max(wanted, this.#tookMs / share),
    );
  }

  /** Times fewer requests when there are many, so that watching them costs the same at any rate. */
  async #sample(session: Session, process: number): Promise<void> {
    const now = performance.now();
    const total = this.#counters.total;
    const rate = ((total - this.#sampled.total) * 1000) / (now - this.#sampled.at);
    this.#sampled = { at: now, total };
    const has = this.#latency.units;
    const units = unitsFor(rate);
    // Small changes are not worth a command; a new process has what was on disk when it started.
    const wanted = units > has / 1.5 && units < has * 1.5 ? has : units;
    if (wanted !== has || process !== this.#process) {
      for (const [file, range] of [
        [files.samples, sampleRange(wanted)],
        [files.rates, rateRange(wanted)],
      ]) {
        await session.run(`clear acl ${file}`);
        await session.run(`add acl ${file} ${range}`);
      }
    }
    this.#process = process;
    this.#latency.units = wanted;
  }

  async #read(): Promise<void> {
    const process = this.#agent.pid;
    if (process === undefined) return;
    const began = performance.now();
    const { slots } = this.#agent.applied;
    try {
      const session = await this.#agent.session();
      try {
        let stat = '';
        if (slots.length > byNameUpTo) stat = await session.run('show stat -1 6 -1', /^#/);
        else {
          for (const { slot } of slots)
            for (const kind of ['http', 'grpc'] as const)
              stat += `${await session.run(`show stat ${backendName(slot, kind)} 6 -1`, /^#/)}\n`;
        }
        const codes = await session.run('show table codes', /^# table/);
        const numbers = slots.map((slot) => slot.slot);
        this.#counters.take(
          process,
          slots,
          readSlots(numbers, parseStat(stat, countedColumns), parseCodes(codes)),
        );
        await this.#sample(session, process);
        this.#latency.keep(new Set(slots.map((slot) => `${slot.uid}/${slot.version}`)));
      } finally {
        session.close();
      }
    } catch (error) {
      this.#logger.debug('could not read counters', { error: String(error) });
    }
    this.#tookMs = performance.now() - began;
  }
}
