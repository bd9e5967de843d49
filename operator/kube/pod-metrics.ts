/** Reads what pods say of themselves in the text format of Prometheus. A pod need not say anything, and says it at its own pace. */
import { Agent, request } from 'undici';
import type { Logger } from '../../kube-client/logger.ts';

/** Pods of one kind and version that are read; more would say nothing else. */
const podsPerVersion = 16;
const atOnce = 32;
const timeoutMs = 1_500;
const longestBytes = 4 * 1024 * 1024;

export interface MetricsPod {
  readonly version: string;
  readonly uid: string;
  readonly address: string;
  /** Port of its metrics. */
  readonly port: number;
}

export interface PodMetricsOptions {
  readonly logger: Logger;
  /** Reads a pod's metrics; the default asks over HTTP. Undefined when there are none. */
  readonly read?: (pod: MetricsPod) => Promise<string | undefined>;
}

export class PodMetrics {
  readonly #logger: Logger;
  readonly #read: (pod: MetricsPod) => Promise<string | undefined>;
  readonly #agent = new Agent({ connectTimeout: timeoutMs, connections: 1, keepAliveTimeout: 10_000 });

  constructor({ logger, read = (pod) => this.#get(pod) }: PodMetricsOptions) {
    this.#logger = logger;
    this.#read = read;
  }

  /** What pods say, of those that do; never fails. */
  async read<P extends MetricsPod>(pods: readonly P[]): Promise<ReadonlyMap<P, string>> {
    const said = new Map<P, string>();
    const queue = [...pods];
    const work = async () => {
      for (let pod = queue.pop(); pod !== undefined; pod = queue.pop()) {
        const text = await this.#ask(pod);
        if (text !== undefined) said.set(pod, text);
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, pods.length) }, work));
    return said;
  }

  async stop(): Promise<void> {
    await this.#agent.destroy();
  }

  async #ask(pod: MetricsPod): Promise<string | undefined> {
    try {
      return await this.#read(pod);
    } catch (error) {
      this.#logger.debug('a pod does not say what it counted', {
        address: pod.address,
        error: String(error),
      });
      return undefined;
    }
  }

  async #get({ address, port }: MetricsPod): Promise<string | undefined> {
    const host = address.includes(':') ? `[${address}]` : address;
    const { statusCode, body } = await request(`http://${host}:${port}/metrics`, {
      dispatcher: this.#agent,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      bytes += chunk.length;
      // Breaking off closes the connection, so nothing more is read.
      if (bytes > longestBytes) return undefined;
      chunks.push(chunk);
    }
    return statusCode === 200 ? Buffer.concat(chunks).toString('utf8') : undefined;
  }
}

/** A few pods of each version, the same every time as long as they are there. */
export function fewOf<P extends MetricsPod>(pods: readonly P[]): P[] {
  const sorted = [...pods].sort((a, b) => (a.uid < b.uid ? -1 : 1));
  return [...Map.groupBy(sorted, ({ version }) => version).values()].flatMap((its) =>
    its.slice(0, podsPerVersion),
  );
}
