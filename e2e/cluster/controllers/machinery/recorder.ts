import type { KubeClient } from '../../../../kube-client/client.ts';
import { KubeError } from '../../../../kube-client/errors.ts';
import type { KubeObject } from '../../../../kube-client/object.ts';
import { resources } from '../../../../kube-client/resources.ts';

export type EventType = 'Normal' | 'Warning';

interface Event extends KubeObject {
  count?: number;
}

/** Events said again within this time become a count on the first one. */
const mergeWindowMs = 10 * 60_000;
const maxRemembered = 2000;

/**
 * Writes core/v1 Events as `kubectl describe` shows them. Recording never fails and never delays its caller;
 * an Event that can't be written is logged and forgotten.
 */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #component: string;
  readonly #now: () => number;
  readonly #log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly #said = new Map<string, { name: string; count: number; at: number }>();
  #sequence = 0;
  #chain: Promise<void> = Promise.resolve();

  constructor(
    client: KubeClient,
    component: string,
    now: () => number,
    log: (message: string, fields?: Readonly<Record<string, unknown>>) => void,
  ) {
    this.#client = client;
    this.#component = component;
    this.#now = now;
    this.#log = log;
  }

  /** Says something about an object. */
  record(object: Readonly<KubeObject>, type: EventType, reason: string, message: string): void {
    this.#chain = this.#chain
      .then(() => this.#write(object, type, reason, message))
      .catch((error: unknown) => {
        const known = KubeError.from(error);
        // A namespace that is going takes no new objects; that is no news.
        if (known.code !== 403 && known.code !== 404) {
          this.#log('event not written', { reason, message: known.message });
        }
      });
  }

  /** Resolves when everything said so far is written. */
  async flush(): Promise<void> {
    await this.#chain;
  }

  async #write(
    object: Readonly<KubeObject>,
    type: EventType,
    reason: string,
    message: string,
  ): Promise<void> {
    const namespace = object.metadata.namespace ?? 'default';
    const at = this.#now();
    const timestamp = new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
    const key = [object.metadata.uid, type, reason, message].join('\0');
    const before = this.#said.get(key);
    if (before !== undefined && at - before.at < mergeWindowMs) {
      before.count += 1;
      before.at = at;
      const body = { count: before.count, lastTimestamp: timestamp };
      try {
        await this.#client.patch<Event>(resources.coreEvents, namespace, before.name, body, {
          type: 'merge',
        });
        return;
      } catch (error) {
        if (KubeError.from(error).code !== 404) throw error;
      }
    }
    this.#sequence += 1;
    const suffix = (BigInt(at) * 1_000_000n + BigInt(this.#sequence)).toString(16);
    const name = `${(object.metadata.name ?? '').slice(0, 230)}.${suffix}`;
    if (this.#said.size >= maxRemembered) this.#said.clear();
    this.#said.set(key, { name, count: 1, at });
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name: object.metadata.name,
        namespace: object.metadata.namespace,
        uid: object.metadata.uid,
        resourceVersion: object.metadata.resourceVersion,
      },
      type,
      reason,
      message: message.slice(0, 1024),
      source: { component: this.#component },
      reportingComponent: this.#component,
      reportingInstance: '',
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      count: 1,
    };
    await this.#client.create(resources.coreEvents, namespace, event);
  }
}
