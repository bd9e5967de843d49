/**
 * Keeps HAProxy doing what the inputs ask for. One thing happens at a time; what arrives meanwhile is taken
 * together in the next round, so a burst costs two rounds and the first change waits for nothing.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../logger.ts';
import { applySteps, busyOf, type Retiring, sweep } from './apply.ts';
import type { Session } from './cli.ts';
import { files, type Limits, serverPath } from './config.ts';
import { parseStat } from './counters.ts';
import { diff, type Step } from './diff.ts';
import { loadInputs, prepareFolder, saveInputs, writeState } from './disk.ts';
import { Engine } from './engine.ts';
import { paceMs, withFormerRules } from './pacing.ts';
import { plan } from './plan.ts';
import { rescueColumns, toRescue } from './rescue.ts';
import { Silence } from './silence.ts';
import { emptyState, type Inputs, type State } from './state.ts';

export interface AgentOptions {
  readonly binary: string;
  readonly folder: string;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly onSample?: (line: string) => void;
  readonly observe?: (event: AgentEvent) => void;
}

/** For metrics. */
export type AgentEvent =
  | { readonly kind: 'applied'; readonly seconds: number; readonly steps: number }
  | { readonly kind: 'reload' }
  | { readonly kind: 'restart' }
  | { readonly kind: 'rescue'; readonly servers: number }
  | { readonly kind: 'silence'; readonly servers: number }
  | { readonly kind: 'ejection'; readonly backend: string }
  | { readonly kind: 'failure' };

const noInputs: Inputs = { models: [], endpoints: [] };
const sweepMs = 200;
/** How often it is looked whether a former process has ended, while a reload is put off. */
const roomMs = 50;
/** A thread of HAProxy may be interrupted for so long between two lookups of one request. */
const lookUpMs = 50;
/** A model whose pods are really gone asks for rescue with every request. */
const rescueEveryMs = 1_000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #logger: Logger;
  readonly #engine: Engine;
  readonly #silence: Silence;
  readonly #retiring: Retiring = new Map();
  readonly #listeners = new Set<() => void>();
  #wanted: Inputs | undefined;
  #applied: State = emptyState;
  /** What the applied state was planned from. */
  #appliedInputs: Inputs = noInputs;
  #problems = '';
  #dirty = false;
  #reloadReason: string | undefined;
  #dead = false;
  #synced = false;
  #stopped = false;
  #working: Promise<void> | undefined;
  /** Ends when a reload that is put off is due. */
  #postponed: Promise<void> | undefined;
  #reloadedAt = Number.NEGATIVE_INFINITY;
  #sweeper: NodeJS.Timeout | undefined;
  #saver: NodeJS.Timeout | undefined;
  #rescuer: NodeJS.Timeout | undefined;
  #rescuedAt = Number.NEGATIVE_INFINITY;
  /** What is left to delete of the shares before the present ones. */
  #abandoned: readonly Step[] = [];
  #abandonedAt = Number.NEGATIVE_INFINITY;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#engine = new Engine({
      binary: options.binary,
      folder: options.folder,
      logger: options.logger,
      onSample: options.onSample ?? (() => {}),
      onEjection: (backend) => options.observe?.({ kind: 'ejection', backend }),
      onUnreachable: (path) => this.#silence.suspect(path),
      onStarved: () => this.#rescueSoon(),
      onDeath: (reason) => this.#onDeath(reason),
    });
    this.#silence = new Silence({
      logger: options.logger,
      servers: () => this.#applied.servers,
      session: () => this.session(),
      onCut: (servers) => options.observe?.({ kind: 'silence', servers }),
    });
  }

  /** What all new requests follow. */
  get applied(): State {
    return this.#applied;
  }

  /** Process id of the HAProxy that counts; counters start again when it changes. */
  get pid(): number | undefined {
    return this.#engine.pid;
  }

  /** True when HAProxy runs on inputs that are whole: from the API, or saved when they last were. */
  get ready(): boolean {
    return this.#engine.pid !== undefined && this.#synced && !this.#stopped;
  }

  /** Servers that get no new requests and have not yet answered all that they had. */
  get retiring(): number {
    return this.#retiring.size;
  }

  session(): Promise<Session> {
    return this.#engine.session();
  }

  /** Calls back after each change of `applied`. @returns ends that. */
  onApplied(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Starts HAProxy on what was saved, or on nothing. @throws Error when it cannot be started at all. */
  async start(): Promise<void> {
    await prepareFolder(this.#options.folder);
    const saved = await loadInputs(this.#options.folder);
    if (saved) {
      this.#wanted = saved;
      this.#synced = true;
    }
    await this.#begin();
  }

  /** Takes the whole truth as it is now. */
  update(inputs: Inputs): void {
    this.#wanted = inputs;
    this.#dirty = true;
    this.#wake();
  }

  /** Has HAProxy start again on what is wanted, without closing a listener. Resolves when it has. */
  async reload(reason: string): Promise<void> {
    this.#reloadReason = reason;
    this.#wake();
    await this.settled();
  }

  /** Resolves when nothing is left to apply. */
  async settled(): Promise<void> {
    for (;;) {
      const next = this.#working ?? this.#postponed;
      if (next === undefined) return;
      await next;
    }
  }

  /** Soft stop: answers what is in flight, for `withinMs` at most. */
  async stop(withinMs: number): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#sweeper);
    clearTimeout(this.#saver);
    clearTimeout(this.#rescuer);
    this.#silence.stop();
    await this.settled();
    if (this.#wanted && this.#synced) await saveInputs(this.#options.folder, this.#wanted);
    await this.#engine.stop(withinMs);
  }

  #onDeath(reason: string): void {
    this.#logger.error('HAProxy died', { reason });
    this.#options.observe?.({ kind: 'restart' });
    this.#dead = true;
    this.#wake();
  }

  #wake(): void {
    if (this.#working || this.#stopped) return;
    this.#working = this.#work().finally(() => {
      this.#working = undefined;
      if (this.#pending) this.#wake();
    });
  }

  get #pending(): boolean {
    return (this.#dirty || this.#dead || this.#reloadReason !== undefined) && !this.#stopped;
  }

  async #work(): Promise<void> {
    let failures = 0;
    while (this.#pending) {
      try {
        if (this.#dead) await this.#begin();
        else if (this.#reloadReason !== undefined) await this.#reload(this.#reloadReason);
        else await this.#change();
        failures = 0;
      } catch (error) {
        this.#options.observe?.({ kind: 'failure' });
        this.#logger.error('could not apply a change', { error: String(error) });
        this.#dirty = true;
        await pause(Math.min(50 * 2 ** failures++, 5000));
      }
    }
  }

  /** (Re)starts HAProxy on the state that is wanted now. A running one hands its listeners over. */
  async #begin(): Promise<void> {
    this.#dirty = false;
    const inputs = this.#wanted ?? noInputs;
    const state = this.#plan(inputs);
    await writeState(this.#options.folder, state, this.#options.limits);
    this.#dead = false;
    try {
      await this.#engine.start();
    } catch (error) {
      this.#dead = this.#engine.pid === undefined;
      throw error;
    }
    this.#retiring.clear();
    this.#abandoned = [];
    this.#reloadedAt = performance.now();
    this.#commit(state, inputs);
  }

  async #change(): Promise<void> {
    const began = performance.now();
    this.#dirty = false;
    let inputs = this.#wanted ?? noInputs;
    let state = this.#plan(inputs);
    let steps = diff(this.#applied, state);
    if (steps === undefined && this.#reloadsIn() > 0) {
      inputs = withFormerRules(inputs, this.#appliedInputs);
      state = this.#plan(inputs);
      steps = diff(this.#applied, state);
      if (steps !== undefined) this.#reloadLater();
    }
    if (steps === undefined) {
      await this.#reload('rules changed, or there are not enough backends or places in them');
    } else {
      try {
        await this.#carryOut(steps);
        this.#commit(state, inputs);
      } catch (error) {
        if (this.#dead) throw error;
        await this.#reload(`a command failed: ${error}`);
      }
    }
    this.#synced = true;
    this.#options.observe?.({
      kind: 'applied',
      seconds: (performance.now() - began) / 1000,
      steps: steps?.length ?? 0,
    });
    this.#saveLater();
  }

  /** Shares that were switched away from are deleted before the next change, not during this one. */
  async #carryOut(steps: readonly Step[]): Promise<void> {
    if (steps.length === 0) return;
    const abandoned = steps.filter((step) => step.do === 'delete-entries' && step.map === files.split);
    const early = this.#abandonedAt + lookUpMs - performance.now();
    if (early > 0 && this.#abandoned.length > 0) await pause(early);
    const session = await this.session();
    try {
      await applySteps(session, this.#abandoned, this.#retiring);
      this.#abandoned = [];
      await applySteps(
        session,
        steps.filter((step) => !abandoned.includes(step)),
        this.#retiring,
      );
      this.#abandoned = abandoned;
      if (abandoned.length > 0) this.#abandonedAt = performance.now();
    } finally {
      session.close();
    }
    if (this.#retiring.size > 0) this.#sweepLater();
  }

  async #reload(reason: string): Promise<void> {
    this.#logger.info('reloading HAProxy', { reason });
    this.#options.observe?.({ kind: 'reload' });
    this.#reloadReason = undefined;
    await this.#begin();
  }

  /** Milliseconds until the next reload may come. */
  #reloadsIn(): number {
    return this.#reloadedAt + paceMs(this.#engine.formerCount) - performance.now();
  }

  /** Takes up what needs a reload when one is due. */
  #reloadLater(): void {
    this.#postponed ??= this.#roomForReload().finally(() => {
      this.#postponed = undefined;
      this.#dirty = true;
      this.#wake();
    });
  }

  async #roomForReload(): Promise<void> {
    while (!this.#stopped && this.#reloadsIn() > 0) await pause(roomMs);
  }

  #plan(inputs: Inputs): State {
    const { state, problems } = plan(inputs, this.#applied, busyOf(this.#retiring));
    const told = problems.join('; ');
    if (told !== this.#problems && told !== '')
      this.#logger.warn('not everything can be routed', { problems });
    this.#problems = told;
    return state;
  }

  #commit(state: State, inputs: Inputs): void {
    this.#applied = state;
    this.#appliedInputs = inputs;
    for (const listener of this.#listeners) listener();
  }

  #sweepLater(): void {
    this.#sweeper ??= setInterval(() => void this.#sweep(), sweepMs);
  }

  /** Deletes idle servers between changes, never during one. */
  async #sweep(): Promise<void> {
    if (this.#working || this.#stopped || this.#dead) return;
    this.#working = this.#deleteIdle().finally(() => {
      this.#working = undefined;
      if (this.#pending) this.#wake();
    });
    await this.#working;
    if (this.#retiring.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  async #deleteIdle(): Promise<void> {
    try {
      const session = await this.session();
      try {
        await sweep(session, this.#retiring);
      } finally {
        session.close();
      }
    } catch (error) {
      this.#logger.warn('could not delete retired servers', { error: String(error) });
    }
  }

  /** At once, but not more often than is useful. */
  #rescueSoon(): void {
    if (this.#rescuer || this.#stopped) return;
    const wait = Math.max(0, this.#rescuedAt + rescueEveryMs - performance.now());
    this.#rescuer = setTimeout(() => {
      this.#rescuer = undefined;
      this.#rescuedAt = performance.now();
      void this.#rescue();
    }, wait);
  }

  /** Commands of other sessions may run meanwhile: this one only changes what checks think of servers. */
  async #rescue(): Promise<void> {
    if (this.#stopped || this.#dead) return;
    try {
      const session = await this.session();
      try {
        const rows = parseStat(await session.run('show stat -1 4 -1', /^#/), rescueColumns);
        const servers = toRescue(this.#applied, rows);
        for (const server of servers) await session.run(`set server ${serverPath(server)} health up`, /^/);
        if (servers.length === 0) return;
        this.#logger.warn('checks say that no server of a model is left; the API says otherwise', {
          servers: servers.map(serverPath),
        });
        this.#options.observe?.({ kind: 'rescue', servers: servers.length });
      } finally {
        session.close();
      }
    } catch (error) {
      this.#logger.warn('could not look after servers that are down', { error: String(error) });
    }
  }

  #saveLater(): void {
    if (this.#saver) return;
    this.#saver = setTimeout(() => {
      this.#saver = undefined;
      if (this.#wanted)
        saveInputs(this.#options.folder, this.#wanted).catch((error: unknown) =>
          this.#logger.warn('could not save the inputs', { error: String(error) }),
        );
    }, 100);
  }
}
