/** Reads what pods say of themselves in the text format of Prometheus. A pod need not say anything, and says it at its own pace. */
import { setImmediate } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Logger } from '../../kube-client/logger.ts';
import type { ServerPod } from '../reconcile/ports.ts';

/** Pods of one kind and version that are read; more would say nothing else. */
const podsPerVersion = 16;
/** Pods that are read at once: their texts are all that is held in memory. */
export const atOnce = 64;
const timeoutMs = 1_500;
/** Of a text, and of what is parsed before everything else in the process has its turn. */
const longestBytes = 512 * 1024;

export interface PodMetricsOptions {
  readonly logger: Logger;
  /** Reads a pod's metrics; the default asks over HTTP. Undefined when there are none. */
  readonly read?: (pod: ServerPod) => Promise<string | undefined>;
}

export class PodMetrics {
  readonly #logger: Logger;
  readonly #read: (pod: ServerPod) => Promise<string | undefined>;
  readonly #agent = new Agent({ connectTimeout: timeoutMs, connections: 1, keepAliveTimeout: 10_000 });
  #parsed = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ logger, read = (pod) => this.#get(pod) }: PodMetricsOptions) {
    this.#logger = logger;
    this.#read = read;
  }

  /**
   * What a pod says, as `parse` understands it; never fails. How many are read at once is the caller's affair.
   *
   * @param parse of any text, undefined for one that says nothing
   */
  async read<T>(pod: ServerPod, parse: (text: string) => T | undefined): Promise<T | undefined> {
    try {
      const text = await this.#read(pod);
      if (text === undefined) return undefined;
      await this.#room(text.length);
      return parse(text);
    } catch (error) {
      this.#logger.debug('a pod does not tell its metrics', { address: pod.address, error: String(error) });
      return undefined;
    }
  }

  /** The same of many pods, `atOnce` of them at a time: those that say something. */
  async readAll<T>(
    pods: readonly ServerPod[],
    parse: (text: string) => T | undefined,
  ): Promise<ReadonlyMap<ServerPod, T>> {
    const said = new Map<ServerPod, T>();
    const queue = [...pods];
    const work = async () => {
      for (let pod = queue.pop(); pod !== undefined; pod = queue.pop()) {
        const one = await this.read(pod, parse);
        if (one !== undefined) said.set(pod, one);
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, pods.length) }, work));
    return said;
  }

  async stop(): Promise<void> {
    await this.#agent.destroy();
  }

  /** Many long texts would hold up the whole process, which renews its lease meanwhile: they wait for each other. */
  async #room(bytes: number): Promise<void> {
    this.#parsed += bytes;
    if (this.#parsed > longestBytes) {
      this.#parsed = bytes;
      this.#turn = this.#turn.then(() => setImmediate());
    }
    await this.#turn;
  }

  async #get({ address, port }: ServerPod): Promise<string | undefined> {
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
export function fewOf<P extends ServerPod>(pods: readonly P[]): P[] {
  const sorted = [...pods].sort((a, b) => (a.uid < b.uid ? -1 : 1));
  return [...Map.groupBy(sorted, ({ version }) => version).values()].flatMap((its) =>
    its.slice(0, podsPerVersion),
  );
}
