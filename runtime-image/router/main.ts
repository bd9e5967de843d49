/**
 * The router of a namespace: HAProxy carries the requests, the agent tells it where to.
 *
 * Holds the data plane's control: `plan` (pure) says what HAProxy shall do, `diff` (pure) how to get there without
 * losing a request, `config` and `maps` (pure) how that is written; `engine` runs the process, `agent` keeps the
 * order of things, `telemetry` and `admin` tell others. It takes nothing from the operator but the Models' status,
 * decides no weights, and never calls out except to the Kubernetes API.
 */
import { env, paths } from '#contract';
import { KubeClient } from '../../kube-client/client.ts';
import { loadConnection } from '../../kube-client/connection.ts';
import { integer, optional, required } from '../environment.ts';
import { createLogger } from '../logger.ts';
import { Agent } from './agent.ts';
import { findLimits } from './limits.ts';
import { watchNamespace } from './sources.ts';

/** Resolves when the router was told to stop and nothing is in flight any more. */
export async function main(): Promise<void> {
  const logger = createLogger('route');
  const source = process.env;
  const namespace = required(source, env.podNamespace);
  const graceSeconds = integer(source, env.gracePeriod, 30, { min: 1, max: 86_400 });
  const bind = optional(source, env.bindAddress);

  const agent = new Agent({
    binary: optional(source, env.haproxy) ?? 'haproxy',
    folder: optional(source, env.routerDir) ?? paths.routerDir,
    limits: findLimits(bind, graceSeconds),
    logger,
  });
  const stop = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  await agent.start();
  const client = new KubeClient(loadConnection());
  const sources = watchNamespace(client, namespace, logger, (inputs) => agent.update(inputs));
  logger.info('routing', { namespace, pid: agent.pid });

  const signal = await stop;
  logger.info('stopping', { signal });
  await sources.stop();
  await agent.stop((graceSeconds * 1000) / 2);
}
