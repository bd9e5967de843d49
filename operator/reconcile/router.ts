/** The router of a namespace: there while the namespace has Models; the garbage collector takes it away after them. */

import { isTerminating } from '../api/kubernetes.ts';
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
    for (const object of routerObjects(namespace, models, config)) {
      const key = `${namespace}/${object.metadata.name}`;
      await writer.apply(object, object.kind === 'Deployment' ? views.deployments.get(key) : undefined);
    }
    return {};
  };
}
