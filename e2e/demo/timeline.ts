/** What happened when, and how it is told at the end. Takes times; knows no clock. */

export interface Entry {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
  readonly text: string;
  /** What the entry's time is measured from: another entry's time, told as "+12 ms". */
  readonly since?: number;
}

export class Timeline {
  readonly #start: number;
  readonly #entries: Entry[] = [];

  constructor(start: number) {
    this.#start = start;
  }

  add(at: number, text: string, since?: number): void {
    this.#entries.push(since === undefined ? { at, text } : { at, text, since });
  }

  /** One line an entry, in order of time. */
  lines(): string[] {
    return [...this.#entries]
      .sort((a, b) => a.at - b.at)
      .map(
        ({ at, text, since }) =>
          `${clock(at - this.#start)}  ${text}${since === undefined ? '' : `  ${gap(at - since)}`}`,
      );
  }
}

/** `01:02.3` for 62,345 ms. */
export function clock(ms: number): string {
  const tenths = Math.floor(ms / 100);
  const minutes = Math.floor(tenths / 600);
  const seconds = (tenths % 600) / 10;
  return `${String(minutes).padStart(2, '0')}:${seconds.toFixed(1).padStart(4, '0')}`;
}

function gap(ms: number): string {
  return `+${ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`}`;
}
