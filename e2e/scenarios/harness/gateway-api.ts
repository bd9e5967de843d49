/**
 * The Gateway API for scenarios: its route kinds, and somebody who does what an implementation's controller does.
 *
 * The definitions below are ours: the parts of HTTPRoute and GRPCRoute v1 that Sluice writes, with the limits that the
 * public API reference gives them, and nothing else, so that the API server refuses any field beside them. A cluster that has
 * the published definitions keeps and uses those.
 */
import type { KubeClient } from '../../../kube-client/client.ts';
import { isNotFound } from '../../../kube-client/errors.ts';
import { Informer } from '../../../kube-client/informer.ts';
import { type Resource, resources } from '../../../kube-client/resources.ts';
import type { Metadata } from './kinds.ts';
import type { Kubectl, Manifest } from './kubectl.ts';

const group = 'gateway.networking.k8s.io';
const place = { group, version: 'v1', namespaced: true } as const;
export const routeKinds = [
  { ...place, plural: 'httproutes', kind: 'HTTPRoute' },
  { ...place, plural: 'grpcroutes', kind: 'GRPCRoute' },
] as const satisfies readonly Resource[];

const nameOf = ({ plural }: Resource): string => `${plural}.${group}`;

/** Installs the kinds that the cluster does not have. @returns takes away what was installed */
export async function installGatewayApi(client: KubeClient, shell: Kubectl): Promise<() => Promise<void>> {
  const installed: string[] = [];
  for (const kind of routeKinds) {
    const name = nameOf(kind);
    try {
      await client.get(resources.customresourcedefinitions, undefined, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await client.create(resources.customresourcedefinitions, undefined, definition(kind));
      installed.push(`crd/${name}`);
    }
    await shell.kubectl(['wait', '--for=condition=Established', `crd/${name}`, '--timeout=30s']);
  }
  return async () => {
    if (installed.length > 0) await shell.kubectl(['delete', ...installed, '--timeout=60s']);
  };
}

/** Whether the cluster has the routes of the Gateway API. */
export async function hasGatewayApi(client: KubeClient): Promise<boolean> {
  try {
    await client.get(resources.customresourcedefinitions, undefined, nameOf(routeKinds[0]));
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

const list = (items: object, maxItems: number) => ({
  type: 'array',
  maxItems,
  items,
  'x-kubernetes-list-type': 'atomic',
});
const text = (maxLength: number, more: object = {}) => ({ type: 'string', minLength: 1, maxLength, ...more });
const object = (properties: object, required: readonly string[] = []) => ({
  type: 'object',
  properties,
  ...(required.length > 0 ? { required } : {}),
});

function definition(kind: (typeof routeKinds)[number]): Manifest {
  const header = object({ type: { type: 'string', enum: ['Exact'] }, name: text(256), value: text(4096) }, [
    'name',
    'value',
  ]);
  const headers = {
    type: 'array',
    maxItems: 16,
    items: header,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
  };
  const path = object({
    type: { type: 'string', enum: ['Exact', 'PathPrefix', 'RegularExpression'] },
    value: { type: 'string', maxLength: 1024 },
  });
  const set = {
    type: 'array',
    maxItems: 16,
    items: object({ name: text(256), value: text(4096) }, ['name', 'value']),
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
  };
  const filter = object(
    {
      type: { type: 'string', enum: ['ResponseHeaderModifier'] },
      responseHeaderModifier: object({ set }),
    },
    ['type'],
  );
  const backendRef = object(
    {
      name: text(253),
      port: { type: 'integer', format: 'int32', minimum: 1, maximum: 65_535 },
      weight: { type: 'integer', format: 'int32', minimum: 0, maximum: 1_000_000, default: 1 },
      filters: list(filter, 16),
    },
    ['name'],
  );
  const match = kind.kind === 'HTTPRoute' ? { path, headers } : { headers };
  const rule = object({ matches: list(object(match), 64), backendRefs: list(backendRef, 16) });
  const parentRef = object(
    {
      group: { type: 'string', maxLength: 253, default: group },
      kind: text(63, { default: 'Gateway' }),
      namespace: text(63),
      name: text(253),
      sectionName: text(253),
    },
    ['name'],
  );
  const condition = object(
    {
      type: text(316),
      status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
      observedGeneration: { type: 'integer', format: 'int64', minimum: 0 },
      lastTransitionTime: { type: 'string', format: 'date-time' },
      reason: text(1024),
      message: { type: 'string', maxLength: 32_768 },
    },
    ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
  );
  const parent = object(
    {
      parentRef,
      controllerName: text(253),
      conditions: {
        type: 'array',
        minItems: 1,
        maxItems: 8,
        items: condition,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['type'],
      },
    },
    ['parentRef', 'controllerName', 'conditions'],
  );
  const hostname = text(253, {
    pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
  });
  const spec = object({
    parentRefs: list(parentRef, 32),
    hostnames: list(hostname, 16),
    rules: { ...list(rule, 16), minItems: 1 },
  });
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: nameOf(kind),
      // Groups of Kubernetes are guarded: whoever defines a kind in one says on what authority.
      annotations: { 'api-approved.kubernetes.io': 'unapproved, a part of the kind for tests' },
    },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind: kind.kind,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
        listKind: `${kind.kind}List`,
      },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: object(
              {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec,
                status: object({ parents: list(parent, 32) }, ['parents']),
              },
              ['spec'],
            ),
          },
        },
      ],
    },
  };
}

export interface Route {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata & { readonly name: string; readonly generation?: number };
  readonly spec: {
    readonly parentRefs?: readonly { readonly name: string }[];
    readonly hostnames?: readonly string[];
    readonly rules?: readonly {
      readonly matches?: readonly object[];
      readonly backendRefs?: readonly { readonly name: string; readonly weight?: number }[];
    }[];
  };
  readonly status?: {
    readonly parents?: readonly {
      readonly conditions: readonly {
        readonly type: string;
        readonly status: string;
        readonly observedGeneration?: number;
      }[];
    }[];
  };
}

/** What it says of every route. */
export type Opinion = 'accept' | 'refuse' | 'look away';

/**
 * Does to the routes of a namespace what a controller of Gateways does, as far as a route's status goes: for each parent it says
 * whether it accepts the route and can resolve what it refers to, and for which generation. No request passes through it.
 */
export class StandInController {
  readonly #client: KubeClient;
  readonly #informers: readonly Informer<Route>[];
  readonly #handlers = new Set<() => void>();
  #opinion: Opinion = 'accept';

  private constructor(client: KubeClient, namespace: string) {
    this.#client = client;
    this.#informers = routeKinds.map((kind) => new Informer<Route>(client, kind, { namespace }));
  }

  static async start(client: KubeClient, namespace: string): Promise<StandInController> {
    const controller = new StandInController(client, namespace);
    for (const informer of controller.#informers) {
      informer.subscribe(({ now }) => {
        if (now !== undefined) controller.#look(informer, now);
        for (const handler of [...controller.#handlers]) handler();
      });
      informer.start();
    }
    await Promise.all(controller.#informers.map(({ synced }) => synced));
    return controller;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.stop()));
  }

  /** Thinks so from now on, also of the routes that are there. */
  think(opinion: Opinion): void {
    this.#opinion = opinion;
    for (const informer of this.#informers) for (const route of informer.list()) this.#look(informer, route);
  }

  /** Routes of the namespace. */
  routes(): readonly Route[] {
    return this.#informers.flatMap((informer) => informer.list());
  }

  /** The first truthy value of `look`, which is asked now and whenever a route has changed. */
  until<T>(
    what: string,
    look: (routes: readonly Route[]) => T | undefined | false,
    timeoutMs = 60_000,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#handlers.delete(attempt);
        clearTimeout(timer);
        act();
      };
      const attempt = () => {
        const found = look(this.routes());
        if (found) settle(() => resolve(found));
      };
      const timer = setTimeout(() => {
        const seen = JSON.stringify(this.routes().map(({ kind, spec, status }) => ({ kind, spec, status })));
        settle(() => reject(new Error(`waited ${timeoutMs / 1000} s for ${what}; routes: ${seen}`)));
      }, timeoutMs);
      this.#handlers.add(attempt);
      attempt();
    });
  }

  #look(informer: Informer<Route>, route: Route): void {
    if (this.#opinion === 'look away') return;
    const { namespace, name, generation = 0 } = route.metadata;
    const accepted = this.#opinion === 'accept';
    const condition = (type: string, yes: boolean, reason: string) => ({
      type,
      status: yes ? 'True' : 'False',
      observedGeneration: generation,
      reason,
      message: '',
    });
    const wanted = [
      condition('Accepted', accepted, accepted ? 'Accepted' : 'NotAllowedByListeners'),
      condition('ResolvedRefs', true, 'ResolvedRefs'),
    ];
    const said = route.status?.parents ?? [];
    const known = said.every(({ conditions }) =>
      wanted.every(({ type, status }) =>
        conditions.some(
          (one) => one.type === type && one.status === status && one.observedGeneration === generation,
        ),
      ),
    );
    if (known && said.length === route.spec.parentRefs?.length) return;
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const parents = (route.spec.parentRefs ?? []).map((parentRef) => ({
      parentRef,
      controllerName: 'sluice.dev/stand-in',
      conditions: wanted.map((each) => ({ ...each, lastTransitionTime: now })),
    }));
    const { resource } = informer;
    // A route that has changed meanwhile is looked at again, since its change is an event.
    this.#client
      .replace(resource, namespace, name, { ...route, status: { parents } }, { subresource: 'status' })
      .catch(() => undefined);
  }
}
