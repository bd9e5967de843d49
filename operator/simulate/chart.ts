/** Values over time, drawn with characters. Pure. */

export interface Point {
  readonly atMs: number;
  readonly value: number;
}

export interface Style {
  /** Columns for the values. */
  readonly width: number;
  /** Whether only ASCII may be used. */
  readonly ascii: boolean;
}

const eighths = ' ▁▂▃▄▅▆▇█';
const tenths = ' .:-=+*#%@';

/** The last value of each column's time; a column without one repeats the one before. */
export function columns(points: readonly Point[], width: number, lengthMs: number): number[] {
  const found = new Array<number | undefined>(width).fill(undefined);
  for (const { atMs, value } of points) {
    const column = Math.min(width - 1, Math.floor((atMs / Math.max(1, lengthMs)) * width));
    found[column] = value;
  }
  let before = 0;
  return found.map((value) => {
    before = value ?? before;
    return before;
  });
}

/** Percentages as a filled area, from 0 to 100, with a scale to its left. */
export function area(values: readonly number[], rows: number, { ascii }: Style): string[] {
  return Array.from({ length: rows }, (_, index) => {
    const row = rows - 1 - index;
    const text = values.map((value) => {
      const filled = Math.min(1, Math.max(0, (value / 100) * rows - row));
      if (ascii) return filled >= 0.5 ? '#' : ' ';
      // What is above 0 is seen, however little it is.
      const level = Math.max(value > 0 && row === 0 ? 1 : 0, Math.round(filled * 8));
      return eighths[level]!;
    });
    const label = (row + 1) % 2 === 0 ? `${Math.round(((row + 1) / rows) * 100)} %` : '';
    return `${label.padStart(8)} ${ascii ? '|' : '│'}${text.join('')}`.trimEnd();
  });
}

/** The line below an area, and its times. */
export function axis(lengthMs: number, timeOf: (ms: number) => string, { width, ascii }: Style): string[] {
  const middle = timeOf(lengthMs / 2);
  const end = timeOf(lengthMs);
  const left = `${timeOf(0)}`.padEnd(Math.floor(width / 2)) + middle;
  return [
    `${'0 %'.padStart(8)} ${ascii ? '+' : '└'}${(ascii ? '-' : '─').repeat(width)}`,
    `${' '.repeat(10)}${left.padEnd(Math.max(left.length + 1, width - end.length))}${end}`,
  ];
}

/** One row of small bars, of which `full` is the highest. */
export function bars(label: string, values: readonly number[], full: number, { ascii }: Style): string {
  const levels = ascii ? tenths : eighths;
  const text = values.map((value) => {
    const part = full <= 0 ? 0 : Math.min(1, Math.max(0, value / full));
    return levels[Math.min(levels.length - 1, Math.ceil(part * (levels.length - 1)))]!;
  });
  return `${label.padStart(8)} ${ascii ? '|' : '│'}${text.join('')}`.trimEnd();
}
