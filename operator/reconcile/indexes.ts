/** Indexes of the caches: what gathering looks things up by. */

import { labels } from '#contract';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type { Pod, Service } from '../api/kubernetes.ts';
import { routerSelector } from '../resources/router.ts';
import { modelServiceLabel } from '../resources/services.ts';

export const byModel = 'model';
export const byNamespace = 'namespace';
export const byVersion = 'version';
export const byRouterNamespace = 'router';
export const byNode = 'node';

/** Value of `byVersion`. */
export const versionKey = (namespace: string, model: string, version: string): string =>
  `${namespace}/${model}/${version}`;

export const versionIndexes = {
  [byModel]: ({ metadata, spec }: ModelVersion): string[] => [`${metadata.namespace}/${spec.model}`],
};

export const modelIndexes = {
  [byNamespace]: ({ metadata }: { metadata: { namespace?: string } }): string[] => [metadata.namespace ?? ''],
};

export const podIndexes = {
  [byVersion]: ({ metadata }: Pod): string[] => {
    const model = metadata.labels?.[labels.model];
    const version = metadata.labels?.[labels.version];
    return model === undefined || version === undefined
      ? []
      : [versionKey(metadata.namespace ?? '', model, version)];
  },
  [byRouterNamespace]: ({ metadata }: Pod): string[] =>
    Object.entries(routerSelector).every(([key, value]) => metadata.labels?.[key] === value)
      ? [metadata.namespace ?? '']
      : [],
  [byNode]: ({ spec }: Pod): string[] => (spec?.nodeName === undefined ? [] : [spec.nodeName]),
};

export const serviceIndexes = {
  /** Services of models, by namespace: their target ports are the record of which port is taken. */
  [byNamespace]: ({ metadata }: Service): string[] =>
    metadata.labels?.[modelServiceLabel] === undefined ? [] : [metadata.namespace ?? ''],
};
