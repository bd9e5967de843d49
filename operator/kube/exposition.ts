/** PURE: what an inference server says of its requests, in the text format of Prometheus. */
import type { ServerTotals } from '../api/traffic.ts';

/**
 * Failures that are the server's, by the label `reason`. The others are a client's: requests that make no sense or that
 * were given up. Servers that give no reason count all of them as one.
 */
const serverFaults: ReadonlySet<string | undefined> = new Set(['REJECTED', 'BACKEND', undefined]);

/** The families that inference servers customarily have; a label may hold any character but an unescaped quote. */
const sample =
  /^nv_inference_request_(success|failure)(?:_total)?(?:\{((?:[^"{}\n]|"(?:[^"\\\n]|\\.)*")*)\})?[ \t]+([0-9.eE+]+)/gm;
const reason = /(?:^|,)\s*reason="([^"]*)"/;

/** Counters since the server's start, summed over its models; undefined when it has none. */
export function parseExposition(text: string): ServerTotals | undefined {
  let succeeded: number | undefined;
  let faults = 0;
  for (const [, kind, labels = '', count] of text.matchAll(sample)) {
    const value = Number(count);
    if (!Number.isFinite(value)) return undefined;
    if (kind === 'success') succeeded = (succeeded ?? 0) + value;
    else if (serverFaults.has(reason.exec(labels)?.[1])) faults += value;
  }
  return succeeded === undefined ? undefined : { requests: succeeded + faults, failures: faults };
}
