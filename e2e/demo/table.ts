/** The live table, as text. Pure. */

export interface Row {
  readonly version: string;
  readonly phase: string;
  /** Percent. */
  readonly weight: number;
  readonly ready: number;
  readonly pods: number;
  readonly requests: number;
  readonly errors: number;
  /** Milliseconds. */
  readonly p50?: number;
  readonly p99?: number;
}

/** Colours parts of the table; the identity where there are none. */
export interface Paint {
  head(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  busy(text: string): string;
  faint(text: string): string;
}

const barWidth = 20;

/** The lines of the table, its header first. */
export function table(rows: readonly Row[], paint: Paint): string[] {
  const header = `  ${'VERSION'.padEnd(9)}${'PHASE'.padEnd(13)}${'WEIGHT'.padStart(7)}  ${' '.repeat(barWidth)}  ${'READY'.padEnd(7)}${'REQUESTS'.padStart(9)}${'ERRORS'.padStart(8)}${'P50'.padStart(9)}${'P99'.padStart(9)}`;
  return [paint.head(header), ...rows.map((row) => line(row, paint))];
}

function line(row: Row, paint: Paint): string {
  const { version, phase, weight, ready, pods, requests, errors, p50, p99 } = row;
  const enough = ready >= pods && pods > 0;
  const tone = phase === 'Failed' ? paint.bad : weight === 0 ? paint.faint : enough ? paint.good : paint.busy;
  const counts = `${count(requests).padStart(9)}`;
  const failed = `${count(errors)}`.padStart(8);
  return [
    '  ',
    version.padEnd(9),
    tone(phase.padEnd(13)),
    `${percent(weight)} %`.padStart(7),
    '  ',
    tone(bar(weight)),
    '  ',
    `${ready}/${pods}`.padEnd(7),
    counts,
    errors > 0 ? paint.bad(failed) : failed,
    time(p50).padStart(9),
    time(p99).padStart(9),
  ].join('');
}

/** The same on one line, for logs. */
export function summary(rows: readonly Row[]): string {
  return rows
    .map(({ version, phase, weight, ready, pods, requests, errors }) => {
      return `${version} ${phase} ${percent(weight)} % ${ready}/${pods} ready, ${count(requests)} requests, ${errors} errors`;
    })
    .join(' | ');
}

function bar(weight: number): string {
  const eighths = Math.round((weight / 100) * barWidth * 8);
  const full = '█'.repeat(Math.floor(eighths / 8));
  const rest = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8]!;
  return (full + rest).padEnd(barWidth, '·');
}

function percent(weight: number): string {
  return Number.isInteger(weight) ? `${weight}` : weight.toFixed(2);
}

/** A number with thousands apart. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** Milliseconds as people read them. */
export function time(ms: number | undefined): string {
  if (ms === undefined) return '–';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
