/** Hands out pod addresses of one IPv4 block. Freed addresses come back last, so that a late client of a dead pod
 * does not meet another pod. */

export interface Addresses {
  /** An unused address: the wanted one if it is free; throws a RangeError when the block is full. */
  allocate(wanted?: string): string;
  release(address: string): void;
}

export function parseAddress(address: string): number {
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) {
    throw new RangeError(`not an IPv4 address: ${address}`);
  }
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** Addresses of `cidr`, without its first and last one. */
export function addressesOf(cidr: string): Addresses {
  const [base, length] = cidr.split('/');
  const bits = Number(length);
  if (!base || !Number.isInteger(bits) || bits < 8 || bits > 30)
    throw new RangeError(`not a usable block: ${cidr}`);
  const size = 2 ** (32 - bits);
  const first = Math.floor(parseAddress(base) / size) * size;
  const last = first + size - 1;
  let fresh = first + 1;
  const freed: number[] = [];
  const used = new Set<number>();
  const next = () => {
    while (fresh < last && used.has(fresh)) fresh++;
    return fresh < last ? fresh++ : freed.shift();
  };
  return {
    allocate(wanted) {
      const again = wanted === undefined ? 0 : parseAddress(wanted);
      const isFree = again > first && again < last && !used.has(again);
      const value = isFree ? again : next();
      if (value === undefined) throw new RangeError(`no address left in ${cidr}`);
      const index = freed.indexOf(value);
      if (index >= 0) freed.splice(index, 1);
      used.add(value);
      return formatAddress(value);
    },
    release(address) {
      const value = parseAddress(address);
      if (used.delete(value)) freed.push(value);
    },
  };
}
