/** How benchmarks say what they found: a line of JSON for each measurement, and tables of Markdown at the end. */
import { cpus, loadavg } from 'node:os';

/** The machine and how busy it is, which every figure needs beside it. */
export function machine(): string {
  const [{ model = 'unknown' } = {}] = cpus();
  return `${cpus().length} × ${model}, load average ${loadavg()[0]!.toFixed(1)}`;
}

export function printTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  for (const cells of [head, head.map(() => '---'), ...rows]) console.log(`| ${cells.join(' | ')} |`);
}
