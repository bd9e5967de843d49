/**
 * Prometheus metrics of one version's server. The `nv_inference_*` names are those that dashboards and autoscalers for
 * inference servers already read; `sluice_*` adds histograms and what they lack.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { startMetrics } from '#contract';
import type { Fault } from './protocol/errors.ts';

/** Seconds, from well under a small model's run to well over a patient client's wait. */
const secondsBuckets = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];
const batchBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** Read when Prometheus asks. */
export interface Gauges {
  readonly queued: number;
  readonly running: number;
  readonly workers: number;
  readonly ready: boolean;
}

export type Protocol = 'rest' | 'grpc';

export class Metrics {
  readonly registry = new Registry();
  readonly #success: Counter;
  readonly #failure: Counter<'reason'>;
  readonly #rows: Counter;
  readonly #runs: Counter;
  readonly #requestMicros: Counter;
  readonly #queueMicros: Counter;
  readonly #computeMicros: Counter;
  readonly #requests: Counter<'protocol' | 'outcome'>;
  readonly #requestSeconds: Histogram;
  readonly #queueSeconds: Histogram;
  readonly #computeSeconds: Histogram;
  readonly #batchSize: Histogram;
  readonly #loadSeconds: Gauge;
  readonly #warmUpSeconds: Gauge;
  readonly #provider: Gauge<'provider' | 'wanted'>;
  #busyMs = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(
    about: { readonly model: string; readonly version: string },
    gauges: () => Gauges,
    now: () => number,
  ) {
    const registers = [this.registry];
    const counter = (name: string, help: string) => new Counter({ name, help, registers });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, registers });
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    this.registry.setDefaultLabels({ model: about.model, version: about.version });
    collectDefaultMetrics({ register: this.registry });

    this.#success = counter('nv_inference_request_success', 'Inference requests that were answered');
    this.#failure = new Counter({
      name: 'nv_inference_request_failure',
      help: 'Inference requests that failed, by reason',
      labelNames: ['reason'],
      registers,
    });
    this.#rows = counter('nv_inference_count', 'Rows inferred');
    this.#runs = counter('nv_inference_exec_count', 'Runs of the model; a batch is one');
    this.#requestMicros = counter(
      'nv_inference_request_duration_us',
      'Time of answered requests, in microseconds',
    );
    this.#queueMicros = counter(
      'nv_inference_queue_duration_us',
      'Time that requests waited, in microseconds',
    );
    this.#computeMicros = counter('nv_inference_compute_infer_duration_us', 'Time of runs, in microseconds');
    gauge('nv_inference_pending_request_count', 'Requests that wait for a worker', () => gauges().queued);

    this.#requests = new Counter({
      name: 'sluice_requests_total',
      help: 'Inference requests by protocol and outcome (OK, or the kind of fault)',
      labelNames: ['protocol', 'outcome'],
      registers,
    });
    this.#requestSeconds = histogram('sluice_request_seconds', 'From decoded to answered', secondsBuckets);
    this.#queueSeconds = histogram('sluice_queue_seconds', 'Waiting for a worker', secondsBuckets);
    this.#computeSeconds = histogram('sluice_compute_seconds', 'One run of the model', secondsBuckets);
    this.#batchSize = histogram('sluice_batch_size', 'Rows in one run', batchBuckets);
    this.#loadSeconds = new Gauge({
      name: startMetrics.loadSeconds,
      help: 'Loading the model',
      registers,
    });
    this.#warmUpSeconds = new Gauge({
      name: startMetrics.warmUpSeconds,
      help: 'The first run, before requests are taken; 0 where none can be made up',
      registers,
    });
    this.#provider = new Gauge({
      name: startMetrics.provider,
      help: 'What computes, and what was to: they differ where the wanted one could not be used',
      labelNames: ['provider', 'wanted'],
      registers,
    });
    gauge('sluice_running_requests', 'Requests that workers hold', () => gauges().running);
    gauge('sluice_workers', 'Inference workers that are up', () => gauges().workers);
    gauge('sluice_ready', 'Whether the readiness probe is answered with yes', () => (gauges().ready ? 1 : 0));
    let last = { at: now(), busyMs: 0 };
    gauge(
      'sluice_busy_ratio',
      'Share of the time since the last scrape that workers spent running the model',
      () => {
        const at = now();
        const wall = (at - last.at) * Math.max(1, gauges().workers);
        const ratio = wall > 0 ? Math.min(1, (this.#busyMs - last.busyMs) / wall) : 0;
        last = { at, busyMs: this.#busyMs };
        return ratio;
      },
    );
    new Counter({
      name: 'sluice_busy_seconds_total',
      help: 'Time that workers spent running the model; its rate over the workers is the utilisation',
      registers,
      collect: busyCollector(() => this.#busyMs / 1000),
    });
  }

  recordLoad(loadMs: number, warmUpMs = 0): void {
    this.#loadSeconds.set(loadMs / 1000);
    this.#warmUpSeconds.set(warmUpMs / 1000);
  }

  recordProvider(provider: string, wanted: string): void {
    this.#provider.set({ provider, wanted }, 1);
  }

  recordRun(rows: number, computeMs: number): void {
    this.#rows.inc(rows);
    this.#runs.inc();
    this.#computeMicros.inc(computeMs * 1000);
    this.#computeSeconds.observe(computeMs / 1000);
    this.#batchSize.observe(rows);
    this.#busyMs += computeMs;
  }

  recordSuccess(protocol: Protocol, totalMs: number, queueMs: number): void {
    this.#success.inc();
    this.#requests.inc({ protocol, outcome: 'OK' });
    this.#requestMicros.inc(totalMs * 1000);
    this.#queueMicros.inc(queueMs * 1000);
    this.#requestSeconds.observe(totalMs / 1000);
    this.#queueSeconds.observe(queueMs / 1000);
  }

  recordFailure(protocol: Protocol, fault: Fault): void {
    this.#failure.inc({ reason: failureReasons[fault] });
    this.#requests.inc({ protocol, outcome: fault });
  }
}

function busyCollector(read: () => number): (this: Counter) => void {
  return function collect() {
    this.reset();
    this.inc(read());
  };
}

/** The reasons that the `nv_inference_request_failure` counter is customarily split by. */
const failureReasons: Readonly<Record<Fault, string>> = {
  InvalidArgument: 'OTHER',
  NotFound: 'OTHER',
  TooLarge: 'OTHER',
  TooSlow: 'OTHER',
  Unimplemented: 'OTHER',
  Exhausted: 'REJECTED',
  DeadlineExceeded: 'REJECTED',
  Cancelled: 'CANCELED',
  Unavailable: 'BACKEND',
  Internal: 'BACKEND',
};
