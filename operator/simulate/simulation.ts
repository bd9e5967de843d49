/**
 * One rollout in a world of its own: pods, routers, traffic and people do as they are told, `decideModel` decides, and
 * what it decides becomes true. Time is simulated, so an hour takes a moment.
 */

import { modelAnnotations, retryAnnotation } from '../api/annotations.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import { noTotals, noTraffic, type Totals, type Traffic } from '../api/traffic.ts';
import type { Evidence } from '../decide/analysis/evidence.ts';
import { policyOf } from '../decide/policy.ts';
import { type PodState, World } from '../decide/testing/world.ts';
import { comparisonOf, EvidenceBook } from '../reconcile/evidence-book.ts';
import type { Source } from './source.ts';

/** What befalls the candidate, and what people do. */
export const deeds = [
  'crash',
  'unready',
  'ready',
  'approve',
  'promote',
  'abort',
  'pause',
  'resume',
  'retry',
] as const;
export type Deed = (typeof deeds)[number];

/** Times are milliseconds from the moment that the candidate is applied. */
export interface Scenario {
  readonly spec: ModelSpec;
  readonly stable: string;
  readonly candidate: string;
  /** Pods of each version. */
  readonly replicas: number;
  /** From a pod's creation to its readiness. */
  readonly startMs: number;
  /** From a status to the router that follows it, and back to the operator. */
  readonly lagMs: number;
  readonly actions: readonly { readonly atMs: number; readonly deed: Deed }[];
  /** When to give up. */
  readonly limitMs: number;
}

/** What was so at one second. */
export interface Moment {
  readonly atMs: number;
  /** The candidate's share at the routers, percent. */
  readonly weight: number;
  readonly evidence: Evidence;
  readonly traffic: Traffic;
}

export interface Line {
  readonly atMs: number;
  readonly reason: string;
  readonly message: string;
}

export interface Simulation {
  readonly scenario: Scenario;
  readonly moments: readonly Moment[];
  /** Events of the model, verdicts and deeds, in order. */
  readonly lines: readonly Line[];
  readonly outcome: {
    readonly kind: 'promoted' | 'rolledBack' | 'unfinished';
    readonly atMs: number;
    readonly reason: string;
    readonly message: string;
  };
  /** What was counted in all. */
  readonly requests: ReadonlyMap<string, Totals>;
  readonly unanswered: number;
}

/** After a crash: when the kubelet's back-off shows that it crashes again and again. */
const backOffMs = 2_000;
/** How long things are watched after the end. */
const epilogueMs = 5_000;

export function simulate(scenario: Scenario, source: Source): Simulation {
  return new Run(scenario, source).play();
}

class Run {
  readonly #scenario: Scenario;
  readonly #source: Source;
  readonly #world: World;
  readonly #book = new EvidenceBook();
  readonly #due: { atMs: number; act: () => void }[] = [];
  readonly #moments: Moment[] = [];
  readonly #lines: Line[] = [];
  readonly #start: number;
  #atMs = 0;
  #told = 0;
  #visitAt = Number.POSITIVE_INFINITY;
  /** Shares that the routers follow. */
  #followed: ReadonlyMap<string, number>;
  #generation: number;
  #held = false;
  #starting = false;
  #read: Traffic = noTraffic;
  #verdict = '';

  constructor(scenario: Scenario, source: Source) {
    this.#scenario = scenario;
    this.#source = source;
    const { spec, stable, candidate, replicas } = scenario;
    this.#world = new World({ ...spec, serve: { version: stable } });
    this.#world.add(stable, { replicas });
    this.#world.run(1_000);
    this.#followed = new Map([[stable, 100]]);
    this.#generation = this.#world.model?.status?.routers?.generation ?? 0;
    this.#told = this.#world.events.length;
    this.#start = this.#world.now;
    this.#world.add(candidate, { replicas });
    this.#world.configure({ serve: { version: candidate } });
  }

  play(): Simulation {
    const { actions, limitMs } = this.#scenario;
    for (const { atMs, deed } of actions) this.#at(atMs, () => this.#do(deed));
    this.#at(0, () => this.#tick());
    const last = Math.max(0, ...actions.map(({ atMs }) => atMs));
    while (!(this.#ended(last) || this.#atMs >= limitMs)) {
      const next = this.#due.shift();
      if (next === undefined) break;
      if (next.atMs > this.#atMs) this.#source.advance(this.#atMs, next.atMs, this.#routes());
      this.#atMs = next.atMs;
      this.#world.now = this.#start + next.atMs;
      next.act();
    }
    const { versions } = this.#source.read(this.#atMs);
    return {
      scenario: this.#scenario,
      moments: this.#moments,
      lines: this.#lines,
      outcome: this.#outcome(),
      requests: versions,
      unanswered: this.#source.unanswered,
    };
  }

  #at(atMs: number, act: () => void): void {
    const index = this.#due.findIndex((other) => other.atMs > atMs);
    this.#due.splice(index < 0 ? this.#due.length : index, 0, { atMs, act });
  }

  /** Every second the routers report, and the operator looks. */
  #tick(): void {
    this.#read = this.#source.read(this.#atMs);
    this.#visit();
    const { evidence } = this.#world;
    const weight = this.#followed.get(this.#scenario.candidate) ?? 0;
    this.#moments.push({ atMs: this.#atMs, weight, evidence, traffic: this.#read });
    this.#at(this.#atMs + 1_000, () => this.#tick());
  }

  #visit(): void {
    const world = this.#world;
    const { analysis } = policyOf(this.#scenario.spec);
    const counted = { traffic: this.#read, servers: new Map() };
    world.evidence = this.#book.read('model', comparisonOf(world.model), counted, analysis);
    const { requeueAfterMs } = world.settle();
    this.#tell();
    this.#startPods();
    this.#publish();
    if (requeueAfterMs === undefined) return;
    const atMs = this.#atMs + requeueAfterMs;
    if (this.#visitAt > this.#atMs && this.#visitAt <= atMs) return;
    this.#visitAt = atMs;
    this.#at(atMs, () => this.#visit());
  }

  /** Events of the model since the last visit, and a verdict that is another one. */
  #tell(): void {
    const { events, model } = this.#world;
    for (const { about, reason, message } of events.slice(this.#told)) {
      if (about.kind === 'Model') this.#note(reason, message);
    }
    this.#told = events.length;
    const { verdict = '', evidence = '' } = model?.status?.candidate ?? {};
    if (verdict !== this.#verdict && verdict !== '') this.#note('Verdict', `${verdict}: ${evidence}`);
    this.#verdict = verdict;
  }

  #note(reason: string, message: string): void {
    this.#lines.push({ atMs: this.#atMs, reason, message });
  }

  #startPods(): void {
    const running = this.#world.versions.get(this.#scenario.candidate);
    if (this.#starting || this.#held || running?.pods.includes('starting') !== true) return;
    this.#starting = true;
    this.#at(this.#atMs + this.#scenario.startMs, () => {
      this.#starting = false;
      if (this.#held) return;
      this.#pods((state) => (state === 'starting' ? 'ready' : state));
      this.#visit();
    });
  }

  /** Routers follow what was published a moment ago. */
  #publish(): void {
    const { traffic = [], routers } = this.#world.model?.status ?? {};
    const generation = routers?.generation ?? 0;
    if (generation === this.#generation) return;
    this.#generation = generation;
    const shares = new Map(traffic.map(({ version, weight }) => [version, weight]));
    this.#at(this.#atMs + this.#scenario.lagMs, () => {
      this.#followed = shares;
      // Only the latest is acknowledged: a router that is behind does not count.
      if (generation === this.#generation) this.#world.ack();
      this.#visit();
    });
  }

  #pods(change: (state: PodState) => PodState): void {
    const { candidate } = this.#scenario;
    this.#world.pods(candidate, ...this.#world.versions.get(candidate)!.pods.map(change));
  }

  #do(deed: Deed): void {
    this.#note('·', narrative[deed]);
    const value = `at-${this.#atMs}`;
    switch (deed) {
      case 'crash':
      case 'unready':
        this.#held = true;
        this.#pods(() => 'starting');
        if (deed === 'crash') {
          this.#at(this.#atMs + backOffMs, () => {
            if (this.#held) this.#pods(() => 'crashing');
            this.#visit();
          });
        }
        break;
      case 'ready':
        this.#held = false;
        this.#pods(() => 'ready');
        break;
      case 'pause':
      case 'resume':
        this.#world.annotate(modelAnnotations.paused, String(deed === 'pause'));
        break;
      case 'retry':
        this.#world.annotate(retryAnnotation, value, this.#scenario.candidate);
        break;
      default:
        this.#world.annotate(modelAnnotations[deed], value);
    }
    this.#visit();
  }

  /** Where requests go: as the routers follow, and from a version without ready pods to one that has some. */
  #routes(): ReadonlyMap<string, number> {
    const able = (version: string) =>
      this.#world.versions.get(version)?.pods.some((state) => state === 'ready') === true;
    const fallback = [this.#scenario.stable, this.#scenario.candidate].find(able);
    const routes = new Map<string, number>();
    for (const [version, share] of this.#followed) {
      const to = able(version) ? version : fallback;
      if (to !== undefined && share > 0) routes.set(to, (routes.get(to) ?? 0) + share);
    }
    return routes;
  }

  #ended(lastDeedMs: number): boolean {
    const { kind, atMs } = this.#outcome();
    return kind !== 'unfinished' && this.#atMs >= Math.max(atMs, lastDeedMs) + epilogueMs;
  }

  /** What the candidate has come to by now. */
  #outcome(): Simulation['outcome'] {
    const { stable, candidate, latched = [] } = this.#world.model?.status ?? {};
    const name = this.#scenario.candidate;
    const latch = latched.find(({ version }) => version === name);
    const last = (reason: string) => this.#lines.findLast((line) => line.reason === reason)?.atMs ?? 0;
    if (latch !== undefined) {
      const { reason, message } = latch;
      return { kind: 'rolledBack', atMs: last('RolledBack'), reason, message };
    }
    if (stable === name) {
      return {
        kind: 'promoted',
        atMs: last('VersionPromoted'),
        reason: 'Promoted',
        message: `${name} is stable`,
      };
    }
    const waits = candidate?.waitingFor === undefined ? '' : `; it waits for ${candidate.waitingFor}`;
    const message = `step ${candidate?.step ?? 0} of ${this.#scenario.spec.rollout.steps.length}${waits}`;
    return { kind: 'unfinished', atMs: this.#atMs, reason: 'Unfinished', message };
  }
}

const narrative: Readonly<Record<Deed, string>> = {
  crash: 'every pod of the candidate crashes, again and again',
  unready: 'every pod of the candidate fails its readiness probe',
  ready: 'every pod of the candidate is ready',
  approve: 'somebody approves',
  promote: 'somebody promotes',
  abort: 'somebody aborts',
  pause: 'somebody pauses',
  resume: 'somebody resumes',
  retry: 'somebody wants another try',
};

/** What a version counted between two readings. */
export const countOf = (traffic: Traffic, version: string): Totals =>
  traffic.versions.get(version) ?? noTotals;
