/** What people ask for by annotation. */

import { modelAnnotations, retryAnnotation } from '../api/annotations.ts';
import type { Model, ModelStatus } from '../api/generated/model.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import { optional } from '../api/optional.ts';

/** Asked of a Model; all but `paused` are true for one visit only. */
export interface Requests {
  readonly paused: boolean;
  readonly approve: boolean;
  readonly promote: boolean;
  readonly abort: boolean;
}

const once = ['approve', 'promote', 'abort'] as const;
const longest = 256;

const valueOn = ({ metadata }: Model | ModelVersion, annotation: string): string | undefined =>
  metadata.annotations?.[annotation]?.slice(0, longest);

export function requestsOf(model: Model | undefined): Requests {
  const isNew = (name: (typeof once)[number]): boolean => {
    const value = model === undefined ? undefined : valueOn(model, modelAnnotations[name]);
    return value !== undefined && value !== model?.status?.handled?.[name];
  };
  return {
    paused: model !== undefined && valueOn(model, modelAnnotations.paused) === 'true',
    approve: isNew('approve'),
    promote: isNew('promote'),
    abort: isNew('abort'),
  };
}

/** The values to remember as acted on. */
export function handledOf(model: Model): NonNullable<ModelStatus['handled']> {
  return Object.assign({}, ...once.map((name) => optional(name, valueOn(model, modelAnnotations[name]))));
}

/** Whether somebody asks, for the first time with this value, that a failed version be tried again. */
export function isRetried(version: ModelVersion): boolean {
  const value = handledRetry(version);
  return value !== undefined && value !== version.status?.handledRetry;
}

export const handledRetry = (version: ModelVersion): string | undefined => valueOn(version, retryAnnotation);
