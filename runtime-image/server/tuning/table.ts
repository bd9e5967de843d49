/** What was measured, for people, and as fields of a ModelVersion. Pure. */
import { delayFor, type Measured } from './candidates.ts';

const columns = ['workers', 'threads', 'batchSize', 'rowsPerSecond', 'p50', 'p99'] as const;
const titles = ['workers', 'threads', 'batch', 'rows/s', 'p50 ms', 'p99 ms'];

/** Right-aligned; the chosen row is marked. */
export function table(measured: readonly Measured[], chosen: Measured | undefined): string {
  const rows = [titles, ...measured.map((one) => columns.map((column) => String(one[column])))];
  const widths = titles.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  return rows
    .map((row, index) => {
      const cells = row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ');
      return `${index > 0 && measured[index - 1] === chosen ? '*' : ' '} ${cells}`;
    })
    .join('\n');
}

/** The part of a ModelVersion that makes a server run like that, as YAML. */
export function fields({ workers, threads, batchSize }: Measured, targetMs: number): string {
  const batching =
    batchSize > 1 ? `\n    batching: {maxSize: ${batchSize}, maxDelay: ${delayFor(targetMs)}ms}` : '';
  return `spec:\n  server:\n    workers: ${workers}\n    threads: ${threads}${batching}`;
}
