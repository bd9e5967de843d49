/** The router's view of its namespace: informers on Models and EndpointSlices, turned into inputs. */
import { labels } from '#contract';
import type { KubeClient } from '../../kube-client/client.ts';
import { Informer } from '../../kube-client/informer.ts';
import { type Resource, resources } from '../../kube-client/resources.ts';
import type { Logger } from '../logger.ts';
import { type ModelObject, readModel, readSlice, type SliceObject } from './read.ts';
import type { Inputs } from './state.ts';

const models: Resource = {
  group: 'sluice.dev',
  version: 'v1alpha1',
  plural: 'models',
  kind: 'Model',
  namespaced: true,
};

export interface Sources {
  stop(): Promise<void>;
}

/**
 * Calls `onInputs` with everything once both collections are whole, and after each change from then on. Changes
 * that arrive in one turn of the event loop come as one.
 */
export function watchNamespace(
  client: KubeClient,
  namespace: string,
  logger: Logger,
  onInputs: (inputs: Inputs) => void,
): Sources {
  const modelInformer = new Informer<ModelObject>(client, models, {
    namespace,
    logger,
    slim: ({ apiVersion, kind, metadata, spec, status }) => ({
      apiVersion,
      kind,
      metadata,
      ...(spec ? { spec } : {}),
      ...(status ? { status } : {}),
    }),
  });
  const sliceInformer = new Informer<SliceObject>(client, resources.endpointslices, {
    namespace,
    labelSelector: labels.model,
    logger,
  });
  const informers = [modelInformer, sliceInformer];

  let scheduled = false;
  const changed = () => {
    if (scheduled || !informers.every((informer) => informer.hasSynced)) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      onInputs({
        models: modelInformer.list().flatMap((object) => readModel(object) ?? []),
        endpoints: sliceInformer.list().flatMap(readSlice),
      });
    });
  };
  for (const informer of informers) {
    informer.subscribe(changed);
    informer.synced.then(changed, () => {});
    informer.start();
  }
  return {
    async stop() {
      await Promise.all(informers.map((informer) => informer.stop()));
    },
  };
}
