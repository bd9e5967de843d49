/** The gRPC stream by which the operator learns what is applied, and what the versions' requests came to. */

import { fileURLToPath } from 'node:url';
import {
  loadPackageDefinition,
  type Server,
  type ServerWritableStream,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { telemetryProto } from '#contract';
import { latencyBoundsMs } from './latency.ts';
import type { ModelReport, Monitor } from './monitor.ts';

interface WatchRequest {
  readonly interval_ms: number;
}

interface Report {
  readonly router: string;
  readonly models: readonly unknown[];
  readonly epoch: string;
  readonly latency_bounds_ms: readonly number[];
}

const defaultIntervalMs = 1000;

/** Adds the telemetry service to a gRPC server. @param onApplied calls back whenever what is applied changes */
export function serveTelemetry(
  server: Server,
  router: string,
  monitor: Monitor,
  onApplied: (listener: () => void) => () => void,
): void {
  const loaded = loadPackageDefinition(
    loadSync(fileURLToPath(telemetryProto), { keepCase: true, longs: Number, defaults: true, arrays: true }),
  );
  const { Telemetry } = (
    loaded['sluice'] as never as { router: { v1: Record<string, ServiceClientConstructor> } }
  ).router.v1;
  const watch = (call: ServerWritableStream<WatchRequest, Report>) => {
    const intervalMs = call.request.interval_ms || defaultIntervalMs;
    // One report may wait in the stream, not more: a reader that is slow gets fewer, and the newest.
    let blocked = false;
    let owed = false;
    const send = () => {
      if (blocked) {
        owed = true;
        return;
      }
      owed = false;
      blocked = !call.write({
        router,
        models: monitor.report().map(toWire),
        epoch: monitor.epoch,
        latency_bounds_ms: latencyBoundsMs,
      });
    };
    call.on('drain', () => {
      blocked = false;
      if (owed) send();
    });
    const release = monitor.require(intervalMs);
    const unsubscribe = onApplied(send);
    const timer = setInterval(send, intervalMs);
    const end = () => {
      clearInterval(timer);
      unsubscribe();
      release();
    };
    call.on('cancelled', end);
    call.on('error', end);
    call.on('close', end);
    void monitor.refresh().then(send);
  };
  server.addService(Telemetry!.service, { Watch: watch });
}

function toWire(report: ModelReport): unknown {
  return {
    model: report.model,
    uid: report.uid,
    generation: report.generation,
    versions: report.versions.map(({ inFlight, latency, ...version }) => ({
      ...version,
      in_flight: inFlight,
      latency: latency ?? [],
    })),
  };
}
