/** What is left when everything has come to rest, without what differs between two runs that came to the same. */
import type { KubeObject } from '../../kube-client/object.ts';
import { resources } from '../../kube-client/resources.ts';
import type { Model } from '../../operator/api/generated/model.ts';
import { kinds, type World } from './world.ts';

const written = [
  kinds.models,
  kinds.versions,
  resources.deployments,
  resources.services,
  resources.serviceaccounts,
  resources.rolebindings,
  resources.poddisruptionbudgets,
];

/** Fields that two clean runs do not share: times, identities, counters of the server, and what depends on when one looked. */
const masked = new Set([
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'managedFields',
  'clusterIP',
  'clusterIPs',
  'nodePort',
  'lastTransitionTime',
  'lastUpdateTime',
  'stableSince',
  'startedAt',
  'since',
  'at',
  'idleSince',
  'generation',
  'observedGeneration',
  'history',
  'message',
  'deployment.kubernetes.io/revision',
  'sluice.dev/applied',
  'pod',
]);

/** Objects by `Kind name`. */
export async function outcome(world: World): Promise<Record<string, unknown>> {
  const lists = await Promise.all(written.map((resource) => world.list<KubeObject>(resource)));
  const entries = lists.flat().map((object) => [`${object.kind} ${object.metadata.name}`, mask(object)]);
  return Object.fromEntries(entries.sort(([a], [b]) => String(a).localeCompare(String(b))));
}

function mask(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mask);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !masked.has(key))
      .map(([key, child]) => [key, mask(child)])
      .sort(([a], [b]) => String(a).localeCompare(String(b))),
  );
}

/** What is wrong with a status of a Model by the rules that hold at every moment. */
export function violations(status: NonNullable<Model['status']>): string[] {
  const traffic = status.traffic ?? [];
  const sum = traffic.reduce((total, { weight }) => total + weight, 0);
  const latched = new Set(status.latched?.map(({ version }) => version));
  return [
    ...(traffic.length > 0 && Math.abs(sum - 100) > 1e-9 ? [`shares add up to ${sum}`] : []),
    ...traffic
      .filter(({ version, weight }) => weight > 0 && latched.has(version))
      .map(({ version }) => `latched ${version} has traffic`),
  ];
}
