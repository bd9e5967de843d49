/**
 * Recorded traffic: JSON lines, one a second, each a report of a router in the words of `telemetry.proto`, with its
 * time in `at` when it has one. Counters only grow; numbers may be written as text, as protobuf's JSON does.
 */

import { noTraffic, type Traffic } from '../api/traffic.ts';
import { compareVersions } from '../decide/version-order.ts';
import { RouterLedger } from '../kube/router-ledger.ts';
import type { Report } from '../kube/router-report.ts';
import type { Source } from './source.ts';

const namespace = 'recorded';
const uid = 'recorded';

interface Frame {
  readonly atMs: number;
  readonly traffic: Traffic;
}

/** Plays a recording; it takes no notice of shares, for it has happened already. */
export class Recording implements Source {
  readonly unanswered = 0;
  readonly #frames: readonly Frame[];

  private constructor(frames: readonly Frame[]) {
    this.#frames = frames;
  }

  /**
   * @param model which one, where reports speak of several
   * @throws Error that names the line which is wrong
   */
  static parse(text: string, model?: string): Recording {
    const ledger = new RouterLedger();
    const frames: Frame[] = [];
    let first: number | undefined;
    const lines = text.split('\n').map((line) => line.trim());
    for (const [index, line] of lines.entries()) {
      if (line === '') continue;
      try {
        const { at, report } = reportOf(JSON.parse(line), model);
        const time = at ?? (first ?? 0) + frames.length * 1_000;
        first ??= time;
        ledger.take(namespace, report.router, report, time);
        const traffic = ledger.traffic(namespace, uid);
        const atMs = time - first;
        if (atMs < (frames.at(-1)?.atMs ?? 0)) throw new Error('at: it lies before the line before');
        // Routers that report at the same time make one frame.
        if (frames.at(-1)?.atMs === atMs) frames.pop();
        frames.push({ atMs, traffic });
      } catch (error) {
        throw new Error(`line ${index + 1}: ${(error as Error).message}`, { cause: error });
      }
    }
    if (frames.length === 0) throw new Error('it holds no line');
    return new Recording(frames);
  }

  /** Versions in ascending order. */
  get versions(): readonly string[] {
    return [...this.#frames.at(-1)!.traffic.versions.keys()].sort((a, b) =>
      compareVersions({ version: a, createdAt: '' }, { version: b, createdAt: '' }),
    );
  }

  get lengthMs(): number {
    return this.#frames.at(-1)!.atMs;
  }

  advance(): void {}

  /** Since each router's first line: what was counted before it is nobody's. */
  read(atMs: number): Traffic {
    return this.#frames.findLast((frame) => frame.atMs <= atMs)?.traffic ?? noTraffic;
  }
}

/** One line for `Recording` to read again. */
export function lineOf(atMs: number, { boundsMs, versions }: Traffic, model: string): string {
  return JSON.stringify({
    at: atMs,
    router: 'simulated',
    epoch: 'simulated',
    latencyBoundsMs: boundsMs,
    models: [{ model, uid, versions: [...versions].map(([version, totals]) => ({ version, ...totals })) }],
  });
}

type Fields = Readonly<Record<string, unknown>>;

function reportOf(value: unknown, wanted: string | undefined): { at?: number; report: Report } {
  const line = fields('the line', value);
  const models = list('models', line['models'] ?? []).map((each) => fields('models[]', each));
  const model = models.find(({ model: name }) => wanted === undefined || name === wanted);
  if (model === undefined) {
    const known = models.map(({ model: name }) => String(name)).join(', ');
    throw new Error(wanted === undefined ? 'models: there is none' : `models: ${wanted} is none of ${known}`);
  }
  const { at } = line;
  const time = at === undefined ? undefined : typeof at === 'string' ? Date.parse(at) : number('at', at);
  if (time !== undefined && Number.isNaN(time)) throw new Error(`at: ${JSON.stringify(at)} is no time`);
  const report: Report = {
    router: String(line['router'] ?? ''),
    epoch: String(line['epoch'] ?? ''),
    latencyBoundsMs: list('latencyBoundsMs', line['latencyBoundsMs'] ?? []).map((bound) =>
      number('latencyBoundsMs[]', bound),
    ),
    models: [
      {
        model: String(model['model'] ?? ''),
        uid,
        generation: 0,
        versions: list('versions', model['versions'] ?? []).map((each) => {
          const counted = fields('versions[]', each);
          if (typeof counted['version'] !== 'string') throw new Error('versions[].version: it is missing');
          return {
            version: counted['version'],
            servers: 0,
            inFlight: 0,
            requests: number('requests', counted['requests'] ?? 0),
            errors: number('errors', counted['errors'] ?? 0),
            latency: list('latency', counted['latency'] ?? []).map((count) => number('latency[]', count)),
            timed: number('timed', counted['timed'] ?? 0),
          };
        }),
      },
    ],
  };
  return time === undefined ? { report } : { at: time, report };
}

function fields(name: string, value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${name}: it is no object`);
  return value as Fields;
}

function list(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${name}: it is no list`);
  return value;
}

function number(name: string, value: unknown): number {
  const read = typeof value === 'string' && value !== '' ? Number(value) : value;
  if (typeof read !== 'number' || !Number.isFinite(read) || read < 0)
    throw new Error(`${name}: ${JSON.stringify(value)} is no count`);
  return read;
}
