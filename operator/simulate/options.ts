/** The command line of the simulator. */

import { parseArgs } from 'node:util';
import { milliseconds } from '../api/duration.ts';
import { type Deed, deeds } from './simulation.ts';
import type { Behaviour } from './traffic.ts';

export interface Options {
  readonly study: boolean;
  readonly seed: number;
  /** File with a Model; absent means the defaults. */
  readonly model: string | undefined;
  /** Recording to play. */
  readonly from: string | undefined;
  /** File to record to. */
  readonly record: string | undefined;
  /** Which of several models a recording is about. */
  readonly modelName: string | undefined;
  readonly versions: { readonly stable: string | undefined; readonly candidate: string | undefined };
  readonly requestsPerSecond: number;
  readonly behaviours: { readonly stable: Behaviour; readonly candidate: Behaviour };
  readonly spread: number;
  readonly badFromMs: number;
  readonly replicas: number;
  readonly startMs: number;
  readonly lagMs: number;
  readonly actions: readonly { readonly atMs: number; readonly deed: Deed }[];
  readonly limitMs: number | undefined;
  readonly rollouts: number;
  readonly trials: number;
  readonly width: number | undefined;
  readonly ascii: boolean;
  readonly json: boolean;
}

export const usage = `npm run simulate -- [OPTIONS]: a rollout of a candidate, decided as the operator decides it, drawn in the terminal

  the policy
    --model FILE             a Model (YAML); only its rollout, rollback and retention matter. Default: the defaults
  the traffic
    --rps N                  requests a second (100); --no-traffic is --rps 0
    --stable-errors P        part of stable's requests that fail: 0.1% or 0.001 (0.1%)
    --candidate-errors P     the same of the candidate (as stable's)
    --stable-latency D       median time of a request (20ms)
    --candidate-latency D    the same of the candidate (as stable's)
    --spread S               standard deviation of the logarithm of times (0.5)
    --bad-from D             the candidate behaves as stable does until then (0s)
    --from FILE              recorded traffic instead: JSON lines, a router's reports (see docs/rollouts.md)
    --model-name M, --stable V, --candidate V   which model and versions of the recording
    --record FILE            writes the made-up traffic as such a recording
  what happens, from the moment that the candidate is applied
    --crash-at D, --unready-at D, --ready-at D                the candidate's pods
    --approve-at, --promote-at, --abort-at, --pause-at, --resume-at, --retry-at D   people
    --replicas N (2), --start D (5s), --lag D (100ms)         pods, their start, a status' way to the routers
    --until D                when to stop waiting (what the steps need, and 10 minutes)
  the study
    --study                  false alarms and detection delays of many rollouts instead of one
    --rollouts N (10000), --trials N (200)
  --seed N (1), --width N, --ascii, --json, --help

Durations are written like 90s, 1m30s, 500ms.`;

const text = { type: 'string' } as const;
const flag = { type: 'boolean', default: false } as const;
const happenings = Object.fromEntries(
  deeds.map((deed) => [`${deed}-at`, { ...text, multiple: true }] as const),
);

/** @throws Error that names the option which is wrong; `undefined` when help was asked for */
export function readOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: text,
      rps: text,
      'no-traffic': flag,
      'stable-errors': text,
      'candidate-errors': text,
      'stable-latency': text,
      'candidate-latency': text,
      spread: text,
      'bad-from': text,
      from: text,
      'model-name': text,
      stable: text,
      candidate: text,
      record: text,
      replicas: text,
      start: text,
      lag: text,
      until: text,
      study: flag,
      rollouts: text,
      trials: text,
      seed: text,
      width: text,
      ascii: flag,
      json: flag,
      help: flag,
      ...happenings,
    },
  });
  if (values.help) return undefined;
  const given = values as Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  const read = <T>(name: string, standard: T, parse: (value: string) => T): T => {
    const value = given[name];
    if (typeof value !== 'string') return standard;
    try {
      return parse(value);
    } catch (error) {
      throw new Error(`--${name}: ${(error as Error).message}`, { cause: error });
    }
  };
  const stable = {
    errors: read('stable-errors', 0.001, proportion),
    latencyMs: read('stable-latency', 20, positive),
  };
  return {
    study: values.study,
    seed: read('seed', 1, whole(0)),
    model: values.model,
    from: values.from,
    record: values.record,
    modelName: values['model-name'],
    versions: { stable: values.stable, candidate: values.candidate },
    requestsPerSecond: values['no-traffic'] ? 0 : read('rps', 100, count),
    behaviours: {
      stable,
      candidate: {
        errors: read('candidate-errors', stable.errors, proportion),
        latencyMs: read('candidate-latency', stable.latencyMs, positive),
      },
    },
    spread: read('spread', 0.5, (value) => {
      const spread = count(value);
      if (spread === 0) throw new Error('it must be above 0');
      return spread;
    }),
    badFromMs: read('bad-from', 0, milliseconds),
    replicas: read('replicas', 2, whole(1)),
    startMs: read('start', values.from === undefined ? 5_000 : 0, milliseconds),
    lagMs: read('lag', 100, milliseconds),
    actions: deeds.flatMap((deed) => {
      const times = (given[`${deed}-at`] ?? []) as readonly string[];
      return times.map((value) => {
        try {
          return { atMs: milliseconds(value), deed };
        } catch (error) {
          throw new Error(`--${deed}-at: ${(error as Error).message}`, { cause: error });
        }
      });
    }),
    limitMs: read<number | undefined>('until', undefined, milliseconds),
    rollouts: read('rollouts', 10_000, whole(1)),
    trials: read('trials', 200, whole(1)),
    width: read<number | undefined>('width', undefined, whole(20)),
    ascii: values.ascii,
    json: values.json,
  };
}

function count(value: string): number {
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number) || number < 0 || number > 1e6)
    throw new Error(`${JSON.stringify(value)} is no number from 0 to 1000000`);
  return number;
}

const whole =
  (least: number) =>
  (value: string): number => {
    const number = count(value);
    if (!Number.isInteger(number) || number < least)
      throw new Error(`${JSON.stringify(value)} is no whole number from ${least}`);
    return number;
  };

function positive(value: string): number {
  const ms = milliseconds(value);
  if (ms === 0) throw new Error('it must be above 0');
  return ms;
}

/** `0.1%` or `0.001`. */
function proportion(value: string): number {
  const part = value.endsWith('%') ? count(value.slice(0, -1)) / 100 : count(value);
  if (part > 1) throw new Error(`${JSON.stringify(value)} is more than all`);
  return part;
}
