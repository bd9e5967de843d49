/** What this machine, or this container, can bear. */
import { readFileSync } from 'node:fs';
import { availableParallelism, networkInterfaces } from 'node:os';
import type { Limits } from './config.ts';

/** Containers can have a billion; HAProxy keeps a table of them. */
const mostDescriptors = 200_000;

/** Hard limit of open files, which HAProxy raises its own to; a container may have none to speak of. */
function descriptorLimit(): number {
  try {
    const line = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return line === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line ?? 4096);
  } catch {
    return 4096;
  }
}

/** The family that all interfaces have: `::` takes both, where there is IPv6 at all. */
function anyAddress(): string {
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some((address) => address?.family === 'IPv6') ? '::' : '*';
}

/** As long as a connection that was upgraded may be silent: what a reload finds under way is not cut off by it. */
const hardStopAfter = 3600;

/** @param bind address to listen on; undefined: all */
export function findLimits(bind: string | undefined): Limits {
  return {
    bind: bind ?? anyAddress(),
    threads: Math.min(availableParallelism(), 64),
    descriptors: Math.min(descriptorLimit(), mostDescriptors),
    hardStopAfter,
  };
}
