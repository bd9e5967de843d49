/**
 * The router of a namespace: there while the namespace has Models, and without pods while they all have other endpoints.
 * The garbage collector takes it away after the last of them.
 */

import { completeModel } from '../api/defaults.ts';
import { isTerminating } from '../api/kubernetes.ts';
import { usesRouter } from '../decide/endpoint.ts';
import { type RouterConfig, routerObjects } from '../resources/router.ts';
import { byNamespace } from './indexes.ts';
import type { Ports } from './ports.ts';

/** Reconciles the router of a key that is a namespace's name. */
export function routerReconciler(
  { views, writer }: Ports,
  config: RouterConfig,
): (key: string) => Promise<object> {
  return async (namespace) => {
    const models = views.models.by(byNamespace, namespace).filter((model) => !isTerminating(model));
    const space = views.namespaces.get(namespace);
    if (models.length === 0 || space === undefined || isTerminating(space)) return {};
    const replicas = models.some((model) => usesRouter(completeModel(model))) ? config.replicas : 0;
    for (const object of routerObjects(namespace, models, { ...config, replicas })) {
      const key = `${namespace}/${object.metadata.name}`;
      await writer.apply(object, object.kind === 'Deployment' ? views.deployments.get(key) : undefined);
    }
    return {};
  };
}
