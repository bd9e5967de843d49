/**
 * The golden sidecar: asks the server in its own pod, over the real protocol, what it must be able to answer. The
 * pod is ready only while the answers are right, so routers never see a pod that answers wrongly, whoever made its
 * server. A wrong answer ends the process with a typed reason; no answer only makes the pod unready.
 */
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { env, goldenPort, serverPorts } from '#contract';
import { integer, oneOf, optional, parseDuration, required } from '../environment.ts';
import type { Client } from '../load/client.ts';
import { grpcClient } from '../load/grpc-client.ts';
import { restClient } from '../load/rest-client.ts';
import { createLogger } from '../logger.ts';
import { Failure } from '../termination.ts';
import { check, readGolden } from './check.ts';

const timeoutMs = 10_000;
/** How soon a server that does not answer is asked again. */
const retryMs = 250;
/** Rounds without an answer after which a pod that was ready is not ready any more. */
const silentRounds = 3;

/** Resolves when it was told to stop. */
export async function main(): Promise<void> {
  const logger = createLogger('golden');
  const source = process.env;
  const model = required(source, env.model);
  const golden = await readGolden(required(source, env.goldenRequests));
  const periodMs = parseDuration(optional(source, env.goldenPeriod) ?? '30s');
  if (periodMs === undefined) throw new Failure('ConfigurationInvalid', `${env.goldenPeriod} is no duration`);
  const client = clientOf(source);
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());

  let ready = false;
  const server = createServer((_, response) => {
    response.writeHead(ready ? 200 : 503, { 'content-type': 'text/plain' });
    response.end(ready ? 'ok\n' : 'the golden requests have not been answered rightly\n');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(goldenPort, optional(source, env.bindAddress), resolve);
  });

  let silent = 0;
  while (!stop.signal.aborted) {
    const outcome = await check(client, model, golden, timeoutMs);
    if (outcome.kind === 'wrong') throw new Failure('GoldenMismatch', outcome.message);
    silent = outcome.kind === 'silent' ? silent + 1 : 0;
    const before: boolean = ready;
    ready = outcome.kind === 'right' || (ready && silent < silentRounds);
    if (before !== ready)
      logger.info(ready ? 'golden requests are answered rightly' : 'no answer', { ...outcome });
    const wait = outcome.kind === 'right' ? periodMs : retryMs;
    await pause(wait, undefined, { signal: stop.signal }).catch(() => {});
  }
  server.close();
  server.closeAllConnections();
  await client.close();
}

/** The server in the same pod: localhost, or the pod's address on nodes without network namespaces. */
function clientOf(source: NodeJS.ProcessEnv): Client {
  const bind = optional(source, env.bindAddress) ?? '127.0.0.1';
  const host = bind.includes(':') ? `[${bind}]` : bind;
  const protocol = oneOf(source, env.goldenProtocol, 'HTTP', ['HTTP', 'GRPC']);
  const port = (name: string, standard: number) => integer(source, name, standard, { min: 1, max: 65_535 });
  return protocol === 'GRPC'
    ? grpcClient(`${host}:${port(env.grpcPort, serverPorts.grpc)}`, 1)
    : restClient(`http://${host}:${port(env.httpPort, serverPorts.http)}`, 1);
}
