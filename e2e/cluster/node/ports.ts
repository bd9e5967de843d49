/** What the node needs of the world: the API server, a clock and a logger. Tests pass their own. */
import type { KubeClient } from '../../../kube-client/client.ts';
import { Informer } from '../../../kube-client/informer.ts';
import type { KubeObject } from '../../../kube-client/object.ts';
import type { Resource } from '../../../kube-client/resources.ts';

export interface Logger {
  debug(message: string, details?: object): void;
  info(message: string, details?: object): void;
  warn(message: string, details?: object): void;
  error(message: string, details?: object): void;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once after that many milliseconds; the result cancels. */
  after(milliseconds: number, callback: () => void): () => void;
}

/** A timer cannot wait longer than 2^31 - 1 ms; a longer one would fire at once. */
const longestTimer = 2 ** 31 - 1;

export const realClock: Clock = {
  now: () => Date.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, Math.min(Math.max(0, milliseconds), longestTimer));
    return () => clearTimeout(timer);
  },
};

/** A watched collection. */
export interface View<T> {
  start(): void;
  stop(): Promise<void>;
  readonly synced: Promise<void>;
  get(key: string): Readonly<T> | undefined;
  list(): readonly Readonly<T>[];
  /** Also replays what is there. */
  subscribe(handler: (event: { key: string; now?: T; before?: T }) => void): () => void;
}

export interface ViewOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** The Kubernetes API as this room uses it. */
export interface Api extends Pick<KubeClient, 'get' | 'create' | 'patch' | 'replace' | 'delete'> {
  view<T extends KubeObject>(resource: Resource, options?: ViewOptions): View<T>;
}

/** The API of a real client. */
export function apiOf(client: KubeClient, logger: Logger): Api {
  return {
    get: (resource, namespace, name) => client.get(resource, namespace, name),
    create: (resource, namespace, object, options) => client.create(resource, namespace, object, options),
    patch: (resource, namespace, name, body, options) =>
      client.patch(resource, namespace, name, body, options),
    replace: (resource, namespace, name, object, options) =>
      client.replace(resource, namespace, name, object, options),
    delete: (resource, namespace, name, options) => client.delete(resource, namespace, name, options),
    view: <T extends KubeObject>(resource: Resource, options?: ViewOptions) =>
      new Informer<T>(client, resource, { ...options, logger }),
  };
}
