/**
 * Tells how far fetching is, on the port that the server of the pod will have its metrics on. A pod that cannot listen
 * fetches all the same.
 */
import { Gauge, Registry } from 'prom-client';
import { artifactMetrics } from '#contract';
import type { Logger } from '../logger.ts';
import { createMetricsServer } from '../metrics-server.ts';
import type { Progress } from './progress.ts';

/** Those who ask are few, and nobody else should hold anything up here. */
const maxConnections = 16;

export interface ProgressAddress {
  readonly port: number;
  /** Undefined is every address of the pod. */
  readonly address: string | undefined;
}

/** @returns ends it, connections included */
export async function serveProgress(
  progress: Progress,
  { port, address }: ProgressAddress,
  logger: Logger,
): Promise<() => void> {
  const server = createMetricsServer(registryOf(progress));
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve) => {
    server.on('error', (error) => {
      logger.warn('nobody can be told how far fetching is', { why: error.message });
      resolve();
    });
    server.listen(port, address, () => {
      const bound = server.address();
      logger.info('tells how far fetching is', { address: typeof bound === 'object' ? { ...bound } : bound });
      resolve();
    });
  });
  return () => {
    server.close();
    server.closeAllConnections();
  };
}

function registryOf(progress: Progress): Registry {
  const registry = new Registry();
  const gauge = (name: string, help: string, read: () => number | undefined) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  gauge(artifactMetrics.fetched, 'Bytes of the artifact that have come', () => progress.fetchedBytes);
  gauge(artifactMetrics.size, 'Bytes of the artifact, once that is known', () => progress.sizeBytes);
  return registry;
}
