/** A study as text. Pure. */

import { bad, type Delays, type FalseAlarms, longestSeconds, type Study } from './study.ts';

/** The 95 % interval of a proportion (Wilson's). */
export function interval(hits: number, total: number): readonly [low: number, high: number] {
  const z = 1.959964;
  const p = hits / total;
  const middle = (p + (z * z) / (2 * total)) / (1 + (z * z) / total);
  const half = (z / (1 + (z * z) / total)) * Math.sqrt((p * (1 - p)) / total + (z * z) / (4 * total * total));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** The value that is not exceeded by that part of the trials; trials that found nothing come last. */
export function quantile(
  { seconds, trials }: Pick<Delays, 'seconds' | 'trials'>,
  part: number,
): number | undefined {
  return seconds[Math.max(0, Math.ceil(part * trials) - 1)];
}

/** All false alarms of one kind. */
export function sum(rows: readonly FalseAlarms[], kind: FalseAlarms['kind']) {
  const own = rows.filter((row) => row.kind === kind);
  return {
    alarms: own.reduce((total, { alarms }) => total + alarms, 0),
    rollouts: own.reduce((total, { rollouts }) => total + rollouts, 0),
  };
}

export function studyReport({ options, falseAlarms, delays }: Study): string[] {
  const steps = options.steps.map(({ weight, holdMs }) => `${weight} % for ${holdMs / 1_000} s`).join(', ');
  return [
    `Seed ${options.seed}. Steps: ${steps}. Looked at every second.`,
    '',
    'False alarms: rollouts in which a candidate failed that was not worse than it may be.',
    '',
    '| errors of stable | requests/s | equal to stable | at the margin |',
    '|---|---|---|---|',
    ...falseAlarms
      .filter(({ kind }) => kind === 'equal')
      .map((row) => {
        const twin = falseAlarms.find(
          (other) =>
            other.kind === 'margin' &&
            other.errors === row.errors &&
            other.requestsPerSecond === row.requestsPerSecond,
        )!;
        const cells = [percent(row.errors), row.requestsPerSecond, ...[row, twin].map(fraction)];
        return `| ${cells.join(' | ')} |`;
      }),
    `| all | | ${(['equal', 'margin'] as const).map((kind) => total(falseAlarms, kind)).join(' | ')} |`,
    '',
    ...(['errors', 'latency'] as const).flatMap((what) => [
      what === 'errors'
        ? `Seconds until ${bad.moreErrors * 100} points more errors are found (${percent(bad.baseErrors)} before), with ${bad.share * 100} % of the traffic.`
        : `Seconds until a candidate is found that takes ${bad.slower} times as long, with ${bad.share * 100} % of the traffic.`,
      '',
      "| requests/s | candidate's | p50 | p90 | p99 | not within an hour |",
      '|---|---|---|---|---|---|',
      ...delays.filter((row) => row.what === what).map(delayRow),
      '',
    ]),
  ];
}

function delayRow(row: Delays): string {
  const times = [0.5, 0.9, 0.99].map((part) => quantile(row, part) ?? `> ${longestSeconds}`);
  const cells = [
    row.requestsPerSecond,
    row.requestsPerSecond * bad.share,
    ...times,
    `${row.trials - row.seconds.length} of ${row.trials}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

const percent = (part: number): string => `${Number((100 * part).toFixed(3))} %`;
const fraction = ({ alarms, rollouts }: { alarms: number; rollouts: number }): string =>
  `${alarms} of ${rollouts}`;

function total(rows: readonly FalseAlarms[], kind: FalseAlarms['kind']): string {
  const { alarms, rollouts } = sum(rows, kind);
  const [low, high] = interval(alarms, rollouts);
  return `${alarms} of ${rollouts}: ${percent(alarms / rollouts)} (95 %: ${percent(low)} to ${percent(high)})`;
}
