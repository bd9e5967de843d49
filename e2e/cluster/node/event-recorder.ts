/** Events about pods and the node: equal ones are counted up, and a flood about one object is cut. */
import { randomBytes } from 'node:crypto';
import { isNotFound, KubeError } from '../../../kube-client/errors.ts';
import { resources } from '../../../kube-client/resources.ts';
import type { Pod } from './pod.ts';
import { timestamp } from './pod-status.ts';
import type { Api, Clock, Logger } from './ports.ts';

export interface ObjectReference {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly fieldPath?: string;
}

export interface Note {
  readonly about: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** At most this many at once about one object, and then one each five minutes: client-go's measure against floods. */
const burst = 25;
const refillMilliseconds = 300_000;
/** Distinct events remembered for counting. */
const remembered = 4096;
/** Messages longer than this are refused by the API server. */
const longestMessage = 1024;

interface Known {
  readonly name: string;
  readonly namespace: string;
  count: number;
  work: Promise<void>;
}

interface Budget {
  tokens: number;
  at: number;
}

export class EventRecorder {
  readonly #api: Api;
  readonly #host: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #known = new Map<string, Known>();
  readonly #budgets = new Map<string, Budget>();
  readonly #pending = new Set<Promise<void>>();

  constructor(options: { api: Api; host: string; clock: Clock; logger: Logger }) {
    this.#api = options.api;
    this.#host = options.host;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  record(note: Note): void {
    const { about, type, reason } = note;
    const message = note.message.slice(0, longestMessage);
    const object = `${about.kind}/${about.namespace ?? ''}/${about.name}/${about.uid ?? ''}`;
    if (!this.#mayRecord(object)) return;
    const key = JSON.stringify([object, about.fieldPath, type, reason, message]);
    const now = timestamp(this.#clock.now());
    const known = this.#known.get(key);
    if (known) {
      known.count++;
      const { count } = known;
      this.#follow(known, () =>
        this.#api
          .patch(
            resources.coreEvents,
            known.namespace,
            known.name,
            { count, lastTimestamp: now },
            { type: 'strategic' },
          )
          .catch((error: unknown) => {
            // It expired: begin anew next time.
            if (isNotFound(error)) this.#known.delete(key);
            else throw error;
          }),
      );
      return;
    }
    const namespace = about.namespace ?? 'default';
    const name = `${about.name}.${randomBytes(8).toString('hex')}`;
    const fresh: Known = { name, namespace, count: 1, work: Promise.resolve() };
    this.#known.set(key, fresh);
    if (this.#known.size > remembered) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    this.#follow(fresh, () =>
      this.#api.create(resources.coreEvents, namespace, {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace },
        involvedObject: about,
        type,
        reason,
        message,
        source: { component: 'kubelet', host: this.#host },
        reportingComponent: 'kubelet',
        reportingInstance: this.#host,
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      }),
    );
  }

  /** Resolves when everything recorded so far was sent or given up. */
  async flush(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  #follow(known: Known, send: () => Promise<unknown>): void {
    const work = known.work.then(send).then(
      () => {},
      (error: unknown) => this.#logger.debug('event not recorded', { error: KubeError.from(error).message }),
    );
    known.work = work;
    this.#pending.add(work);
    void work.finally(() => this.#pending.delete(work));
  }

  #mayRecord(object: string): boolean {
    const now = this.#clock.now();
    const budget = this.#budgets.get(object) ?? { tokens: burst, at: now };
    budget.tokens = Math.min(burst, budget.tokens + (now - budget.at) / refillMilliseconds);
    budget.at = now;
    this.#budgets.delete(object);
    this.#budgets.set(object, budget);
    if (this.#budgets.size > remembered) {
      const [oldest] = this.#budgets.keys();
      if (oldest !== undefined) this.#budgets.delete(oldest);
    }
    if (budget.tokens < 1) return false;
    budget.tokens--;
    return true;
  }
}

/** How an event names a pod, or one of its containers. */
export function referenceTo(pod: Pod, container?: string): ObjectReference {
  const { name, namespace, uid, resourceVersion } = pod.metadata;
  const list = pod.spec.initContainers?.some((init) => init.name === container)
    ? 'initContainers'
    : 'containers';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    namespace,
    name,
    uid,
    ...(resourceVersion ? { resourceVersion } : {}),
    ...(container ? { fieldPath: `spec.${list}{${container}}` } : {}),
  };
}
