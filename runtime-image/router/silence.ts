/**
 * Ends requests at machines that are gone without a word, so that other pods are asked. The kernel goes on sending to such a
 * machine for a quarter of an hour. `tcp-ut` bounds that, but HAProxy 2.6 takes it only for servers that are prepared, and it
 * also ends connections to a pod that merely takes long to read a large request. So this asks the kernel itself, and only about
 * servers to which no connection could be made lately.
 */
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { endianness } from 'node:os';
import type { Logger } from '../logger.ts';
import type { Session } from './cli.ts';
import { keepAliveSeconds, serverPath } from './config.ts';
import type { Server } from './state.ts';

/** A line by which HAProxy says that connections to a server fail, of requests or of checks, or that checks get no answer. */
const outOfReach = /^Server ([hg]\d+\/\S+) is DOWN, reason: (?:Layer[47] timeout|Health analyze)\b/;

/** The path of a server that cannot be reached, of a line of HAProxy's log. */
export function unreachable(line: string): string | undefined {
  return outOfReach.exec(line)?.[1];
}

/** An address as the kernel lists it: in words of the machine's byte order, in hexadecimal. */
export function kernelAddress(address: string): string {
  const words = Buffer.from(isIPv6(address) ? ipv6Bytes(address) : address.split('.').map(Number));
  if (endianness() === 'LE') words.swap32();
  return words.toString('hex').toUpperCase();
}

function ipv6Bytes(address: string): number[] {
  // A URL writes it in one way only, without dots.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const [before, after] = [groups(head), groups(tail ?? '')];
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return all.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

const established = '01';
const retransmitting = '01';
const keptAlive = '02';
/** A single packet may be lost. */
const fewestRetransmissions = 2;
/** Hundredths of a second until the next probe, while the answer to the last one may still be under way. */
const underWay = 100 * keepAliveSeconds - 25;

/**
 * Machines that acknowledge nothing: what was sent to them has been sent again, and again, or they do not answer a keep-alive
 * probe. One that acknowledges and takes no more, because it has no room, is none of them, nor is one that answers the probes of
 * any connection: a pod that accepts nothing for a while still has the requests that it accepted before.
 *
 * @param tables `/proc/net/tcp` and `/proc/net/tcp6`
 * @returns as `kernelAddress` writes them
 */
export function silentMachines(tables: readonly string[]): ReadonlySet<string> {
  const silent = new Set<string>();
  const answering = new Set<string>();
  for (const line of tables.flatMap((table) => table.split('\n'))) {
    const [, , peer = '', state, , timer = '', again = '', , unanswered = ''] = line.trim().split(/\s+/, 9);
    if (state !== established) continue;
    const [address = ''] = peer.split(':');
    const [kind, left = ''] = timer.split(':');
    const probes = Number(unanswered);
    if (kind === retransmitting && Number.parseInt(again, 16) >= fewestRetransmissions) silent.add(address);
    if (kind !== keptAlive) continue;
    if (probes === 0) answering.add(address);
    else if (probes > 1 || Number.parseInt(left, 16) < underWay) silent.add(address);
  }
  return new Set([...silent].filter((address) => !answering.has(address)));
}

const tables = ['/proc/net/tcp', '/proc/net/tcp6'];
const lookEveryMs = 200;
/** What is sent last, when the server is about to be taken out, has been sent twice again by then. */
const lookForMs = 3_000;

export interface SilenceOptions {
  readonly logger: Logger;
  readonly servers: () => readonly Server[];
  readonly session: () => Promise<Session>;
  /** Told how many servers' requests were ended. */
  readonly onCut: (servers: number) => void;
}

/** Looks after machines with servers that cannot be reached, for a while. */
export class Silence {
  readonly #options: SilenceOptions;
  /** Address of a machine → time at which it is looked at for the last time. */
  readonly #suspects = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  constructor(options: SilenceOptions) {
    this.#options = options;
  }

  /** @param path of a server that cannot be reached */
  suspect(path: string): void {
    const server = this.#options.servers().find((one) => serverPath(one) === path);
    if (server === undefined) return;
    this.#suspects.set(server.address, performance.now() + lookForMs);
    this.#timer ??= setInterval(() => void this.#look(), lookEveryMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#suspects.clear();
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const gone = await this.#gone();
      if (gone.length > 0) await this.#cut(gone);
    } catch (error) {
      this.#options.logger.warn('could not end requests at machines that are gone', { error: String(error) });
    }
    this.#looking = false;
    const now = performance.now();
    for (const [address, until] of this.#suspects) if (now > until) this.#suspects.delete(address);
    if (this.#suspects.size === 0) this.stop();
  }

  /** All servers of suspects that acknowledge nothing. */
  async #gone(): Promise<readonly Server[]> {
    // There is no second table where there is no IPv6.
    const texts = await Promise.all(tables.map((path) => readFile(path, 'latin1').catch(() => '')));
    const silent = silentMachines(texts);
    if (silent.size === 0) return [];
    return this.#options
      .servers()
      .filter(({ address }) => this.#suspects.has(address) && silent.has(kernelAddress(address)));
  }

  /** HAProxy asks another pod then, of what can be asked again. */
  async #cut(servers: readonly Server[]): Promise<void> {
    const session = await this.#options.session();
    try {
      for (const server of servers) {
        const path = serverPath(server);
        // A check that was under way when the machine went takes longer to fail, and the same pod would be asked again.
        if (server.checkPort !== undefined) await session.run(`set server ${path} health down`, /^/);
        await session.run(`shutdown sessions server ${path}`, /^/);
        // All that it had is ended, and it gets nothing new until a check succeeds.
        this.#suspects.delete(server.address);
      }
    } finally {
      session.close();
    }
    const paths = servers.map(serverPath);
    this.#options.logger.warn('machines acknowledge nothing: their requests were ended', { servers: paths });
    this.#options.onCut(paths.length);
  }
}
