/**
 * How pods start, in their own words: how far `fetch` is while it runs, and what a server says of its start once it is
 * ready. Older images and servers of other makes say nothing, which is no error: they are asked ever more seldom.
 */
import type { StartSaid, StartStage, StartsSaid } from '../api/starts.ts';
import type { Clock } from '../engine/clock.ts';
import type { StartingPod, StartReports } from '../reconcile/ports.ts';
import { parseFetching, parseStarted } from './exposition.ts';
import { fewOf, PodMetrics, type PodMetricsOptions } from './pod-metrics.ts';

/** Between two readings of a pod that fetches; each may lead to a write of its version's status. */
const periodMs = 5_000;
/** Of many pods that fetch at once no more are read in a second than this allows, and so no more statuses are written. */
const periodPerPodMs = 20;
/** Between two rounds; what is due within it is read together. */
const roundMs = 1_000;
const longestSilenceMs = 60_000;
/** After that many readings without an answer a server is taken for one that does not say such things. */
const tries = 8;

interface Entry {
  pod: StartingPod;
  said?: StartSaid;
  /** Readings without an answer, in a row. */
  silences: number;
  dueAt: number;
}

export interface StartReportsOptions extends PodMetricsOptions {
  readonly clock: Clock;
  /** A pod of the model has said something new. */
  readonly onChange: (model: string) => void;
}

export class StartReaders implements StartReports {
  /** By model, then by uid of the pod. */
  readonly #books = new Map<string, Map<string, Entry>>();
  readonly #options: StartReportsOptions;
  readonly #metrics: PodMetrics;
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  #reading = false;
  #earliestRound = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: StartReportsOptions) {
    this.#options = options;
    this.#metrics = new PodMetrics(options);
  }

  of(model: string, pods: readonly StartingPod[]): StartsSaid {
    const now = this.#options.clock.now();
    const before = this.#books.get(model);
    const book = new Map<string, Entry>();
    for (const pod of stages.flatMap((stage) => fewOf(pods.filter((each) => each.stage === stage)))) {
      const known = before?.get(pod.uid);
      const same = known?.pod.stage === pod.stage && known.pod.run === pod.run;
      const entry = same ? known : { pod, silences: 0, dueAt: now };
      entry.pod = pod;
      book.set(pod.uid, entry);
      if (!same) this.#wake(now);
    }
    if (book.size > 0) this.#books.set(model, book);
    else this.#books.delete(model);
    return new Map([...book].flatMap(([uid, { said }]) => (said === undefined ? [] : [[uid, said]])));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#books.clear();
    await this.#metrics.stop();
  }

  #wake(dueAt: number): void {
    const at = Math.max(dueAt, this.#earliestRound);
    if (this.#stopped || this.#reading || at === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.cancel();
    const { clock } = this.#options;
    const cancel = clock.setTimer(at - clock.now(), () => {
      this.#timer = undefined;
      void this.#round();
    });
    this.#timer = { at, cancel };
  }

  async #round(): Promise<void> {
    const { clock, onChange } = this.#options;
    const horizon = clock.now() + roundMs;
    const due = [...this.#books].flatMap(([model, book]) =>
      [...book.values()]
        .filter(({ dueAt }) => dueAt <= horizon)
        .map((entry) => ({ model, entry, pod: entry.pod })),
    );
    this.#reading = true;
    const texts = await this.#metrics.read(due.map(({ pod }) => pod));
    this.#reading = false;
    if (this.#stopped) return;
    const now = clock.now();
    this.#earliestRound = now + roundMs;
    const entries = () => [...this.#books.values()].flatMap((book) => [...book.values()]);
    const fetching = entries().filter(({ pod }) => pod.stage === 'fetching').length;
    const periods = { now, periodMs: Math.max(periodMs, fetching * periodPerPodMs) };
    const changed = new Set<string>();
    for (const { model, entry, pod } of due) if (take(entry, texts.get(pod), periods)) changed.add(model);
    this.#wake(Math.min(...entries().map(({ dueAt }) => dueAt)));
    for (const model of changed) onChange(model);
  }
}

const stages: readonly StartStage[] = ['fetching', 'serving'];

/** @returns whether the pod has said something new */
function take(
  entry: Entry,
  text: string | undefined,
  { now, periodMs }: { readonly now: number; readonly periodMs: number },
): boolean {
  const { pod, said: before } = entry;
  const said = text === undefined ? undefined : parse[pod.stage](text);
  if (said === undefined) {
    entry.silences += 1;
    const silent = pod.stage === 'serving' && entry.silences >= tries;
    const pause = Math.min(longestSilenceMs, roundMs * 2 ** (entry.silences - 1));
    entry.dueAt = silent ? Number.POSITIVE_INFINITY : now + pause;
    return false;
  }
  entry.said = said;
  entry.silences = 0;
  // How a server started does not change any more.
  entry.dueAt = pod.stage === 'fetching' ? now + periodMs : Number.POSITIVE_INFINITY;
  return JSON.stringify(before) !== JSON.stringify(said);
}

const parse: Readonly<Record<StartStage, (text: string) => StartSaid | undefined>> = {
  fetching: (text) => {
    const fetching = parseFetching(text);
    return fetching === undefined ? undefined : { fetching };
  },
  serving: (text) => {
    const started = parseStarted(text);
    return started === undefined ? undefined : { started };
  },
};
