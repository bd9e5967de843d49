/** Load from wrk and h2load, which cost the machine little, so that what they ask is what is measured. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { yardsticks } from '../tools/tools.ts';
import { quantile } from './statistics.ts';

const run = promisify(execFile);

export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Load {
  readonly url: string;
  /** How long, in whole seconds. */
  readonly seconds: number;
  readonly body: Buffer;
  readonly connections: number;
}

/** POSTs of JSON over HTTP/1.1, back to back on each connection. @throws Error when one fails */
export async function http1(load: Load, headers: Readonly<Record<string, string>> = {}): Promise<Measured> {
  const { wrk } = await yardsticks(['wrk']);
  const { url, seconds, body, connections } = load;
  return inFolder(async (folder) => {
    const [script, content] = [join(folder, 'request.lua'), join(folder, 'body')];
    await writeFile(content, body);
    const all = { 'Content-Type': 'application/json', ...headers };
    const lines = [
      'wrk.method = "POST"',
      `wrk.body = io.open(${JSON.stringify(content)}, "rb"):read("*a")`,
      ...Object.entries(all).map(
        ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
      ),
    ];
    await writeFile(script, lines.join('\n'));
    const { stdout } = await run(wrk, [
      ...['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '--latency', '-s', script, url],
    ]);
    const bad = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(stdout);
    if (bad) throw new Error(`wrk at ${url}: ${bad[0]}`);
    const ms = (percent: number) => {
      const [, value, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout) ?? [];
      return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'];
    };
    return {
      perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
      p50Ms: ms(50),
      p99Ms: ms(99),
    };
  });
}

/**
 * Requests as those of gRPC over clear-text HTTP/2, so many at a time on each connection; the body is sent as it is.
 * @throws Error when one fails
 */
export async function grpc(load: Load & { readonly streams: number }): Promise<Measured> {
  const { h2load } = await yardsticks(['h2load']);
  const { url, seconds, body, connections, streams } = load;
  return inFolder(async (folder) => {
    const [log, content] = [join(folder, 'log'), join(folder, 'body')];
    await writeFile(content, body);
    const { stdout } = await run(h2load, [
      ...['-t1', `-c${connections}`, `-m${streams}`, `-D${seconds}`, '-d', content, `--log-file=${log}`],
      ...['-H', 'content-type: application/grpc', '-H', 'te: trailers', url],
    ]);
    const [, done, failed] = /(\d+) succeeded, (\d+) failed/.exec(stdout) ?? [];
    if (done === undefined || Number(failed) > 0) throw new Error(`h2load at ${url}:\n${stdout}`);
    // Start, status and microseconds of each.
    const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '');
    const ms = lines.map((line) => Number(line.split('\t')[2]) / 1000).sort((a, b) => a - b);
    return {
      perSecond: Number(done) / seconds,
      p50Ms: quantile(ms, 0.5),
      p99Ms: quantile(ms, 0.99),
    };
  });
}

async function inFolder<Result>(work: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-load-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
