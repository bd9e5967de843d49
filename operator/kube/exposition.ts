/** PURE: what an inference server says of its requests and of its start, and `fetch` of what it fetches, in Prometheus's text format. */
import { artifactMetrics, startMetrics } from '#contract';
import { optional } from '../api/optional.ts';
import type { Fetching, Started } from '../api/starts.ts';
import type { ServerTotals } from '../api/traffic.ts';

/**
 * Failures that are the server's, by the label `reason`. The others are a client's: requests that make no sense or that
 * were given up. Servers that give no reason count all of them as one.
 */
const serverFaults: ReadonlySet<string | undefined> = new Set(['REJECTED', 'BACKEND', undefined]);

/** Samples of some families: name, labels, value. A label may hold any character but an unescaped quote. */
const samplesOf = (names: string): RegExp =>
  new RegExp(
    `^(${names})(?:\\{((?:[^"{}\\n]|"(?:[^"\\\\\\n]|\\\\.)*")*)\\})?[ \\t]+([0-9.][-+0-9.eE]*)`,
    'gm',
  );

/** The families that inference servers customarily have. */
const requests = samplesOf('nv_inference_request_(?:success|failure)(?:_total)?');
const reason = /(?:^|,)\s*reason="([^"]*)"/;

/** Counters since the server's start, summed over its models; undefined when it has none. */
export function parseExposition(text: string): ServerTotals | undefined {
  let succeeded: number | undefined;
  let faults = 0;
  for (const [, kind, labels = '', count] of text.matchAll(requests)) {
    const value = Number(count);
    if (!Number.isFinite(value)) return undefined;
    if (kind?.includes('success')) succeeded = (succeeded ?? 0) + value;
    else if (serverFaults.has(reason.exec(labels)?.[1])) faults += value;
  }
  return succeeded === undefined ? undefined : { requests: succeeded + faults, failures: faults };
}

const artifact = samplesOf(`${artifactMetrics.fetched}|${artifactMetrics.size}`);

/** How far `fetch` is; undefined when it does not say. */
export function parseFetching(text: string): Fetching | undefined {
  const values = new Map([...text.matchAll(artifact)].map(([, name, , value]) => [name, Number(value)]));
  const bytes = (name: string) => {
    const value = values.get(name);
    return value !== undefined && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  };
  const fetchedBytes = bytes(artifactMetrics.fetched);
  const size = bytes(artifactMetrics.size);
  if (fetchedBytes === undefined) return undefined;
  // Sizes are what sources announce, and what has come is the truth.
  return {
    fetchedBytes,
    ...optional('sizeBytes', size !== undefined && size >= fetchedBytes ? size : undefined),
  };
}

const start = samplesOf(Object.values(startMetrics).join('|'));
/** The words of the pod's own image; any other is not repeated. */
const word = (labels: string, name: string): string | undefined =>
  new RegExp(`(?:^|,)\\s*${name}="([a-z0-9-]{1,32})"`).exec(labels)?.[1];

/** How a server started; undefined when it does not say. */
export function parseStarted(text: string): Started | undefined {
  const values = new Map<string, number>();
  let provider: string | undefined;
  let wantedProvider: string | undefined;
  for (const [, name = '', labels = '', count] of text.matchAll(start)) {
    const value = Number(count);
    if (!Number.isFinite(value) || value < 0) return undefined;
    values.set(name, value);
    if (name !== startMetrics.provider || value !== 1) continue;
    provider = word(labels, 'provider');
    wantedProvider = word(labels, 'wanted');
  }
  const load = values.get(startMetrics.loadSeconds);
  const seconds = load === undefined ? undefined : load + (values.get(startMetrics.warmUpSeconds) ?? 0);
  if (seconds === undefined && provider === undefined) return undefined;
  return {
    ...optional('loadSeconds', seconds === undefined ? undefined : Number(seconds.toFixed(3))),
    ...optional('provider', provider),
    ...optional('wantedProvider', wantedProvider),
  };
}
