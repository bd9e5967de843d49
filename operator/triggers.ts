/**
 * Which change makes which key worth a visit. A key says which object, never what happened: the visit looks for
 * itself. Enqueueing too much costs a visit that changes nothing; enqueueing too little is a defect.
 */
import { labels } from '#contract';
import { completeModel } from './api/defaults.ts';
import type { Model } from './api/generated/model.ts';
import type { KubernetesObject, Pod } from './api/kubernetes.ts';
import { usesRouter } from './decide/endpoint.ts';
import type { Caches } from './kube/caches.ts';
import { byModel, byNamespace } from './reconcile/indexes.ts';
import { routerName, versionChildName } from './resources/names.ts';

export interface Targets {
  /** `namespace/name` of a Model. */
  model(key: string): void;
  /** Name of a GPUPool. */
  pool(name: string): void;
  /** Name of a namespace. */
  router(namespace: string): void;
}

/** Subscribes to everything; all that is there counts as changed. @returns ends the subscriptions. */
export function connectTriggers(
  caches: Caches,
  isRouter: (pod: Pod) => boolean,
  targets: Targets,
): () => void {
  const modelsIn = (namespace: string) => {
    for (const { metadata } of caches.models.by(byNamespace, namespace))
      targets.model(`${namespace}/${metadata.name}`);
  };
  const allPools = () => {
    for (const { metadata } of caches.pools.list()) targets.pool(metadata.name);
  };
  const routed = () => {
    for (const model of caches.models.list()) {
      const { metadata, spec } = completeModel(model);
      if (spec.endpoint.provider === 'gateway') targets.model(`${metadata.namespace}/${metadata.name}`);
    }
  };
  const child = (object: KubernetesObject) => {
    const { namespace = '', name } = object.metadata;
    const model = object.metadata.labels?.[labels.model];
    if (model !== undefined) targets.model(`${namespace}/${model}`);
    if (name === routerName) targets.router(namespace);
    // An object of somebody else may stand where a child should, and its end makes room.
    else if (model === undefined) for (const key of claimants(caches, namespace, name)) targets.model(key);
  };
  const ends = [
    caches.models.subscribe(({ key, now, before }) => {
      targets.model(key);
      const object = (now ?? before)!;
      if (isNewOrGone(now, before) || needsRouter(now) !== needsRouter(before))
        targets.router(object.metadata.namespace ?? '');
    }),
    caches.versions.subscribe(({ now, before }) => {
      for (const version of [now, before]) {
        if (version !== undefined) targets.model(`${version.metadata.namespace}/${version.spec.model}`);
      }
    }),
    caches.pools.subscribe(({ key }) => {
      targets.pool(key);
      for (const { metadata, spec } of caches.versions.list()) {
        if (spec.placement.pool === key) targets.model(`${metadata.namespace}/${spec.model}`);
      }
    }),
    caches.nodes.subscribe(allPools),
    caches.pods.subscribe(({ now, before }) => {
      const pod = (now ?? before)!;
      const { namespace = '' } = pod.metadata;
      const model = pod.metadata.labels?.[labels.model];
      if (model !== undefined) targets.model(`${namespace}/${model}`);
      if (isRouter(pod)) modelsIn(namespace);
      if (usesNode(now) !== usesNode(before)) allPools();
    }),
    caches.deployments.subscribe(({ now, before }) => child((now ?? before)!)),
    caches.services.subscribe(({ now, before }) => child((now ?? before)!)),
    ...Object.values(caches.routes).flatMap((view) => [
      view.subscribe(({ now, before }) => child((now ?? before)!)),
      view.onState(routed),
    ]),
    ...caches.owned.map((view) =>
      view.subscribe(({ now, before }) => targets.router((now ?? before)!.metadata.namespace ?? '')),
    ),
    caches.namespaces.subscribe(({ key, now, before }) => {
      modelsIn(key);
      if (isNewOrGone(now, before)) targets.router(key);
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** Keys of models that have, or would have, a child of this name. */
function claimants(caches: Caches, namespace: string, name: string): string[] {
  return caches.models.by(byNamespace, namespace).flatMap(({ metadata }) => {
    const key = `${namespace}/${metadata.name}`;
    const versions = caches.versions.by(byModel, key);
    return metadata.name === name ||
      versions.some((version) => versionChildName(version.metadata.name) === name)
      ? [key]
      : [];
  });
}

function isNewOrGone(now: KubernetesObject | undefined, before: KubernetesObject | undefined): boolean {
  return (
    now === undefined ||
    before === undefined ||
    now.metadata.deletionTimestamp !== before.metadata.deletionTimestamp ||
    now.metadata.uid !== before.metadata.uid
  );
}

const needsRouter = (model: Model | undefined): boolean =>
  model !== undefined && usesRouter(completeModel(model));

/** The node whose resources a pod takes, or nothing. */
function usesNode(pod: Pod | undefined): string | undefined {
  const phase = pod?.status?.phase;
  return phase === 'Succeeded' || phase === 'Failed' ? undefined : pod?.spec?.nodeName;
}
