/**
 * Connections that obey the address policy. The check is made on the very addresses that are connected to, so a name
 * that resolves differently the second time gains nothing, and it is made again for every redirect and every retry.
 */
import { type LookupAddress, type LookupOptions, lookup as resolveName } from 'node:dns';
import { isIP } from 'node:net';
import { rootCertificates } from 'node:tls';
import { Agent, buildConnector } from 'undici';
import { type PrivateHosts, refusal } from './address-policy.ts';

/** Refused by policy: no retry helps. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

const connectTimeoutMs = 10_000;
const headersTimeoutMs = 30_000;
/** Between two pieces of a body. */
const bodyTimeoutMs = 30_000;

type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;
/** `dns.lookup`, or what a test puts in its place. */
export type Resolve = (
  host: string,
  options: LookupOptions & { all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Like `dns.lookup`, and fails when any of the addresses is refused: a name with one bad address is not to be trusted. */
export function guardedLookup(resolve: Resolve = resolveName) {
  return (host: string, options: LookupOptions, done: LookupCallback): void => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, []);
      for (const { address } of addresses) {
        const why = refusal(address);
        if (why !== undefined) return done(refused(host, address, why), []);
      }
      if (options.all) return done(null, addresses);
      const [first] = addresses;
      if (first === undefined) return done(new Error(`${host} has no address`), []);
      done(null, first.address, first.family);
    });
  };
}

function refused(host: string, address: string, why: string): AddressRefused {
  const where = host === address ? address : `${host} (${address})`;
  return new AddressRefused(
    `${where} must not be connected to: ${why} address; an administrator can allow the host in artifacts.privateHosts`,
  );
}

export interface AgentOptions {
  readonly privateHosts: PrivateHosts;
  /** Certificates, PEM, that servers may be signed by besides the public ones. */
  readonly authorities?: string | undefined;
  readonly resolve?: Resolve;
}

/** An undici agent whose every connection obeys the policy. */
export function createAgent({ privateHosts, authorities, resolve }: AgentOptions): Agent {
  const common = {
    timeout: connectTimeoutMs,
    ...(authorities === undefined ? {} : { ca: [...rootCertificates, authorities] }),
  };
  const trusted = buildConnector(common);
  const guarded = buildConnector({ ...common, lookup: guardedLookup(resolve) });
  const connect: buildConnector.connector = (options, done) => {
    const port = Number(options.port) || (options.protocol === 'https:' ? 443 : 80);
    const host = options.hostname.replace(/^\[|\]$/g, '');
    if (privateHosts.allows(host, port)) return trusted(options, done);
    // A literal address is never looked up, so it is checked here.
    const why = isIP(host) === 0 ? undefined : refusal(host);
    if (why !== undefined) return done(refused(host, host, why), null);
    guarded(options, done);
  };
  return new Agent({
    connect,
    headersTimeout: headersTimeoutMs,
    bodyTimeout: bodyTimeoutMs,
    maxResponseSize: -1,
  });
}
