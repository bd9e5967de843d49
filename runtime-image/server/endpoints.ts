/** The listening sockets of the server: opens them together, and drains them together. */
import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../logger.ts';
import { createMetricsServer } from '../metrics-server.ts';
import { Failure } from '../termination.ts';
import { ByteBudget } from './byte-budget.ts';
import type { ServeConfig } from './config.ts';
import { createGrpcServer } from './grpc/service.ts';
import type { GrpcTransport } from './grpc/transport.ts';
import { createHttpServer } from './http/server.ts';
import type { Metrics } from './metrics.ts';
import type { ServedModel } from './model.ts';

/** How long new connections are still taken while routers learn that this pod is going; never more than a quarter of the grace. */
const drainDelayMs = 3000;
/** What is kept back of the grace period for ending in order. */
const reserveMs = 1000;
/** For what the last answers over gRPC have left in their sockets. */
const flushMs = 500;
const pollMs = 20;

export class Endpoints {
  readonly addresses: { readonly http: string; readonly grpc: string; readonly metrics: string };
  readonly #http: HttpServer;
  readonly #metrics: HttpServer;
  readonly #grpc: GrpcTransport;
  readonly #closing: { now: boolean };

  /** Listens on all three ports. @throws Failure ConfigurationInvalid when one cannot be had */
  static async open(
    config: ServeConfig,
    model: ServedModel,
    metrics: Metrics,
    logger: Logger,
  ): Promise<Endpoints> {
    const { maxRequestBytes, bindAddress, ports } = config;
    const budget = new ByteBudget(config.maxHeldBytes);
    const closing = { now: false };
    const http = createHttpServer({ model, maxRequestBytes, budget, logger, closing: () => closing.now });
    const metricsServer = createMetricsServer(metrics.registry);
    const grpc = createGrpcServer({
      model,
      maxRequestBytes,
      budget,
      logger,
      now: () => performance.now(),
    });
    const addresses = {
      http: await listen(http, bindAddress, ports.http),
      metrics: await listen(metricsServer, bindAddress, ports.metrics),
      grpc: await grpc.listen(bindAddress, ports.grpc).then(
        ({ address, port }) => at(address, port),
        (thrown) => Promise.reject(refused('gRPC', thrown)),
      ),
    };
    return new Endpoints(http, metricsServer, grpc, closing, addresses);
  }

  private constructor(
    http: HttpServer,
    metrics: HttpServer,
    grpc: GrpcTransport,
    closing: { now: boolean },
    addresses: Endpoints['addresses'],
  ) {
    this.#http = http;
    this.#metrics = metrics;
    this.#grpc = grpc;
    this.#closing = closing;
    this.addresses = addresses;
  }

  /**
   * Takes requests for a short while longer, then no new connections, then waits for the answers that are due.
   * Resolves within the grace period, whatever clients do.
   * @param known whether it was ever ready; nobody sends requests to a server that was not
   */
  async drain(graceMs: number, known: boolean): Promise<void> {
    const began = performance.now();
    const deadline = began + Math.max(0, graceMs - reserveMs);
    this.#closing.now = true;
    if (known) await sleep(Math.min(drainDelayMs, graceMs / 4));
    let httpClosed = false;
    this.#http.close(() => {
      httpClosed = true;
    });
    // Sends GOAWAY, lets open streams end and refuses new ones. It waits for health watches too, which never end.
    const grpcClosed = this.#grpc.drain();
    const left = () => Math.max(0, deadline - performance.now());
    // Over both, bodies may still be on their way in, and answers on their way out. HTTP ends with its last connection.
    while ((this.#grpc.calls > 0 || !httpClosed) && left() > 0) {
      this.#http.closeIdleConnections();
      await sleep(pollMs);
    }
    await Promise.race([sleep(Math.min(flushMs, left())), grpcClosed]);
    this.#grpc.destroy();
    this.#http.closeAllConnections();
    this.#metrics.close();
    this.#metrics.closeAllConnections();
  }
}

function refused(what: string, thrown: unknown): Failure {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Failure('ConfigurationInvalid', `cannot listen for ${what}: ${message}`, { cause: thrown });
}

async function listen(server: HttpServer, address: string | undefined, port: number): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(refused('HTTP', error)));
    server.listen({ port, ...(address === undefined ? {} : { host: address }) }, resolve);
  });
  const bound = server.address() as AddressInfo;
  return at(bound.address, bound.port);
}

function at(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
