/** Names of children. Deterministic, so that a second visit finds what the first one made. */

import { createHash } from 'node:crypto';

/** The router of a namespace: its Deployment, Service account, role binding and disruption budget. */
export const routerName = 'sluice-router';

/**
 * Name of a version's Deployment and headless Service. A Service may not have dots, so the name is made fit and told
 * apart by a hash of what it was: `vad-6.0.0` becomes `vad-6-0-0-` and 8 hex digits.
 */
export function versionChildName(modelVersion: string): string {
  const hash = createHash('sha256').update(modelVersion).digest('hex').slice(0, 8);
  const fit = modelVersion
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+/g, '')
    .slice(0, 40)
    .replaceAll(/-+$/g, '');
  return `${fit === '' ? 'mv' : fit}-${hash}`;
}
