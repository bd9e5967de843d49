import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { PodTemplate } from '../machinery/kinds.ts';

/** Label that tells the pods of one replica set from those of another. */
export const hashLabel = 'pod-template-hash';

/** Letters that make no words and can't be mistaken for each other. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** JSON with the keys of every object in order, so that equal values give equal text. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** A name-safe hash of ten letters of a template; another `collisionCount` gives another hash. */
export function templateHash(template: PodTemplate, collisionCount = 0): string {
  const digest = createHash('sha256')
    .update(`${collisionCount}\n${canonical(withoutHash(template))}`)
    .digest();
  return [...digest.subarray(0, 10)].map((byte) => alphabet[byte % alphabet.length]).join('');
}

/** Whether two templates make the same pods; the hash label doesn't count. */
export function sameTemplate(left: PodTemplate, right: PodTemplate): boolean {
  return isDeepStrictEqual(withoutHash(left), withoutHash(right));
}

function withoutHash(template: PodTemplate): PodTemplate {
  const { [hashLabel]: _hash, ...labels } = template.metadata?.labels ?? {};
  const { creationTimestamp: _at, ...metadata } = template.metadata ?? {};
  return { ...template, metadata: { ...metadata, labels } };
}
