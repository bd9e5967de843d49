/** A Kubernetes API in memory, as far as a node uses it. For tests of this room only; `node-server.test.ts` holds the
 * real server to the same expectations. */
import { randomUUID } from 'node:crypto';
import { setImmediate as soon } from 'node:timers/promises';
import { KubeError } from '../../../kube-client/errors.ts';
import type { KubeObject } from '../../../kube-client/object.ts';
import type { Resource } from '../../../kube-client/resources.ts';
import type { Pod } from './pod.ts';
import type { Api, View } from './ports.ts';

type Stored = KubeObject & {
  spec?: { nodeName?: string; terminationGracePeriodSeconds?: number };
  status?: object;
};

export interface FakeApi extends Api {
  /** Objects of a kind. */
  all<T>(resource: Resource): T[];
  /** Objects that are gone, as they were last, the latest at the end. */
  readonly graveyard: readonly KubeObject[];
  /** Creates or replaces, as an outsider. */
  put(resource: Resource, object: object): void;
  /** Removes at once, whatever it is. */
  drop(resource: Resource, key: string): void;
  /** Deletes a pod as a user does: with its grace. */
  deletePod(key: string, grace?: number): void;
  /** Makes the next calls of a verb fail. */
  fail(verb: string, times: number, code: number): void;
  /** Calls so far, as `verb plural`. */
  readonly calls: string[];
}

export function fakeApi(): FakeApi {
  const store = new Map<string, Map<string, Stored>>();
  const views = new Set<{ plural: string; tell: (before?: Stored, now?: Stored) => void }>();
  const failures = new Map<string, { times: number; code: number }>();
  const calls: string[] = [];
  const graveyard: KubeObject[] = [];
  let version = 0;
  const collection = ({ plural }: Resource) => {
    const found = store.get(plural) ?? new Map<string, Stored>();
    store.set(plural, found);
    return found;
  };
  const keyOf = (namespace: string | undefined, name: string) => (namespace ? `${namespace}/${name}` : name);
  const write = (resource: Resource, key: string, object: Stored | undefined) => {
    const objects = collection(resource);
    const before = objects.get(key);
    const now = object && {
      ...object,
      metadata: {
        ...object.metadata,
        resourceVersion: String(++version),
        uid: object.metadata.uid ?? randomUUID(),
      },
    };
    if (now) objects.set(key, now);
    else if (before) {
      objects.delete(key);
      graveyard.push(before);
    }
    for (const view of views) if (view.plural === resource.plural) view.tell(before, now);
    return now;
  };
  const enter = async (verb: string, resource: Resource) => {
    await soon();
    calls.push(`${verb} ${resource.plural}`);
    const failure = failures.get(verb);
    if (failure && failure.times > 0) {
      failure.times--;
      throw new KubeError({ code: failure.code, reason: 'Injected', message: 'injected failure' });
    }
  };
  const find = (resource: Resource, key: string) => {
    const object = collection(resource).get(key);
    if (object) return object;
    throw new KubeError({ code: 404, reason: 'NotFound', message: `${resource.plural} "${key}" not found` });
  };
  return {
    calls,
    graveyard,
    fail: (verb, times, code) => void failures.set(verb, { times, code }),
    all: <T>(resource: Resource) => [...collection(resource).values()] as T[],
    put(resource, object) {
      const { metadata } = object as Stored;
      write(resource, keyOf(metadata.namespace, metadata.name ?? ''), structuredClone(object) as Stored);
    },
    drop: (resource, key) => void write(resource, key, undefined),
    deletePod(key, grace) {
      const resource = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };
      const pod = find(resource, key);
      const seconds = grace ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
      if (seconds === 0) return void write(resource, key, undefined);
      const metadata = {
        ...pod.metadata,
        deletionTimestamp: new Date(Date.now() + seconds * 1000).toISOString(),
        deletionGracePeriodSeconds: seconds,
      };
      write(resource, key, { ...pod, metadata });
    },
    async get<T>(resource: Resource, namespace: string | undefined, name: string) {
      await enter('get', resource);
      return structuredClone(find(resource, keyOf(namespace, name))) as T;
    },
    async create<T>(
      resource: Resource,
      namespace: string | undefined,
      object: unknown,
      o: { subresource?: string } = {},
    ) {
      await enter('create', resource);
      if (o.subresource === 'token') {
        const expirationTimestamp = new Date(Date.now() + 3600_000).toISOString();
        return { status: { token: `token-${++version}`, expirationTimestamp } } as T;
      }
      const created = structuredClone(object) as Stored;
      const key = keyOf(namespace, created.metadata.name ?? '');
      if (collection(resource).has(key)) {
        throw new KubeError({ code: 409, reason: 'AlreadyExists', message: `${key} already exists` });
      }
      return write(resource, key, {
        ...created,
        metadata: { ...created.metadata, ...(namespace ? { namespace } : {}) },
      }) as T;
    },
    async replace<T>(resource: Resource, namespace: string | undefined, name: string, object: unknown) {
      await enter('replace', resource);
      return write(resource, keyOf(namespace, name), structuredClone(object) as Stored) as T;
    },
    async patch<T>(resource: Resource, namespace: string | undefined, name: string, body: unknown) {
      await enter('patch', resource);
      const object = find(resource, keyOf(namespace, name));
      const { metadata } = body as { metadata?: { uid?: string } };
      if (metadata?.uid && metadata.uid !== object.metadata.uid) {
        throw new KubeError({ code: 409, reason: 'Conflict', message: 'uid mismatch' });
      }
      return write(
        resource,
        keyOf(namespace, name),
        merge(object, JSON.parse(JSON.stringify(body))) as Stored,
      ) as T;
    },
    async delete(resource, namespace, name, o = {}) {
      await enter('delete', resource);
      const object = find(resource, keyOf(namespace, name));
      if (o.preconditions?.uid && o.preconditions.uid !== object.metadata.uid) {
        throw new KubeError({ code: 409, reason: 'Conflict', message: 'uid mismatch' });
      }
      write(resource, keyOf(namespace, name), undefined);
    },
    view<T extends KubeObject>(resource: Resource, o: { fieldSelector?: string } = {}): View<T> {
      const node = /^spec\.nodeName=(.*)$/.exec(o.fieldSelector ?? '')?.[1];
      const shows = (object: Stored | undefined) =>
        object && (node === undefined || object.spec?.nodeName === node)
          ? (object as unknown as T)
          : undefined;
      const handlers = new Set<(event: { key: string; now?: T; before?: T }) => void>();
      const event = (key: string, before: T | undefined, now: T | undefined) => ({
        key,
        ...(before ? { before } : {}),
        ...(now ? { now } : {}),
      });
      const view = {
        plural: resource.plural,
        tell(before?: Stored, now?: Stored) {
          const old = shows(before);
          const fresh = shows(now);
          const { namespace, name = '' } = (now ?? before)?.metadata ?? {};
          // As a watch does: later, and in order.
          if (old || fresh)
            queueMicrotask(() => {
              for (const handler of handlers) handler(event(keyOf(namespace, name), old, fresh));
            });
        },
      };
      const list = () => [...collection(resource).values()].flatMap((object) => shows(object) ?? []);
      return {
        start: () => void views.add(view),
        stop: async () => void views.delete(view),
        synced: Promise.resolve(),
        get: (key) => shows(collection(resource).get(key)),
        list,
        subscribe(handler) {
          for (const now of list())
            handler({ key: keyOf(now.metadata.namespace, now.metadata.name ?? ''), now });
          handlers.add(handler);
          return () => handlers.delete(handler);
        },
      };
    },
  };
}

/** JSON merge, with lists of conditions merged by type. */
function merge(target: unknown, patch: unknown, key = ''): unknown {
  if (Array.isArray(patch) && key === 'conditions') {
    const old = Array.isArray(target) ? (target as { type: string }[]) : [];
    const fresh = patch as { type: string }[];
    const merged = old.map((item) => merge(item, fresh.find(({ type }) => type === item.type) ?? {}));
    const added = fresh.filter(({ type }) => !old.some((item) => item.type === type));
    return [...merged, ...added.map((item) => merge({}, item))];
  }
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(target as object) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merge(result[name], value, name);
  }
  return result;
}

/** A pod as the API would store it. */
export function podObject(
  name: string,
  spec: Pod['spec'],
  metadata: Partial<Pod['metadata']> = {},
): Pod & { apiVersion: 'v1'; kind: 'Pod' } {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'default', uid: randomUUID(), generation: 1, ...metadata, name },
    spec,
  };
}
