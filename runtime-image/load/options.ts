/** The command line of `load`. */
import { parseArgs } from 'node:util';
import { parseDuration } from '../environment.ts';

export interface Options {
  readonly target: { readonly protocol: 'rest' | 'grpc'; readonly address: string };
  readonly request: string;
  /** Absent: the one that the request file names. */
  readonly model: string | undefined;
  readonly version: string | undefined;
  /** Of every request, or its gRPC metadata; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly concurrency: number;
  readonly connections: number;
  readonly rate: number | undefined;
  readonly durationMs: number | undefined;
  readonly count: number | undefined;
  readonly warmupMs: number;
  readonly timeoutMs: number;
  readonly intervalMs: number;
  /** Outputs to print of every answer. */
  readonly print: readonly string[];
}

export const usage = `load: sends requests to an Open Inference Protocol v2 server, checks the answers and measures

  --url http://HOST:PORT   target over REST
  --grpc HOST:PORT         target over gRPC
  --request FILE           request file (JSON): inputs, and what to expect of the outputs
  --model NAME             model; default: the one in the request file
  --version VERSION        ask this version instead of whichever the traffic policy picks
  --header 'NAME: VALUE'   send this header, or gRPC metadata, with every request (repeatable)
  --count N                requests (of a sequence: passes), then end
  --duration 30s           send for this long, then end; with neither: until SIGTERM
  --concurrency N          closed loop of N senders; with --rate the most requests under way (default 1; with --rate 256)
  --rate N                 open loop of N requests a second
  --connections N          connections (default: REST one for each request under way, gRPC 16 at most)
  --warmup 2s              send for this long before anything is counted
  --timeout 10s            give up on an answer after this long
  --interval 1s            print a line this often; 0s: only the summary
  --print NAME             print this output of every answer (repeatable)

It prints JSON lines: {"kind":"start"|"interval"|"failure"|"answer"|"summary"}. The exit code is 0 when every request
was answered as expected, 1 when one was not, and 2 when the command line or the request file is wrong.`;

/** Reads the arguments. Throws an Error that names the wrong one. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    options: {
      url: { type: 'string' },
      grpc: { type: 'string' },
      request: { type: 'string' },
      model: { type: 'string' },
      version: { type: 'string' },
      header: { type: 'string', multiple: true, default: [] },
      count: { type: 'string' },
      duration: { type: 'string' },
      concurrency: { type: 'string' },
      rate: { type: 'string' },
      connections: { type: 'string' },
      warmup: { type: 'string', default: '0s' },
      timeout: { type: 'string', default: '10s' },
      interval: { type: 'string', default: '1s' },
      print: { type: 'string', multiple: true, default: [] },
    },
  });
  if ((values.url === undefined) === (values.grpc === undefined)) {
    throw new Error('exactly one of --url and --grpc is needed');
  }
  if (values.request === undefined) throw new Error('--request is needed');
  const rate = number('--rate', values.rate, 0.001, 1e6);
  const concurrency = whole('--concurrency', values.concurrency) ?? (rate === undefined ? 1 : 256);
  const target =
    values.url === undefined
      ? ({ protocol: 'grpc', address: hostAndPort(values.grpc ?? '') } as const)
      : ({ protocol: 'rest', address: origin(values.url) } as const);
  return {
    target,
    request: values.request,
    model: values.model,
    version: values.version,
    headers: Object.fromEntries(values.header.map(header)),
    concurrency,
    connections: whole('--connections', values.connections) ?? connectionsFor(target, concurrency),
    rate,
    durationMs: values.duration === undefined ? undefined : duration('--duration', values.duration),
    count: whole('--count', values.count),
    warmupMs: duration('--warmup', values.warmup),
    timeoutMs: duration('--timeout', values.timeout),
    intervalMs: duration('--interval', values.interval),
    print: values.print,
  };
}

/**
 * Over HTTP/1.1 a request that waits for a connection uses up its time before it is sent, and so do all behind it: a
 * server that was slow for a moment would never be seen to have recovered.
 */
function connectionsFor({ protocol }: Options['target'], concurrency: number): number {
  return protocol === 'rest' ? concurrency : Math.min(concurrency, 16);
}

function header(text: string): [string, string] {
  const [, name, value] = /^([A-Za-z0-9][\w-]*):[ ]*([!-~](?:[ -~]*[!-~])?)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new Error(`--header ${text} is not 'NAME: VALUE'`);
  return [name.toLowerCase(), value];
}

function origin(text: string): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new Error(`--url ${text} is no http address`);
  }
  return url.origin;
}

function hostAndPort(text: string): string {
  if (!/^[^/\s]+:\d{1,5}$/.test(text)) throw new Error(`--grpc ${text} is not HOST:PORT`);
  return text;
}

function duration(name: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new Error(`${name} ${text} is no duration such as 500ms, 30s or 2m`);
  return ms;
}

function whole(name: string, text: string | undefined): number | undefined {
  const value = number(name, text, 1, 1e9);
  if (value !== undefined && !Number.isInteger(value)) throw new Error(`${name} ${text} is no whole number`);
  return value;
}

function number(name: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value >= min && value <= max)) throw new Error(`${name} ${text} is no number from ${min} to ${max}`);
  return value;
}
