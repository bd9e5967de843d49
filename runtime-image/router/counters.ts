/**
 * PURE: HAProxy's counters, which belong to a process and to a slot, turned into counters of versions that never
 * fall: not by a reload, a restart, or a slot that passes from one version to the next.
 */
import { backendName } from './config.ts';
import type { Kind, Slot } from './state.ts';

/** What HAProxy says of one slot, summed over its two backends. */
export interface SlotReading {
  /** Pods that may get requests now. */
  readonly servers: number;
  readonly inFlight: number;
  /** Requests that wait for a pod that may take another one. */
  readonly waiting: number;
  readonly counts: Counts;
}

export interface Counts {
  readonly requests: number;
  readonly errors: number;
  readonly fallbacks: number;
  readonly retries: number;
  /** By status class, from 1xx to 5xx. */
  readonly classes: readonly number[];
  /** Answers by gRPC status, from 0 to 16. What only a trailer after messages says counts as 0: HAProxy does not see it. */
  readonly grpc: readonly number[];
}

const statuses = 17;
const unavailable = 14;
const zero: Counts = {
  requests: 0,
  errors: 0,
  fallbacks: 0,
  retries: 0,
  classes: [0, 0, 0, 0, 0],
  grpc: Array<number>(statuses).fill(0),
};

/** gRPC statuses that blame the server: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const serverFaults = new Set([2, 4, 8, 12, 13, 14, 15]);

/** Of a row of `show stat`, what is counted. */
export const countedColumns = [
  ...(['pxname', 'svname', 'type', 'status', 'scur', 'qcur', 'stot', 'econ', 'eresp', 'wretr'] as const),
  ...(['hrsp_1xx', 'hrsp_2xx', 'hrsp_3xx', 'hrsp_4xx', 'hrsp_5xx'] as const),
];

/** Cells of a row by column; what HAProxy leaves out is empty. */
export type Row<Column extends string> = Readonly<Partial<Record<Column, string>>>;
type Counted = Row<(typeof countedColumns)[number]>;

/**
 * Rows of `show stat` answers, one after the other.
 * @param columns that are kept: of a hundred, and there may be twenty thousand rows
 */
export function parseStat<Column extends string>(text: string, columns: readonly Column[]): Row<Column>[] {
  let places: readonly (readonly [column: Column, at: number])[] = [];
  const rows: Row<Column>[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) {
      const all = line.slice(2).split(',');
      places = columns.map((column) => [column, all.indexOf(column)]);
    } else if (line.includes(',')) {
      const cells = line.split(',');
      const row: Partial<Record<Column, string>> = {};
      for (const [column, at] of places) row[column] = cells[at] ?? '';
      rows.push(row);
    }
  }
  return rows;
}

/** Lines of `show table codes` as [slot, gRPC status, count]. */
export function parseCodes(text: string): [number, number, number][] {
  return [...text.matchAll(/key=(\d+) .*gpc0=(\d+)/g)].map(([, key, count]) => [
    Math.floor(Number(key) / 32),
    Number(key) % 32,
    Number(count),
  ]);
}

/** Readings per slot. What went through a backend's loop server was another version's work. */
export function readSlots(
  slots: Iterable<number>,
  rows: readonly Counted[],
  codes: readonly (readonly [number, number, number])[],
): Map<number, SlotReading> {
  const byBackend = Map.groupBy(rows, (row) => row.pxname!);
  const codesOf = Map.groupBy(codes, ([slot]) => slot);
  const readings = new Map<number, SlotReading>();
  for (const slot of slots) {
    const parts = (['http', 'grpc'] as const).map((kind) => {
      const all: readonly Counted[] = byBackend.get(backendName(slot, kind)) ?? [];
      const total: Counted = all.find((row) => row.svname === 'BACKEND') ?? {};
      const loop: Counted = all.find((row) => row.svname === 'loop') ?? {};
      const own = (column: keyof Counted) => Math.max(0, number(total[column]) - number(loop[column]));
      const classes = ([1, 2, 3, 4, 5] as const).map((digit) => own(`hrsp_${digit}xx`));
      // A gRPC failure that HAProxy makes up has status 200, and is counted with the connections instead.
      const made = kind === 'grpc' ? number(total.econ) + number(total.eresp) : 0;
      return {
        servers: all.filter(
          (row) => row.svname !== 'loop' && row.type === '2' && row.status?.startsWith('UP'),
        ).length,
        unchecked: all.filter((row) => row.svname !== 'loop' && row.status === 'no check').length,
        inFlight: own('scur'),
        waiting: number(total.qcur),
        made,
        requests: own('stot'),
        fallbacks: number(loop.stot),
        retries: number(total.wretr),
        errors: classes[4]! + made,
        classes,
      };
    });
    const [http, grpc] = parts as [(typeof parts)[number], (typeof parts)[number]];
    const byStatus = [...zero.grpc];
    for (const [, status, count] of codesOf.get(slot) ?? []) if (status < statuses) byStatus[status] = count;
    const faults = byStatus.reduce((sum, count, status) => sum + (serverFaults.has(status) ? count : 0), 0);
    // What HAProxy makes up is told as UNAVAILABLE, or DEADLINE_EXCEEDED, but it does not say which how often.
    byStatus[unavailable]! += grpc.made;
    byStatus[0] = Math.max(0, grpc.requests - byStatus.reduce((sum, count) => sum + count));
    readings.set(slot, {
      servers: Math.max(http.servers + http.unchecked, grpc.servers + grpc.unchecked),
      inFlight: http.inFlight + grpc.inFlight,
      waiting: http.waiting + grpc.waiting,
      counts: {
        requests: http.requests + grpc.requests,
        errors: http.errors + grpc.errors + faults,
        fallbacks: http.fallbacks + grpc.fallbacks,
        retries: http.retries + grpc.retries,
        classes: http.classes.map((count, index) => count + grpc.classes[index]!),
        grpc: byStatus,
      },
    });
  }
  return readings;
}

function number(text: string | undefined): number {
  const value = Number(text ?? '0');
  return Number.isFinite(value) ? value : 0;
}

export interface VersionCounters extends Counts {
  readonly servers: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** How often a pod was taken out because it failed its checks or refused a connection. */
  readonly ejections: number;
}

type Gauges = Pick<VersionCounters, 'servers' | 'inFlight' | 'waiting'>;
const idle: Gauges = { servers: 0, inFlight: 0, waiting: 0 };

/** Sums readings up, per `uid/version`. */
export class Counters {
  readonly #totals = new Map<string, Counts>();
  readonly #gauges = new Map<string, Gauges>();
  /** Of each kind by itself: a pod that goes is taken out of both. */
  readonly #ejections = new Map<string, Record<Kind, number>>();
  #last = new Map<number, Counts>();
  #process: number | undefined;
  #total = 0;

  /** Requests of all versions, those that are gone included. */
  get total(): number {
    return this.#total;
  }

  /** @param process id of the HAProxy that was read: a new one counts from zero */
  take(process: number, slots: readonly Slot[], readings: ReadonlyMap<number, SlotReading>): void {
    if (process !== this.#process) this.#last = new Map();
    this.#process = process;
    const present = new Set<string>();
    for (const { slot, uid, version } of slots) {
      const reading = readings.get(slot);
      if (!reading) continue;
      const key = `${uid}/${version}`;
      present.add(key);
      const grown = subtract(reading.counts, this.#last.get(slot) ?? zero);
      this.#last.set(slot, reading.counts);
      this.#total += grown.requests;
      this.#totals.set(key, add(this.#totals.get(key) ?? zero, grown));
      const { servers, inFlight, waiting } = reading;
      this.#gauges.set(key, { servers, inFlight, waiting });
    }
    for (const key of this.#totals.keys()) {
      if (present.has(key)) continue;
      this.#totals.delete(key);
      this.#gauges.delete(key);
      this.#ejections.delete(key);
    }
  }

  eject(uid: string, version: string, kind: Kind): void {
    const key = `${uid}/${version}`;
    const before = this.#ejections.get(key) ?? { http: 0, grpc: 0 };
    this.#ejections.set(key, { ...before, [kind]: before[kind] + 1 });
  }

  of(uid: string, version: string): VersionCounters {
    const key = `${uid}/${version}`;
    const { http, grpc } = this.#ejections.get(key) ?? { http: 0, grpc: 0 };
    return {
      ...(this.#totals.get(key) ?? zero),
      ...(this.#gauges.get(key) ?? idle),
      ejections: Math.max(http, grpc),
    };
  }
}

function add(a: Counts, b: Counts): Counts {
  return combine(a, b, (x, y) => x + y);
}

/** What was added since; a counter that fell started again. */
function subtract(now: Counts, before: Counts): Counts {
  return combine(now, before, (x, y) => (x >= y ? x - y : x));
}

function combine(a: Counts, b: Counts, how: (x: number, y: number) => number): Counts {
  return {
    requests: how(a.requests, b.requests),
    errors: how(a.errors, b.errors),
    fallbacks: how(a.fallbacks, b.fallbacks),
    retries: how(a.retries, b.retries),
    classes: a.classes.map((count, index) => how(count, b.classes[index]!)),
    grpc: a.grpc.map((count, index) => how(count, b.grpc[index]!)),
  };
}
