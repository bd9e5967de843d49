/**
 * Which addresses a tenant's artifact URI may lead to. Everything that is not plainly a public unicast address is
 * refused: a URI must not be a way to reach the node, the cluster, or the cloud's metadata service. Pure.
 */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

/** Prefixes that are no public unicast, from the IANA special-purpose registries, each with a word for the message. */
const refusedV4: readonly (readonly [network: string, bits: number, what: string])[] = [
  ['0.0.0.0', 8, 'this host'],
  ['10.0.0.0', 8, 'private'],
  ['100.64.0.0', 10, 'shared (carrier-grade NAT)'],
  ['127.0.0.0', 8, 'loopback'],
  ['169.254.0.0', 16, 'link-local'],
  ['172.16.0.0', 12, 'private'],
  ['192.0.0.0', 24, 'reserved'],
  ['192.0.2.0', 24, 'documentation'],
  ['192.31.196.0', 24, 'reserved'],
  ['192.52.193.0', 24, 'reserved'],
  ['192.88.99.0', 24, '6to4 relay'],
  ['192.168.0.0', 16, 'private'],
  ['192.175.48.0', 24, 'reserved'],
  ['198.18.0.0', 15, 'benchmarking'],
  ['198.51.100.0', 24, 'documentation'],
  ['203.0.113.0', 24, 'documentation'],
  ['224.0.0.0', 4, 'multicast'],
  ['240.0.0.0', 4, 'reserved'],
  // Answered by a platform agent inside every machine of one large cloud, though it looks public.
  ['168.63.129.16', 32, 'metadata service'],
];

/** Inside 2000::/3, which is all of IPv6 that is public. */
const refusedV6: readonly (readonly [network: string, bits: number, what: string])[] = [
  ['2001::', 23, 'reserved or tunnelled'],
  ['2001:db8::', 32, 'documentation'],
  ['2002::', 16, '6to4, which embeds an IPv4 address'],
  ['3fff::', 20, 'documentation'],
];

const checksV4 = refusedV4.map(([network, bits, what]) => ({ what, list: subnet(network, bits, 'ipv4') }));
const checksV6 = refusedV6.map(([network, bits, what]) => ({ what, list: subnet(network, bits, 'ipv6') }));
const publicV6 = subnet('2000::', 3, 'ipv6');

function subnet(network: string, bits: number, family: 'ipv4' | 'ipv6'): BlockList {
  const blocks = new BlockList();
  blocks.addSubnet(network, bits, family);
  return blocks;
}

/** Why an address must not be connected to, in a few words; undefined when it may. */
export function refusal(address: string): string | undefined {
  if (isIPv4(address)) return checksV4.find(({ list }) => list.check(address, 'ipv4'))?.what;
  if (!isIPv6(address)) return 'not an IP address';
  // Also refuses ::1, fc00::/7, fe80::/10, ff00::/8, IPv4-mapped and translated (64:ff9b::/96) addresses, in every spelling.
  const bare = address.split('%', 1)[0] ?? '';
  if (!publicV6.check(bare, 'ipv6')) return 'not a public IPv6 address';
  return checksV6.find(({ list }) => list.check(bare, 'ipv6'))?.what;
}

/**
 * Hosts that the cluster's administrator trusts although their addresses are private: `host` or `host:port`, each after
 * `http://` when it is to be spoken to in clear text.
 */
export class PrivateHosts {
  readonly #entries = new Set<string>();
  readonly #clear = new Set<string>();

  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const host = entry.toLowerCase().replace(/^http:\/\//, '');
      this.#entries.add(host);
      if (host.length < entry.length) this.#clear.add(host);
    }
  }

  /** @param host as a URL has it: lower case, IPv6 in brackets */
  allows(host: string, port: number): boolean {
    return has(this.#entries, host, port);
  }

  allowsClearText({ hostname, port }: URL): boolean {
    return has(this.#clear, hostname, port === '' ? 80 : Number(port));
  }
}

function has(entries: ReadonlySet<string>, host: string, port: number): boolean {
  const lower = host.toLowerCase();
  const name = isIP(lower) === 6 ? `[${lower}]` : lower;
  return entries.has(name) || entries.has(`${name}:${port}`);
}
