/** Prometheus metrics, named after controller-runtime's with our own prefix, so that known dashboards are easy to port. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ControllerEvent } from '../engine/controller.ts';

/** One call of the Kubernetes API. */
export interface ApiCall {
  readonly method: string;
  readonly purpose: 'request' | 'watch';
  /** HTTP status; 0 when no answer came. */
  readonly code: number;
  readonly seconds: number;
}

const seconds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export class Metrics {
  readonly registry = new Registry();
  readonly #reconciles: Counter<'controller' | 'result'>;
  readonly #reconcileSeconds: Histogram<'controller'>;
  readonly #active: Gauge<'controller'>;
  readonly #depth: Gauge<'controller'>;
  readonly #adds: Counter<'controller'>;
  readonly #retries: Counter<'controller'>;
  readonly #queueSeconds: Histogram<'controller'>;
  readonly #calls: Counter<'verb' | 'code'>;
  readonly #callSeconds: Histogram<'verb'>;
  readonly #watches: Counter<'resource' | 'activity'>;
  readonly #events: Counter<'outcome'>;
  readonly #leader: Gauge<string>;

  /** @param version of the build. */
  constructor(version: string) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
      new Counter({ name, help, labelNames, registers });
    const gauge = <L extends string>(name: string, help: string, labelNames: L[]) =>
      new Gauge({ name, help, labelNames, registers });
    const histogram = <L extends string>(name: string, help: string, labelNames: L[]) =>
      new Histogram({ name, help, labelNames, registers, buckets: seconds });

    this.#reconciles = counter('sluice_reconcile_total', 'Finished reconciles.', ['controller', 'result']);
    this.#reconcileSeconds = histogram('sluice_reconcile_time_seconds', 'Duration of reconciles.', [
      'controller',
    ]);
    this.#active = gauge('sluice_active_workers', 'Reconciles under way.', ['controller']);
    this.#depth = gauge('sluice_workqueue_depth', 'Keys that wait.', ['controller']);
    this.#adds = counter('sluice_workqueue_adds_total', 'Keys added.', ['controller']);
    this.#retries = counter('sluice_workqueue_retries_total', 'Keys added again after a failure.', [
      'controller',
    ]);
    this.#queueSeconds = histogram('sluice_workqueue_queue_duration_seconds', 'Time that keys waited.', [
      'controller',
    ]);
    this.#calls = counter('sluice_api_requests_total', 'Kubernetes API requests; code 0: no answer.', [
      'verb',
      'code',
    ]);
    this.#callSeconds = histogram('sluice_api_request_duration_seconds', 'Time until the answer began.', [
      'verb',
    ]);
    this.#watches = counter('sluice_informer_activity_total', 'Lists, watches and failures of caches.', [
      'resource',
      'activity',
    ]);
    this.#events = counter('sluice_events_total', 'Kubernetes events by what became of them.', ['outcome']);
    this.#leader = gauge('sluice_leader', '1 while this process holds the lease.', []);
    this.#leader.set(0);
    gauge('sluice_build_info', 'Always 1.', ['version', 'node_version']).set(
      { version, node_version: process.version },
      1,
    );
  }

  /** What a controller reports to. */
  controller(name: string): (event: ControllerEvent) => void {
    const labels = { controller: name };
    this.#depth.set(labels, 0);
    this.#active.set(labels, 0);
    for (const result of ['success', 'requeue', 'error', 'terminal'])
      this.#reconciles.inc({ ...labels, result }, 0);
    return (event) => {
      switch (event.type) {
        case 'added':
          this.#adds.inc(labels);
          this.#depth.set(labels, event.depth);
          return;
        case 'taken':
          this.#depth.set(labels, event.depth);
          this.#active.set(labels, event.active);
          this.#queueSeconds.observe(labels, event.waitedMs / 1000);
          return;
        case 'retried':
          this.#retries.inc(labels);
          return;
        case 'finished':
          this.#reconciles.inc({ ...labels, result: event.outcome });
          this.#reconcileSeconds.observe(labels, event.tookMs / 1000);
          this.#active.set(labels, event.active);
      }
    };
  }

  call({ method, purpose, code, seconds }: ApiCall): void {
    const verb = purpose === 'watch' ? 'WATCH' : method;
    this.#calls.inc({ verb, code: String(code) });
    this.#callSeconds.observe({ verb }, seconds);
  }

  informer(resource: string, activity: string): void {
    this.#watches.inc({ resource, activity });
  }

  event(outcome: string): void {
    this.#events.inc({ outcome });
  }

  leader(leads: boolean): void {
    this.#leader.set(leads ? 1 : 0);
  }

  /** Streams to routers: how many there should be, and how many there are, read when somebody asks. */
  routers(connected: () => { readonly wanted: number; readonly open: number }): void {
    new Gauge({
      name: 'sluice_router_streams',
      help: 'Streams to router pods.',
      labelNames: ['state'],
      registers: [this.registry],
      collect() {
        const { wanted, open } = connected();
        this.set({ state: 'wanted' }, wanted);
        this.set({ state: 'open' }, open);
      },
    });
  }
}
