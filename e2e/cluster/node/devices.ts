/** Gives out the node's extended resources one by one, each device to one container at a time. */
import { createHash } from 'node:crypto';
import { parseQuantity } from '../quantity.ts';
import type { Container, Pod, Quantities } from './pod.ts';
import { allContainers } from './pod.ts';

export interface Devices {
  /** Device IDs by container name and resource. Throws a RangeError, and takes nothing, when there are too few. */
  allocate(pod: Pod): DevicesOfPod;
  release(uid: string): void;
}

export type DevicesOfPod = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** `vendor.example/thing`, as opposed to `cpu`, `memory`, `pods` and `kubernetes.io/…`. */
export function isExtended(resource: string): boolean {
  return resource.includes('/') && !resource.includes('kubernetes.io/');
}

export function devicesOf(node: string, capacity: Quantities): Devices {
  const free = new Map<string, string[]>();
  for (const [resource, amount] of Object.entries(capacity)) {
    if (!isExtended(resource)) continue;
    free.set(
      resource,
      Array.from({ length: Math.floor(parseQuantity(amount)) }, (_, index) =>
        deviceID(node, resource, index),
      ),
    );
  }
  const held = new Map<string, { readonly resource: string; readonly ids: readonly string[] }[]>();
  const release = (uid: string) => {
    for (const { resource, ids } of held.get(uid) ?? []) free.get(resource)?.push(...ids);
    held.delete(uid);
  };
  return {
    release,
    allocate(pod) {
      const { uid } = pod.metadata;
      release(uid);
      const taken: { readonly resource: string; readonly ids: readonly string[] }[] = [];
      held.set(uid, taken);
      const result = new Map<string, Map<string, readonly string[]>>();
      // An ordinary init container is over before the main ones start: its devices are theirs.
      const ordinary = (pod.spec.initContainers ?? []).filter(
        ({ restartPolicy }) => restartPolicy !== 'Always',
      );
      const lasting = allContainers(pod.spec).filter((container) => !ordinary.includes(container));
      const shared = new Map<string, string[]>();
      const take = (container: Container, keep: boolean) => {
        const own = new Map<string, readonly string[]>();
        for (const [resource, amount] of Object.entries(container.resources?.limits ?? {})) {
          const count = Math.floor(parseQuantity(amount));
          if (count === 0 || !free.has(resource)) continue;
          const pool = shared.get(resource) ?? [];
          const ids = keep ? pool.slice(0, count) : pool.splice(0, count);
          const more = free.get(resource)?.splice(0, count - ids.length) ?? [];
          taken.push({ resource, ids: more });
          if (keep) shared.set(resource, [...pool, ...more]);
          if (ids.length + more.length < count) {
            release(uid);
            throw new RangeError(`requested number of devices unavailable for ${resource}`);
          }
          own.set(resource, [...ids, ...more]);
        }
        result.set(container.name, own);
      };
      for (const container of ordinary) take(container, true);
      for (const container of lasting) take(container, false);
      return result;
    },
  };
}

/** Looks like the UUID of an NVIDIA device, and is the same after a restart of the node. */
function deviceID(node: string, resource: string, index: number): string {
  const hex = createHash('sha256').update(`${node} ${resource} ${index}`).digest('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)];
  return `GPU-${parts.join('-')}`;
}

/** What a device plugin would set. */
export function deviceEnvironment(
  devices: ReadonlyMap<string, readonly string[]> | undefined,
): Record<string, string> {
  const ids = [...(devices ?? [])].flatMap(([resource, own]) =>
    resource.startsWith('nvidia.com/') ? own : [],
  );
  return ids.length > 0 ? { NVIDIA_VISIBLE_DEVICES: ids.join(',') } : {};
}
