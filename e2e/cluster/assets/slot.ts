import { createServer } from 'node:net';

/**
 * The addresses of one cluster on a machine: two blocks of 65,536, one for pods and nodes, one for services. The first
 * number is 127 where everything is loopback, and 10 in a network namespace of our own.
 */
export interface Slot {
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** The API server's own Service, `kubernetes`. */
  readonly apiService: string;
  /** An address for the API server to be known by, where it may not be a loopback one. */
  readonly apiAddress: string;
  /** Address of the node with this index, from 0 to 7. */
  nodeAddress(index: number): string;
  /** Block of addresses for the pods of that node. */
  nodeCidr(index: number): string;
  /** Lets another cluster have the slot. */
  release(): Promise<void>;
}

const slots = 16;
const lockPort = 64_999;
/** Nodes in a cluster: each gets an eighth of the pod block, but the last eighth is the nodes' own addresses. */
export const maxNodes = 7;

/**
 * Takes the first slot that no other cluster on this machine has, and holds it by listening on an address in it, so
 * that it is free again however its holder ends.
 */
export async function takeSlot(first: 127 | 10): Promise<Slot> {
  for (let index = 0; index < slots; index++) {
    const pods = `${first}.${64 + 2 * index}`;
    const services = `${first}.${65 + 2 * index}`;
    const release = await listen(`${pods}.255.254`);
    if (release === undefined) continue;
    return {
      podCidr: `${pods}.0.0/16`,
      serviceCidr: `${services}.0.0/16`,
      apiService: `${services}.0.1`,
      apiAddress: `${pods}.255.253`,
      nodeAddress: (node) => `${pods}.255.${node + 1}`,
      nodeCidr: (node) => `${pods}.${32 * node}.0/19`,
      release,
    };
  }
  throw new Error(`all ${slots} address ranges for clusters on this machine are taken`);
}

async function listen(address: string): Promise<(() => Promise<void>) | undefined> {
  const server = createServer((socket) => socket.destroy());
  const free = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen(lockPort, address, () => resolve(true));
  });
  if (!free) return undefined;
  return () => new Promise((resolve) => server.close(() => resolve()));
}
