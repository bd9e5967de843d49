/**
 * How pods start, in their own words: how far `fetch` is while it runs, and what a server says of its start once it is
 * ready. Older images and servers of other makes say nothing, which is no error: they are asked ever more seldom, and then
 * no more. Each pod is asked when it is due, whatever the others do; those that are known to be silent come last.
 */
import type { StartSaid, StartStage, StartsSaid } from '../api/starts.ts';
import type { Clock } from '../engine/clock.ts';
import type { StartingPod, StartReports } from '../reconcile/ports.ts';
import { parseFetching, parseStarted } from './exposition.ts';
import { atOnce, fewOf, PodMetrics, type PodMetricsOptions } from './pod-metrics.ts';

/** Between two readings of a pod that fetches, and between two tellings of a model: each may lead to writes of statuses. */
const periodMs = 5_000;
/** Of many pods that fetch at once no more are read in a second than this allows. */
const periodPerPodMs = 100;
/** Between two times at which is looked for what is due; what is due within it is read together. */
const roundMs = 1_000;
const longestSilenceMs = 60_000;
/** After that many readings without an answer a container is taken for one that does not say such things. */
const tries = 8;
/** What part of its size a fetch has to go on by to be told, or any at all after so long. */
const leastProgress = 0.01;
const longestUntoldMs = 60_000;

interface Entry {
  pod: StartingPod;
  said?: StartSaid;
  /** What it had said when its model was last told. */
  told?: StartSaid;
  /** Readings without an answer, in a row. */
  silences: number;
  dueAt: number;
  /** Its turn has come, and it has not answered yet. */
  awaited: boolean;
}

/** What is known of a model's pods. */
interface Book {
  /** By uid of the pod. */
  entries: ReadonlyMap<string, Entry>;
  /** When the model was told. */
  toldAt: number;
  /** Since when there is something to tell. */
  newsAt?: number | undefined;
}

export interface StartReportsOptions extends PodMetricsOptions {
  readonly clock: Clock;
  /** A pod of the model has said something new. */
  readonly onChange: (model: string) => void;
}

export class StartReaders implements StartReports {
  readonly #books = new Map<string, Book>();
  readonly #options: StartReportsOptions;
  readonly #metrics: PodMetrics;
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  /** What is due, the most urgent last. */
  #queue: { readonly model: string; readonly entry: Entry }[] = [];
  #reading = 0;
  #periodMs = periodMs;
  #earliestRound = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: StartReportsOptions) {
    this.#options = options;
    this.#metrics = new PodMetrics(options);
  }

  of(model: string, pods: readonly StartingPod[]): StartsSaid {
    const now = this.#options.clock.now();
    const book: Book = this.#books.get(model) ?? { entries: new Map(), toldAt: Number.NEGATIVE_INFINITY };
    const entries = new Map<string, Entry>();
    for (const pod of stages.flatMap((stage) => fewOf(pods.filter((each) => each.stage === stage)))) {
      const known = book.entries.get(pod.uid);
      const same = known?.pod.stage === pod.stage && known.pod.run === pod.run;
      const entry = same ? known : { pod, silences: 0, dueAt: now, awaited: false };
      entry.pod = pod;
      entries.set(pod.uid, entry);
      if (!same) this.#wake(now);
    }
    book.entries = entries;
    if (entries.size > 0) this.#books.set(model, book);
    else this.#books.delete(model);
    return new Map([...entries].flatMap(([uid, { told }]) => (told === undefined ? [] : [[uid, told]])));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#queue = [];
    this.#books.clear();
    await this.#metrics.stop();
  }

  #wake(dueAt: number): void {
    const at = Math.max(dueAt, this.#earliestRound);
    if (this.#stopped || at === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.cancel();
    const { clock } = this.#options;
    const cancel = clock.setTimer(at - clock.now(), () => {
      this.#timer = undefined;
      this.#round();
    });
    this.#timer = { at, cancel };
  }

  /** Has what is due read, and told what is to be told. */
  #round(): void {
    const now = this.#options.clock.now();
    this.#earliestRound = now + roundMs;
    for (const model of this.#books.keys()) this.#tell(model);
    const all = [...this.#books].flatMap(([model, { entries }]) =>
      [...entries.values()].map((entry) => ({ model, entry })),
    );
    const fetching = all.filter(({ entry: { pod } }) => pod.stage === 'fetching').length;
    this.#periodMs = Math.max(periodMs, fetching * periodPerPodMs);
    const waiting = new Set(this.#queue.map(({ entry }) => entry));
    const isDue = ({ entry }: { readonly entry: Entry }): boolean =>
      waiting.has(entry) || (!entry.awaited && entry.dueAt <= now + roundMs);
    this.#queue = all.filter(isDue).toSorted((a, b) => urgency(a.entry) - urgency(b.entry));
    for (const { entry } of this.#queue) entry.awaited = true;
    const later = all.filter(({ entry }) => !entry.awaited).map(({ entry }) => entry.dueAt);
    this.#wake(Math.min(...later));
    while (this.#reading < atOnce && this.#queue.length > 0) void this.#work();
  }

  async #work(): Promise<void> {
    this.#reading += 1;
    for (let next = this.#queue.pop(); next !== undefined; next = this.#queue.pop()) {
      const { model, entry } = next;
      const { pod } = entry;
      const isThere = () => this.#books.get(model)?.entries.get(pod.uid) === entry;
      if (isThere()) {
        const said = await this.#metrics.read(pod, parse[pod.stage]);
        if (isThere()) this.#take(model, entry, said);
      }
      this.#tell(model);
    }
    this.#reading -= 1;
  }

  #take(model: string, entry: Entry, said: StartSaid | undefined): void {
    const now = this.#options.clock.now();
    entry.awaited = false;
    if (said === undefined) {
      entry.silences += 1;
      const silent = entry.said === undefined && entry.silences >= tries;
      const pause = Math.min(longestSilenceMs, roundMs * 2 ** (entry.silences - 1));
      entry.dueAt = silent ? Number.POSITIVE_INFINITY : now + pause;
    } else {
      entry.said = said;
      entry.silences = 0;
      // How a server started does not change any more.
      entry.dueAt = entry.pod.stage === 'fetching' ? now + this.#periodMs : Number.POSITIVE_INFINITY;
      const book = this.#books.get(model);
      if (book !== undefined && isNews(said, entry.told, now - book.toldAt)) book.newsAt ??= now;
    }
    this.#wake(entry.dueAt);
  }

  /** Tells a model when there is news of its pods: of all at once, since each may lead to a write. */
  #tell(model: string): void {
    const { clock, onChange } = this.#options;
    const book = this.#books.get(model);
    if (book?.newsAt === undefined) return;
    const entries = [...book.entries.values()];
    const more = entries.some(({ awaited }) => awaited);
    const at = Math.max(book.toldAt + periodMs, more ? book.newsAt + periodMs : book.newsAt);
    if (at > clock.now()) return this.#wake(at);
    book.toldAt = clock.now();
    book.newsAt = undefined;
    for (const entry of entries) if (entry.said !== undefined) entry.told = entry.said;
    onChange(model);
  }
}

const stages: readonly StartStage[] = ['fetching', 'serving'];

/** People watch fetches, and a pod that has been silent may be so again until its time is up. */
const urgency = ({ pod, silences }: Entry): number => (pod.stage === 'fetching' ? 0.5 : 0) - silences;

function isNews(said: StartSaid, told: StartSaid | undefined, untoldMs: number): boolean {
  const [now, before] = [said.fetching, told?.fetching];
  if (
    now === undefined ||
    before === undefined ||
    now.sizeBytes !== before.sizeBytes ||
    untoldMs >= longestUntoldMs
  )
    return JSON.stringify(said) !== JSON.stringify(told);
  const moved = Math.abs(now.fetchedBytes - before.fetchedBytes);
  return moved > 0 && moved >= leastProgress * (now.sizeBytes ?? now.fetchedBytes);
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
