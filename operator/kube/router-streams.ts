/**
 * One gRPC stream to every ready router pod: which generation of a model's shares it follows, and its counters.
 * The operator dials, because a router never calls out.
 */
import { fileURLToPath } from 'node:url';
import {
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { routerPorts, telemetryProto } from '#contract';
import { BackOff } from '../../kube-client/back-off.ts';
import type { Change } from '../../kube-client/informer.ts';
import type { Logger } from '../../kube-client/logger.ts';
import { isReady, type Pod } from '../api/kubernetes.ts';
import type { Following, Traffic } from '../api/traffic.ts';
import type { Clock } from '../engine/clock.ts';
import type { RouterReports } from '../reconcile/ports.ts';
import { RouterLedger } from './router-ledger.ts';
import type { ModelReport, Report } from './router-report.ts';

export interface RouterStreamsOptions {
  readonly pods: { subscribe(handler: (change: Change<Pod>) => void): () => void };
  readonly isRouter: (pod: Pod) => boolean;
  /** A router has begun or ceased to follow a generation of a model, or to reach one of its versions. */
  readonly onChange: (namespace: string, model: string) => void;
  /** Nothing has come from a ready router for `lostAfterMs`: from now on nobody waits for it. */
  readonly onLost: (namespace: string) => void;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Default 30 s: longer than a restart, and than a kubelet needs to see that an agent hangs. */
  readonly lostAfterMs?: number;
  /** How often a router reports when nothing changes. Default 1 s. */
  readonly intervalMs?: number;
  /** Port of every router. */
  readonly port?: number;
}

const telemetry = (() => {
  const definition = loadSync(fileURLToPath(telemetryProto), { longs: Number, defaults: true, arrays: true });
  const loaded = loadPackageDefinition(definition) as unknown as {
    sluice: { router: { v1: { Telemetry: ServiceClientConstructor } } };
  };
  return loaded.sluice.router.v1.Telemetry;
})();

export class RouterStreams implements RouterReports {
  readonly #options: RouterStreamsOptions;
  /** By `namespace/pod`. */
  readonly #streams = new Map<string, RouterStream>();
  readonly #ledger = new RouterLedger();
  #unsubscribe: (() => void) | undefined;

  constructor(options: RouterStreamsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#unsubscribe ??= this.#options.pods.subscribe((change) => this.#follow(change));
  }

  stop(): void {
    this.#unsubscribe?.();
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  following(namespace: string, pod: string, modelUid: string): Following | undefined {
    const report = this.#streams.get(`${namespace}/${pod}`)?.report;
    const model = report?.models.find(({ uid }) => uid === modelUid);
    return model && { generation: model.generation, reaches: new Set(reachedBy(model)) };
  }

  lost(namespace: string, pod: string): boolean {
    return this.#streams.get(`${namespace}/${pod}`)?.lost ?? false;
  }

  traffic(namespace: string, modelUid: string): Traffic {
    return this.#ledger.traffic(namespace, modelUid);
  }

  concurrency(namespace: string, modelUid: string): number | undefined {
    return this.#ledger.peak(namespace, modelUid, this.#options.clock.now());
  }

  /** The last reports of the routers of a namespace that are connected now, by pod. */
  reports(namespace: string): ReadonlyMap<string, Report> {
    const prefix = `${namespace}/`;
    const entries = [...this.#streams].flatMap(([key, { report }]): [string, Report][] =>
      key.startsWith(prefix) && report !== undefined ? [[key.slice(prefix.length), report]] : [],
    );
    return new Map(entries);
  }

  /** How many routers there should be a stream to, and to how many there is. */
  get connected(): { readonly wanted: number; readonly open: number } {
    const open = [...this.#streams.values()].filter(({ report }) => report !== undefined).length;
    return { wanted: this.#streams.size, open };
  }

  #follow({ key, now }: Change<Pod>): void {
    const address =
      now !== undefined && this.#options.isRouter(now) && isReady(now) ? now.status?.podIP : undefined;
    const current = this.#streams.get(key);
    if (current?.address === address) return;
    current?.close();
    this.#streams.delete(key);
    const [namespace, pod] = key.split('/') as [string, string];
    if (now === undefined) this.#ledger.forget(namespace, pod);
    else if (address === undefined) this.#ledger.excuse(namespace, pod);
    if (address === undefined) return;
    this.#ledger.expect(namespace, pod);
    const listener: Listener = {
      onReport: (report) => this.#ledger.take(namespace, pod, report, this.#options.clock.now()),
      onEnd: () => this.#ledger.silence(namespace, pod),
      onLost: () => this.#ledger.excuse(namespace, pod),
    };
    this.#streams.set(key, new RouterStream(key, address, this.#options, listener));
  }
}

/** Of one stream. */
interface Listener {
  readonly onReport: (report: Report) => void;
  /** Until the next report nobody knows what the router does. */
  readonly onEnd: () => void;
  readonly onLost: () => void;
}

/** The stream to one pod, opened again whenever it ends. */
class RouterStream {
  readonly address: string;
  report: Report | undefined;
  /** Nothing has come for so long that it counts as gone. */
  lost = false;
  readonly #namespace: string;
  readonly #key: string;
  readonly #options: RouterStreamsOptions;
  readonly #client: InstanceType<ServiceClientConstructor>;
  readonly #backOff = new BackOff({ baseMs: 100, capMs: 5_000 });
  readonly #intervalMs: number;
  readonly #listener: Listener;
  #call: ClientReadableStream<Report> | undefined;
  #cancelTimer: () => void = () => {};
  #cancelLoss: () => void = () => {};
  #closed = false;

  constructor(key: string, address: string, options: RouterStreamsOptions, listener: Listener) {
    this.#listener = listener;
    this.address = address;
    this.#key = key;
    this.#namespace = key.slice(0, key.indexOf('/'));
    this.#options = options;
    this.#intervalMs = options.intervalMs ?? 1_000;
    const host = address.includes(':') ? `[${address}]` : address;
    this.#client = new telemetry(
      `${host}:${options.port ?? routerPorts.telemetry}`,
      credentials.createInsecure(),
      {
        'grpc.enable_http_proxy': 0,
        'grpc.keepalive_time_ms': 10_000,
        'grpc.keepalive_timeout_ms': 3_000,
        'grpc.max_receive_message_length': 16 * 1024 * 1024,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 5_000,
      },
    );
    this.#watchLoss();
    this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#cancelLoss();
    this.#call?.cancel();
    this.#client.close();
    this.#set(undefined);
  }

  #open(): void {
    const call = this.#client['Watch']!({ intervalMs: this.#intervalMs }) as ClientReadableStream<Report>;
    this.#call = call;
    this.#watchSilence(call);
    call.on('data', (report: Report) => {
      if (this.#call !== call) return;
      this.#backOff.reset();
      this.#watchSilence(call);
      this.#watchLoss();
      this.#listener.onReport(report);
      this.#set(report);
    });
    // `error` comes before `end` or without it; whichever comes first ends this call.
    call.on('error', (error) => this.#ended(call, error.message));
    call.on('end', () => this.#ended(call, 'the router ended it'));
  }

  /** A router that has been cut off says nothing, which is no error to gRPC for a long time. */
  #watchSilence(call: ClientReadableStream<Report>): void {
    this.#cancelTimer();
    const ms = this.#intervalMs * 3 + 2_000;
    this.#cancelTimer = this.#options.clock.setTimer(ms, () => {
      call.cancel();
      this.#ended(call, `silent for ${ms} ms`);
    });
  }

  /** Bounds how long a router can hold a status up that Kubernetes still takes for ready. */
  #watchLoss(): void {
    this.lost = false;
    this.#cancelLoss();
    const ms = this.#options.lostAfterMs ?? 30_000;
    this.#cancelLoss = this.#options.clock.setTimer(ms, () => {
      this.lost = true;
      this.#listener.onLost();
      this.#options.logger.warn(`router ${this.#key} is ready, but has said nothing for ${ms} ms`);
      this.#options.onLost(this.#namespace);
    });
  }

  #ended(call: ClientReadableStream<Report>, why: string): void {
    if (this.#closed || this.#call !== call) return;
    this.#call = undefined;
    this.#cancelTimer();
    this.#listener.onEnd();
    const ms = this.#backOff.next();
    this.#options.logger.warn(`stream to router ${this.#key} ended: ${why}`, { retryMs: Math.round(ms) });
    this.#set(undefined);
    this.#cancelTimer = this.#options.clock.setTimer(ms, () => this.#open());
  }

  #set(report: Report | undefined): void {
    const before = new Map(this.report?.models.map((model) => [model.uid, model]));
    const now = new Map(report?.models.map((model) => [model.uid, model]));
    this.report = report;
    for (const uid of new Set([...before.keys(), ...now.keys()])) {
      if (sameFollowing(before.get(uid), now.get(uid))) continue;
      this.#options.onChange(this.#namespace, (now.get(uid) ?? before.get(uid))!.model);
    }
  }
}

/** Of a router that does not say it is believed. */
const reachedBy = ({ versions }: ModelReport): string[] =>
  versions.filter(({ pods = 1 }) => pods > 0).map(({ version }) => version);

function sameFollowing(a: ModelReport | undefined, b: ModelReport | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.generation === b.generation && reachedBy(a).join(' ') === reachedBy(b).join(' ');
}
