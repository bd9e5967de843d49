/**
 * The router of a namespace: HAProxy carries the requests, the agent tells it where to.
 *
 * Holds the data plane's control: `plan` (pure) says what HAProxy shall do, `diff` (pure) how to get there without
 * losing a request, `config` and `maps` (pure) how that is written; `engine` runs the process, `agent` keeps the
 * order of things, `telemetry` and `admin` tell others. It takes nothing from the operator but the Models' status,
 * decides no weights, and never calls out except to the Kubernetes API.
 */
import type { Server as HttpServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { env, paths, routerPorts } from '#contract';
import { KubeClient } from '../../kube-client/client.ts';
import { loadConnection } from '../../kube-client/connection.ts';
import { integer, optional, required } from '../environment.ts';
import { createLogger } from '../logger.ts';
import { createAdmin } from './admin.ts';
import { Agent, type AgentEvent } from './agent.ts';
import { Latency } from './latency.ts';
import { findLimits } from './limits.ts';
import { Metrics } from './metrics.ts';
import { Monitor } from './monitor.ts';
import { socketAddress } from './names.ts';
import { watchNamespace } from './sources.ts';
import { serveTelemetry } from './telemetry.ts';

/** Seconds for which a router that was told to stop takes new connections: until all proxies know of it. */
const drainSeconds = 5;

/** Resolves when the router was told to stop and nothing is in flight any more. */
export async function main(): Promise<void> {
  const logger = createLogger('route');
  const source = process.env;
  const namespace = required(source, env.podNamespace);
  const graceSeconds = integer(source, env.gracePeriod, 30, { min: 1, max: 86_400 });
  const bind = optional(source, env.bindAddress);
  const limits = findLimits(bind);
  const stop = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });

  let versionOfSlot = new Map<number, string>();
  const latency = new Latency((slot) => versionOfSlot.get(slot));
  let observe = (_: AgentEvent) => {};
  const agent = new Agent({
    binary: optional(source, env.haproxy) ?? 'haproxy',
    folder: optional(source, env.routerDir) ?? paths.routerDir,
    limits,
    logger,
    onSample: (line) => latency.take(line),
    observe: (event) => observe(event),
  });
  const monitor = new Monitor(agent, latency, logger);
  const metrics = new Metrics(monitor);
  observe = (event) => {
    metrics.observe(event);
    monitor.observe(event);
  };
  agent.onApplied(() => {
    versionOfSlot = new Map(agent.applied.slots.map((slot) => [slot.slot, `${slot.uid}/${slot.version}`]));
  });
  let stopping = false;
  const admin = createAdmin({
    healthy: () => true,
    ready: () => agent.ready && !stopping,
    metrics: () => metrics.text(),
  });
  const telemetry = new Server();
  serveTelemetry(telemetry, optional(source, env.podName) ?? 'router', monitor, (listener) =>
    agent.onApplied(listener),
  );

  await agent.start();
  await listen(admin, bind);
  await listenGrpc(telemetry, limits.bind === '*' ? '0.0.0.0' : limits.bind);
  monitor.start();
  const client = new KubeClient(loadConnection());
  const sources = watchNamespace(client, namespace, logger, (inputs) => agent.update(inputs));
  logger.info('routing', {
    namespace,
    haproxy: agent.pid,
    bind: limits.bind,
    descriptors: limits.descriptors,
  });

  const signal = await stop;
  logger.info('stopping', { signal });
  stopping = true;
  // Services drop this pod while it still serves; pods and weights may change meanwhile, so the agent goes on.
  await pause(Math.min(drainSeconds, graceSeconds / 4) * 1000);
  await sources.stop();
  await agent.stop(Math.max(500, (graceSeconds * 0.75 - drainSeconds - 1) * 1000));
  monitor.stop();
  telemetry.forceShutdown();
  admin.closeAllConnections();
  admin.close();
  logger.info('stopped');
}

function listen(server: HttpServer, bind: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(routerPorts.admin, bind, resolve);
  });
}

function listenGrpc(server: Server, bind: string): Promise<void> {
  const address = socketAddress(bind, routerPorts.telemetry);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
}
