/**
 * How long a change of weights takes from the write at the API to the requests: `npm run bench:changes [-- --help]`. A
 * router as the image runs it watches an API and has two pods; all traffic goes back and forth between them under load.
 * Prints one line of JSON, and fails when a request failed or the 99th percentile is 100 ms or more.
 */
import http from 'node:http';
import { request, until } from '../../runtime-image/router/testing/client.ts';
import { FakeApi } from '../../runtime-image/router/testing/fake-api.ts';
import { Pod } from '../../runtime-image/router/testing/pod.ts';
import { RouterProcess } from '../../runtime-image/router/testing/router-process.ts';
import { readOptions } from './options.ts';
import { quantile, round } from './statistics.ts';

const { changes } = readOptions(
  'npm run bench:changes',
  'From the write of a change of weights to the requests that follow it, under load.',
  { changes: { otherwise: 1000, what: 'changes' } },
);
const clients = 8;
const barMs = 100;
const prefix = '127.62.1';
const address = `${prefix}.254`;
const versions = ['1.0.0', '2.0.0'] as const;

const api = new FakeApi();
const pods = versions.map((version, index) => new Pod(version, `${prefix}.${index + 1}`));

function putModel(generation: number): void {
  const chosen = versions[generation % 2]!;
  api.putModel(
    generation,
    Object.fromEntries(versions.map((version) => [version, version === chosen ? 100 : 0])),
  );
}

for (const pod of pods) {
  await pod.start();
  api.putSlice(pod.version, [pod.address]);
}
putModel(0);
await api.start();
const router = await RouterProcess.start(address, api);

/** The version that the newest change gave the traffic to, when it was written, and what came of it. */
let current = { version: versions[0] as string, at: 0, first: Number.NaN, last: 0, followed: 0 };
const failures: Record<string, number> = {};
let requests = 0;
let running = true;

async function client(): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  while (running) {
    const change = current;
    const sent = performance.now();
    const outcome = await request(address, '/v2/models/m/infer', { body: '{}', agent }).then(
      ({ status, headers }) => (status === 200 ? String(headers['sluice-version']) : `status ${status}`),
      (error: Error) => error.message,
    );
    requests++;
    if (!(versions as readonly string[]).includes(outcome)) failures[outcome] = (failures[outcome] ?? 0) + 1;
    // What was sent before the change may be answered by either.
    if (change !== current || change.at === 0) continue;
    if (outcome === change.version) {
      change.followed++;
      if (Number.isNaN(change.first)) change.first = sent - change.at;
    } else change.last = Math.max(change.last, sent - change.at);
  }
  agent.destroy();
}

const firsts: number[] = [];
const lasts: number[] = [];
try {
  await router.ready();
  const work = Array.from({ length: clients }, client);
  for (let generation = 1; generation <= changes; generation++) {
    const change = {
      version: versions[generation % 2] as string,
      at: performance.now(),
      first: Number.NaN,
      last: 0,
      followed: 0,
    };
    current = change;
    putModel(generation);
    // So many in a row that a request which followed late would have been seen.
    await until(() => change.followed >= 3 * clients, `change ${generation}`, 30_000);
    firsts.push(change.first);
    lasts.push(change.last);
  }
  running = false;
  await Promise.all(work);
} finally {
  running = false;
  await router[Symbol.asyncDispose]();
  await api.stop();
  await Promise.all(pods.map((pod) => pod.kill()));
}
const ms = (list: readonly number[], part: number) => round(quantile(list, part), 1);
console.log(
  JSON.stringify({
    changes: firsts.length,
    requests,
    failures,
    firstMs: { p50: ms(firsts, 0.5), p99: ms(firsts, 0.99) },
    lastOldMs: { p50: ms(lasts, 0.5), p99: ms(lasts, 0.99), max: ms(lasts, 1) },
  }),
);
if (Object.keys(failures).length > 0 || ms(lasts, 0.99) >= barMs) process.exitCode = 1;
