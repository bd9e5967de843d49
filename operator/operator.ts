/** The operator's parts, put together: caches, lease, controllers, streams and servers, started and stopped in order. */
import { readFileSync } from 'node:fs';
import { KubeClient } from '../kube-client/client.ts';
import { type Connection, loadConnection } from '../kube-client/connection.ts';
import { isConflict } from '../kube-client/errors.ts';
import type { Logger } from '../kube-client/logger.ts';
import type { Pod } from './api/kubernetes.ts';
import type { Config } from './config.ts';
import { systemClock } from './engine/clock.ts';
import { Controller, type Result } from './engine/controller.ts';
import { Caches } from './kube/caches.ts';
import { EventRecorder } from './kube/events.ts';
import { NotLeading, openFence } from './kube/fence.ts';
import { LeaderElector } from './kube/lease.ts';
import { RouterStreams } from './kube/router-streams.ts';
import { ServerCounters } from './kube/server-counters.ts';
import { StartReaders } from './kube/start-readers.ts';
import { KubeWriter } from './kube/writer.ts';
import { poolReconciler } from './reconcile/gpu-pool.ts';
import {
  byNamespace,
  modelIndexes,
  podIndexes,
  serviceIndexes,
  versionIndexes,
} from './reconcile/indexes.ts';
import { modelReconciler } from './reconcile/model.ts';
import type { Ports } from './reconcile/ports.ts';
import { routerReconciler } from './reconcile/router.ts';
import { managedBy } from './resources/metadata.ts';
import { type RouterConfig, routerSelector } from './resources/router.ts';
import type { VersionConfig } from './resources/version-deployment.ts';
import { inVisit, messageOf } from './telemetry/logs.ts';
import { Metrics } from './telemetry/metrics.ts';
import { serveTelemetry, type TelemetryServer } from './telemetry/server.ts';
import { connectTriggers } from './triggers.ts';

/** How long reconciles under way may go on, and events may still be sent, when the operator stops. */
const graceMs = 8_000;
const flushMs = 2_000;

export class Operator {
  /** Resolves with the reason when the operator cannot go on and the process should end. */
  readonly failed: Promise<string>;
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #connection: Connection;
  readonly #caches: Caches;
  readonly #elector: LeaderElector | undefined;
  readonly #events: EventRecorder;
  readonly #streams: RouterStreams;
  readonly #servers: ServerCounters;
  readonly #starts: StartReaders;
  readonly #models: Controller;
  readonly #pools: Controller;
  readonly #routers: Controller;
  #server: TelemetryServer | undefined;
  #disconnect: () => void = () => {};
  #stopping = false;

  /** @throws Error when no Kubernetes API is configured, or none that leader election could use. */
  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    const version = packageVersion();
    this.#metrics = new Metrics(version);
    this.#connection = loadConnection(
      config.kubeconfig === undefined ? {} : { kubeconfig: config.kubeconfig },
    );
    const client = new KubeClient(this.#connection, {
      userAgent: `sluice-operator/${version}`,
      observe: (call) => this.#metrics.call(call),
    });
    this.#caches = new Caches({
      client,
      logger,
      indexes: { models: modelIndexes, versions: versionIndexes, pods: podIndexes, services: serviceIndexes },
      ownedSelector: Object.entries(managedBy)
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
      observe: (activity, resource) => this.#metrics.informer(resource.plural, activity),
      gatewayApi: config.gatewayApi,
    });
    this.#elector = config.leaderElection ? this.#electorOf(client) : undefined;
    const fence = this.#elector ?? openFence;
    this.failed = this.#elector?.lost ?? new Promise(() => {});
    this.#events = new EventRecorder({
      client,
      fence,
      logger,
      clock: systemClock,
      instance: config.identity,
      observe: (outcome) => this.#metrics.event(outcome),
    });
    this.#streams = new RouterStreams({
      pods: this.#caches.pods,
      isRouter,
      logger,
      clock: systemClock,
      onChange: (namespace, model) => this.#models.enqueue(`${namespace}/${model}`),
      onLost: (namespace) => {
        for (const { metadata } of this.#caches.models.by(byNamespace, namespace))
          this.#models.enqueue(`${namespace}/${metadata.name}`);
      },
    });
    this.#servers = new ServerCounters({ clock: systemClock, logger });
    this.#starts = new StartReaders({
      clock: systemClock,
      logger,
      onChange: (model) => this.#models.enqueue(model),
    });
    this.#metrics.routers(() => this.#streams.connected);
    const ports: Ports = {
      views: this.#caches,
      writer: new KubeWriter({ client, fence, logger, find: (kind, key) => this.#caches.find(kind, key) }),
      events: this.#events,
      routers: this.#streams,
      servers: this.#servers,
      starts: this.#starts,
      now: systemClock.now,
    };
    this.#models = this.#controller('model', modelReconciler(ports, versionConfig(config)));
    this.#pools = this.#controller('gpupool', poolReconciler(ports));
    this.#routers = this.#controller('router', routerReconciler(ports, routerConfig(config)));
  }

  /** Resolves when the operator works: its caches are full, and it holds the lease. */
  async start(): Promise<void> {
    const { bindAddress, metricsPort, healthPort } = this.#config;
    this.#server = await serveTelemetry({
      address: bindAddress,
      metricsPort,
      healthPort,
      registry: this.#metrics.registry,
      ready: () => this.#caches.synced || 'caches are not filled yet',
    });
    this.#logger.info('started', { ports: this.#server.ports, server: this.#connection.server });
    this.#elector?.start();
    await this.#caches.start();
    this.#logger.info('caches are filled');
    await this.#elector?.elected;
    if (this.#stopping) return;
    this.#metrics.leader(true);
    this.#logger.info(this.#elector === undefined ? 'working' : 'working: this process holds the lease');
    this.#streams.start();
    this.#disconnect = connectTriggers(this.#caches, isRouter, {
      model: (key) => this.#models.enqueue(key),
      pool: (name) => this.#pools.enqueue(name),
      router: (namespace) => this.#routers.enqueue(namespace),
    });
    for (const controller of [this.#models, this.#pools, this.#routers]) controller.start();
  }

  /** Ends visits, then everything that they use, and gives the lease back when nothing writes any more. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#disconnect();
    await Promise.all(
      [this.#models, this.#pools, this.#routers].map((controller) => controller.stop(graceMs)),
    );
    await withinTime(this.#events.flush(), flushMs);
    this.#streams.stop();
    await this.#servers.stop();
    await this.#starts.stop();
    await this.#elector?.stop();
    this.#metrics.leader(false);
    await this.#caches.stop();
    await this.#server?.close();
    await this.#connection.close?.();
  }

  #controller(name: string, reconcile: (key: string) => Promise<Result>): Controller {
    return new Controller({
      name,
      clock: systemClock,
      concurrency: this.#config.concurrency,
      observe: this.#metrics.controller(name),
      reconcile: (key) =>
        inVisit(name, key, async () => {
          try {
            const result = await reconcile(key);
            this.#logger.debug('reconciled', { ...result });
            return result;
          } catch (error) {
            this.#logFailure(error);
            throw error;
          }
        }),
    });
  }

  #logFailure(error: unknown): void {
    const conflict = error instanceof Error && isConflict(error.cause);
    // Two that are to be expected: the cache was a moment behind, and the lease is lost, which is told elsewhere.
    const level = conflict || error instanceof NotLeading ? 'debug' : 'warn';
    this.#logger[level](`reconcile failed: ${messageOf(error)}`);
  }

  #electorOf(client: KubeClient): LeaderElector {
    const { leaseName, identity, leaseDurationMs, renewDeadlineMs, retryPeriodMs } = this.#config;
    const namespace = this.#config.leaseNamespace ?? this.#connection.namespace;
    if (namespace === undefined) {
      throw new Error(
        'leader election needs a namespace: set --lease-namespace or POD_NAMESPACE, or --leader-election=false',
      );
    }
    return new LeaderElector({
      client,
      namespace,
      name: leaseName,
      identity,
      clock: systemClock,
      logger: this.#logger,
      durationMs: leaseDurationMs,
      renewDeadlineMs,
      retryMs: retryPeriodMs,
    });
  }
}

function isRouter(pod: Pod): boolean {
  return Object.entries(routerSelector).every(([key, value]) => pod.metadata.labels?.[key] === value);
}

function imageConfig(config: Config): VersionConfig['runtime'] {
  return {
    image: config.runtimeImage,
    pullPolicy: config.runtimeImagePullPolicy,
    pullSecrets: config.imagePullSecrets,
    logLevel: config.runtimeLogLevel,
  };
}

function versionConfig(config: Config): VersionConfig {
  return {
    runtime: imageConfig(config),
    artifacts: {
      schemes: config.artifactSchemes,
      privateHosts: config.artifactPrivateHosts,
      endpoints: config.artifactEndpoints,
      maxBytes: config.artifactMaxBytes,
    },
    defaultResources: config.runtimeResources,
  };
}

function routerConfig(config: Config): RouterConfig {
  return {
    runtime: imageConfig(config),
    replicas: config.routerReplicas,
    resources: config.routerResources,
    graceSeconds: config.routerGraceSeconds,
    clusterRole: config.routerClusterRole,
  };
}

function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

async function withinTime(work: Promise<void>, ms: number): Promise<void> {
  let cancel = () => {};
  const time = new Promise<void>((resolve) => {
    cancel = systemClock.setTimer(ms, resolve);
  });
  await Promise.race([work, time]);
  cancel();
}
