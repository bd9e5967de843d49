/**
 * One address and port of a Service: accepts connections and joins each with an endpoint, byte for byte, with half-closes
 * and back-pressure passed on and without time limits. While there is no endpoint it does not listen, so that clients are
 * refused at once, as kube-proxy has it.
 */
import net from 'node:net';
import { attemptOrder, type Endpoint } from './endpoint-choice.ts';
import type { Clock, Logger } from './ports.ts';

export interface RelayOptions {
  readonly address: string;
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

/** Milliseconds until an address that could not be listened on is tried again. */
const listenRetry = 1_000;
const rememberedClients = 10_000;

export class Relay {
  readonly #options: RelayOptions;
  readonly #connections = new Set<net.Socket>();
  readonly #clients = new Map<string, { readonly endpoint: Endpoint; readonly at: number }>();
  #endpoints: readonly Endpoint[] = [];
  /** Milliseconds for which a client stays with its endpoint; 0: no affinity. */
  #affinity = 0;
  #server: net.Server | undefined;
  #cancelRetry: (() => void) | undefined;
  #closed = false;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  /** For new connections; those that exist go on as they are. */
  update(endpoints: readonly Endpoint[], affinity: number): void {
    this.#endpoints = endpoints;
    this.#affinity = affinity;
    if (endpoints.length > 0) this.#listen();
    else this.#mute();
  }

  /** Accepts no more; connections go on. */
  retire(): void {
    this.#closed = true;
    this.#mute();
  }

  /** Accepts no more and ends every connection. */
  close(): void {
    this.retire();
    for (const socket of this.#connections) socket.destroy();
  }

  #mute(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#server?.close();
    this.#server = undefined;
  }

  #listen(): void {
    if (this.#server || this.#cancelRetry || this.#closed) return;
    const { address, port, clock, logger } = this.#options;
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) =>
      this.#accept(client),
    );
    this.#server = server;
    server.on('error', (error) => {
      if (this.#server !== server) return;
      logger.warn('service address not usable', { address, port, error: error.message });
      this.#server = undefined;
      this.#cancelRetry = clock.after(listenRetry, () => {
        this.#cancelRetry = undefined;
        this.#listen();
      });
    });
    server.listen({ host: address, port, backlog: 4096 });
  }

  #accept(client: net.Socket): void {
    this.#track(client);
    const { clock, random = Math.random } = this.#options;
    const source = client.remoteAddress ?? '';
    const known = this.#affinity > 0 ? this.#clients.get(source) : undefined;
    const preferred = known && clock.now() - known.at < this.#affinity ? known.endpoint : undefined;
    this.#attempt(client, source, attemptOrder(this.#endpoints, preferred, random), 0);
  }

  #attempt(client: net.Socket, source: string, order: readonly Endpoint[], index: number): void {
    const endpoint = order[index];
    if (!endpoint) {
      client.resetAndDestroy();
      return;
    }
    const upstream = net.connect({
      host: endpoint.address,
      port: endpoint.port,
      allowHalfOpen: true,
      noDelay: true,
    });
    this.#track(upstream);
    const abandon = () => upstream.destroy();
    client.once('close', abandon);
    const next = () => {
      client.off('close', abandon);
      // Nothing was read from the client yet, so another endpoint can take it.
      if (!client.destroyed) this.#attempt(client, source, order, index + 1);
    };
    upstream.once('error', next);
    upstream.once('connect', () => {
      upstream.off('error', next);
      client.off('close', abandon);
      if (this.#affinity > 0) this.#remember(source, endpoint);
      join(client, upstream);
      join(upstream, client);
      client.resume();
    });
  }

  #remember(source: string, endpoint: Endpoint): void {
    this.#clients.delete(source);
    this.#clients.set(source, { endpoint, at: this.#options.clock.now() });
    const [oldest] = this.#clients.keys();
    if (this.#clients.size > rememberedClients && oldest !== undefined) this.#clients.delete(oldest);
  }

  #track(socket: net.Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    // Told by `close`, which follows.
    socket.on('error', () => {});
  }
}

/** Passes on what one side says, up to and including its end. When it breaks off, so does the other. */
function join(from: net.Socket, to: net.Socket): void {
  from.pipe(to);
  from.once('close', (hadError) => {
    if (hadError) to.resetAndDestroy();
    else if (!from.readableEnded) to.destroy();
  });
}
