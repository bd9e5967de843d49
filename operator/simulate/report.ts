/** A simulation as text. Pure. */

import { readable } from '../api/duration.ts';
import type { Totals } from '../api/traffic.ts';
import { anytimePValue } from '../decide/analysis/e-process.ts';
import { alphas } from '../decide/analysis/evidence.ts';
import { area, axis, bars, columns, type Point, type Style } from './chart.ts';
import { countOf, type Moment, type Simulation } from './simulation.ts';

const rows = 8;

/** Everything that there is to tell, line by line. */
export function report(simulation: Simulation, style: Style): string[] {
  return [
    ...chart(simulation, style),
    '',
    '  Timeline',
    ...simulation.lines.map(
      ({ atMs, reason, message }) => `  ${time(atMs).padStart(12)}  ${reason.padEnd(16)} ${message}`,
    ),
    '',
    '  Outcome',
    `    ${outcome(simulation)}`,
    '',
    '  Requests',
    ...requests(simulation),
  ];
}

function chart({ moments, scenario }: Simulation, style: Style): string[] {
  const lengthMs = moments.at(-1)?.atMs ?? 0;
  const drawn = (value: (moment: Moment, before: Moment | undefined) => number): number[] => {
    const points: Point[] = moments.map((moment, index) => ({
      atMs: moment.atMs,
      value: value(moment, moments[index - 1]),
    }));
    return columns(points, style.width, lengthMs);
  };
  const rate = (version: string) =>
    drawn(({ traffic }, before) => {
      const now = countOf(traffic, version);
      const then = before === undefined ? now : countOf(before.traffic, version);
      const count = now.requests - then.requests;
      return count === 0 ? 0 : (now.errors - then.errors) / count;
    });
  const [candidate, stable] = [rate(scenario.candidate), rate(scenario.stable)];
  const worst = Math.max(...candidate, ...stable);
  const enough = -Math.log(alphas.errors);
  // Each test has a threshold of its own; what it has beyond the lowest is taken off.
  const apart = Math.log(alphas.errors / alphas.slowness);
  const proof = drawn(({ evidence: { errors, slowness } }) => Math.max(errors.peak, slowness.peak - apart));
  return [
    `  Share of ${scenario.candidate}`,
    ...area(
      drawn(({ weight }) => weight),
      rows,
      style,
    ),
    ...axis(lengthMs, time, style),
    '',
    `  Failed requests each second; the highest is ${percent(worst)}`,
    bars('stable', stable, worst, style),
    bars('new', candidate, worst, style),
    '',
    '  Evidence against it; a full bar is enough to roll back',
    bars('', proof, enough, style),
  ];
}

function outcome({ outcome: { kind, atMs, reason, message }, scenario, moments }: Simulation): string {
  if (kind === 'promoted') return `${scenario.candidate} was promoted after ${readable(atMs)}`;
  if (kind === 'unfinished') return `not finished after ${readable(atMs)}: ${message}`;
  const first = moments.find(({ weight }) => weight > 0)?.atMs;
  const since =
    first === undefined ? 'it never had traffic' : `${readable(atMs - first)} after its first request`;
  return `${scenario.candidate} was rolled back after ${readable(atMs)}, ${since}: ${reason}: ${message}`;
}

function requests({ requests: counted, unanswered, scenario, moments }: Simulation): string[] {
  const { stable, candidate } = scenario;
  const lines = [stable, candidate].map((version) => {
    const { requests: count, errors } = counted.get(version) ?? nothing;
    const part = count === 0 ? '' : percent(errors / count);
    return `    ${version.padEnd(16)} ${grouped(count).padStart(12)} ${grouped(errors).padStart(10)} failed ${part}`;
  });
  const evidence = moments.findLast(({ evidence: { candidate: c } }) => c.requests > 0)?.evidence;
  const p = evidence && [evidence.errors, evidence.slowness].map(anytimePValue);
  const own = counted.get(candidate) ?? nothing;
  const other = counted.get(stable) ?? nothing;
  const expected = other.requests === 0 ? 0 : (own.requests * other.errors) / other.requests;
  return [
    ...lines.map((line) => line.trimEnd()),
    `    found nobody     ${grouped(unanswered).padStart(12)}`,
    `    failed because of the rollout: about ${grouped(Math.max(0, Math.round(own.errors - expected)) + unanswered)}`,
    ...(p === undefined ? [] : [`    p of errors ${small(p[0]!)}, of latency ${small(p[1]!)}`]),
  ];
}

const nothing: Pick<Totals, 'requests' | 'errors'> = { requests: 0, errors: 0 };
const percent = (part: number): string => `${(100 * part).toFixed(2)} %`;
const small = (p: number): string => (p < 1e-4 ? '< 0.0001' : p.toFixed(4));
const grouped = (count: number): string => Math.round(count).toLocaleString('en-US');

/** A time from the beginning on. */
function time(ms: number): string {
  return ms === 0 ? '0 s' : readable(ms);
}
