import { labels } from '#contract';
import type { Model } from '../api/generated/model.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type { OwnerReference } from '../api/kubernetes.ts';

/** On every object that Sluice makes, by the conventions of app.kubernetes.io. */
export const managedBy = { 'app.kubernetes.io/managed-by': 'sluice' } as const;

/** Selects the pods of one version, and only those. */
export const versionSelector = ({ spec }: ModelVersion): Record<string, string> => ({
  [labels.model]: spec.model,
  [labels.version]: spec.version,
});

/** Labels of everything that belongs to a version. */
export const versionLabels = (version: ModelVersion): Record<string, string> => ({
  ...managedBy,
  'app.kubernetes.io/name': version.spec.model,
  'app.kubernetes.io/version': version.spec.version,
  'app.kubernetes.io/component': 'server',
  ...versionSelector(version),
});

/** Makes `owner` the one controller of a child, so that the child goes with it. */
export function controlledBy(owner: Model | ModelVersion): OwnerReference[] {
  return [{ ...reference(owner), controller: true, blockOwnerDeletion: true }];
}

/** Makes a child go when the last of its owners has gone. */
export const ownedBy = (owners: readonly (Model | ModelVersion)[]): OwnerReference[] =>
  [...owners].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)).map(reference);

function reference({ apiVersion, kind, metadata }: Model | ModelVersion): OwnerReference {
  if (metadata.uid === undefined) throw new TypeError(`${kind} ${metadata.name} has no uid`);
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid };
}
