/** Prometheus metrics of the router. Labels carry models and versions that the router admitted, never what a client sent. */
import { status } from '@grpc/grpc-js';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { AgentEvent } from './agent.ts';
import { latencyBoundsMs } from './latency.ts';
import type { ModelReport, Monitor } from './monitor.ts';

/** Every eighth bound is enough for a dashboard, and keeps the series few. */
const exposedEvery = 8;

type Source = Pick<Monitor, 'refresh' | 'report'>;

export class Metrics {
  readonly registry = new Registry();
  readonly #monitor: Source;
  readonly #applySeconds: Histogram;
  readonly #reloads: Counter;
  readonly #restarts: Counter;
  readonly #rescues: Counter;
  readonly #silences: Counter;
  readonly #failures: Counter;

  constructor(monitor: Source) {
    this.#monitor = monitor;
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#applySeconds = new Histogram({
      name: 'sluice_router_apply_seconds',
      help: 'Time from taking a change up to HAProxy having all of it.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    });
    const counter = (name: string, help: string) => new Counter({ name, help, registers });
    this.#reloads = counter('sluice_router_reloads_total', 'Reloads of HAProxy.');
    this.#restarts = counter('sluice_router_haproxy_restarts_total', 'Restarts of HAProxy after it died.');
    this.#rescues = counter(
      'sluice_router_rescues_total',
      'Servers taken for healthy again because checks had left nothing of their model.',
    );
    this.#silences = counter(
      'sluice_router_silences_total',
      'Servers whose requests were ended because their machine acknowledged nothing any more.',
    );
    this.#failures = counter(
      'sluice_router_apply_failures_total',
      'Changes that could not be applied at once.',
    );
    this.#perVersion();
  }

  /** Counts what the agent did. */
  observe(event: AgentEvent): void {
    if (event.kind === 'applied') this.#applySeconds.observe(event.seconds);
    else if (event.kind === 'reload') this.#reloads.inc();
    else if (event.kind === 'restart') this.#restarts.inc();
    else if (event.kind === 'rescue') this.#rescues.inc(event.servers);
    else if (event.kind === 'silence') this.#silences.inc(event.servers);
    else if (event.kind === 'failure') this.#failures.inc();
  }

  /** Reads HAProxy, then all metrics as text. */
  async text(): Promise<string> {
    await this.#monitor.refresh();
    return (await this.registry.metrics()) + histograms(this.#monitor.report());
  }

  #perVersion(): void {
    const registers = [this.registry];
    const labelNames = ['model', 'version'] as const;
    const each = <V>(
      of: (version: ModelReport['versions'][number]) => V,
      to: (labels: Labels, value: V) => void,
    ) => {
      for (const { model, versions } of this.#monitor.report())
        for (const version of versions) to({ model, version: version.version }, of(version));
    };
    const total = (name: string, help: string, of: (version: ModelReport['versions'][number]) => number) =>
      new Counter({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          each(of, (labels, value) => this.inc(labels, value));
        },
      });
    const gauge = (name: string, help: string, of: (version: ModelReport['versions'][number]) => number) =>
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          each(of, (labels, value) => this.set(labels, value));
        },
      });
    total('sluice_router_requests_total', 'Requests answered by the version.', (version) => version.requests);
    total('sluice_router_errors_total', 'Answers that blame the server.', (version) => version.errors);
    total('sluice_router_retries_total', 'Attempts beyond the first.', (version) => version.retries);
    total(
      'sluice_router_fallbacks_total',
      'Requests drawn for the version that another one answered.',
      (version) => version.fallbacks,
    );
    total(
      'sluice_router_ejections_total',
      'Times that a pod was taken out because it failed its checks or refused a connection.',
      (version) => version.ejections,
    );
    total(
      'sluice_router_timed_requests_total',
      'Requests that sluice_router_request_seconds is estimated from.',
      (version) => version.timed,
    );
    gauge(
      'sluice_router_waiting',
      'Requests that wait for a pod that may take another one.',
      (version) => version.waiting,
    );
    gauge('sluice_router_in_flight', 'Requests now being answered.', (version) => version.inFlight);
    gauge('sluice_router_servers', 'Pods that may get requests.', (version) => version.servers);
    new Counter({
      name: 'sluice_router_responses_total',
      help: 'Answers by class of HTTP status.',
      labelNames: ['model', 'version', 'class'] as const,
      registers,
      collect() {
        this.reset();
        each(
          (version) => version.classes,
          (labels, classes) => {
            classes.forEach((count, index) => {
              this.inc({ ...labels, class: `${index + 1}xx` }, count);
            });
          },
        );
      },
    });
    new Counter({
      name: 'sluice_router_grpc_responses_total',
      help: 'Answers by gRPC status. One that only a trailer after messages tells counts as OK.',
      labelNames: ['model', 'version', 'code'] as const,
      registers,
      collect() {
        this.reset();
        each(
          (version) => version.grpc,
          (labels, counts) => {
            counts.forEach((count, index) => {
              if (count > 0) this.inc({ ...labels, code: status[index]! }, count);
            });
          },
        );
      },
    });
    const monitor = this.#monitor;
    new Gauge({
      name: 'sluice_router_applied_generation',
      help: "The Model's status.routers.generation that all new requests follow.",
      labelNames: ['model'] as const,
      registers,
      collect() {
        this.reset();
        for (const { model, generation } of monitor.report()) this.set({ model }, generation);
      },
    });
  }
}

type Labels = { readonly model: string; readonly version: string };

/** prom-client cannot take a histogram that somebody else has counted. */
function histograms(reports: readonly ModelReport[]): string {
  const name = 'sluice_router_request_seconds';
  const lines = [
    `# HELP ${name} Time from a request's headers to the end of its answer, estimated from timed requests.`,
    `# TYPE ${name} histogram`,
  ];
  for (const { model, versions } of reports) {
    for (const { version, latency } of versions) {
      if (!latency) continue;
      const labels = `model="${quoted(model)}",version="${quoted(version)}"`;
      let sum = 0;
      let count = 0;
      latency.forEach((requests, index) => {
        count += requests;
        const bound = latencyBoundsMs[index];
        sum += (requests * (bound ?? latencyBoundsMs.at(-1)!)) / 1000;
        if (bound !== undefined && index % exposedEvery === 0)
          lines.push(`${name}_bucket{${labels},le="${bound / 1000}"} ${Math.round(count)}`);
      });
      lines.push(`${name}_bucket{${labels},le="+Inf"} ${Math.round(count)}`);
      lines.push(`${name}_sum{${labels}} ${sum.toFixed(6)}`, `${name}_count{${labels}} ${Math.round(count)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** As the text format has it within quotes. */
function quoted(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}
