/** Values that a pod may ask about itself. Pure. */

import { parseQuantity } from '../quantity.ts';
import type { Container, FieldRef, Pod, Quantities, ResourceFieldRef } from './pod.ts';
import { allContainers } from './pod.ts';

export interface Place {
  readonly podAddress: string;
  readonly hostAddress: string;
  /** What stands in for a limit that is not given. */
  readonly allocatable: Quantities;
}

/** @throws RangeError for a field that cannot be asked for. */
export function fieldValue(pod: Pod, { fieldPath }: FieldRef, place: Place): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (subscript) {
    const map = subscript[1] === 'labels' ? metadata.labels : metadata.annotations;
    return map?.[subscript[2] ?? ''] ?? '';
  }
  switch (fieldPath) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace;
    case 'metadata.uid':
      return metadata.uid;
    case 'metadata.labels':
      return formatMap(metadata.labels);
    case 'metadata.annotations':
      return formatMap(metadata.annotations);
    case 'spec.nodeName':
      return spec.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? '';
    case 'status.podIP':
    case 'status.podIPs':
      return place.podAddress;
    case 'status.hostIP':
    case 'status.hostIPs':
      return place.hostAddress;
    default:
      throw new RangeError(`unsupported fieldPath: ${fieldPath}`);
  }
}

/** @throws RangeError for a resource or container that does not exist. */
export function resourceValue(
  pod: Pod,
  self: Container | undefined,
  ref: ResourceFieldRef,
  place: Place,
): string {
  const container = ref.containerName
    ? allContainers(pod.spec).find(({ name }) => name === ref.containerName)
    : self;
  if (!container) throw new RangeError(`container ${ref.containerName ?? ''} not found`);
  const match = /^(requests|limits)\.(.+)$/.exec(ref.resource);
  if (!match) throw new RangeError(`unsupported container resource : ${ref.resource}`);
  const [, kind, name = ''] = match;
  const own = kind === 'limits' ? container.resources?.limits?.[name] : container.resources?.requests?.[name];
  const written = own ?? (kind === 'limits' ? place.allocatable[name] : undefined) ?? 0;
  const divisor = parseQuantity(ref.divisor ?? 1) || 1;
  return String(Math.ceil(Number((parseQuantity(written) / divisor).toPrecision(15))));
}

/** One `key="value"` a line, as the downward API writes maps. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}
