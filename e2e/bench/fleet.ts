/** A router of many models, as the image runs it: how long it takes from nothing, what one change takes, and memory. */
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { routerPorts } from '#contract';
import { request, until } from '../../runtime-image/router/testing/client.ts';
import { FakeApi } from '../../runtime-image/router/testing/fake-api.ts';
import { RouterProcess } from '../../runtime-image/router/testing/router-process.ts';
import { cpuSecondsOf, residentBytesOf } from '../../runtime-image/testing/process.ts';
import { pods, startPods } from './proxies.ts';
import { median, quantile, round } from './statistics.ts';

const versions = ['1.0.0', '2.0.0', '3.0.0'] as const;
const changes = 50;
/** How long it is looked what health checks cost. */
const restMs = 5_000;
/** So many answers in a row that one of a former share would have been seen. */
const inARow = 5;

/** File descriptors that HAProxy wants: one for each port and for each pod and protocol, and what its connections need. */
function descriptorsFor(models: number): number {
  return routerPorts.maxModels + 2 * models * versions.length * pods.length + 2_048;
}

/** As many models, of those wanted, as the machine's limit of open files allows; tells when they are fewer. */
async function affordable(wanted: number): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8');
  const limit = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  let models = wanted;
  while (models > 1 && descriptorsFor(models) > limit) models--;
  if (models < wanted)
    console.error(
      `this machine allows ${limit} open files (ulimit -Hn), and ${wanted} models want ${descriptorsFor(wanted)}: ` +
        `${models} models are measured`,
    );
  return models;
}

/** Models with three versions each, of four pods each. */
export async function measureFleet(wanted: number) {
  const models = await affordable(wanted);
  await using stack = new AsyncDisposableStack();
  stack.use(await startPods());
  const api = new FakeApi();
  await api.start();
  stack.defer(() => api.stop());
  for (let at = 0; at < models; at++) {
    api.putModel(1, { '1.0.0': 62.37, '2.0.0': 28.74, '3.0.0': 8.89 }, at);
    for (const version of versions) api.putSlice(version, pods, at);
  }

  const began = performance.now();
  const router = stack.use(await RouterProcess.start('127.63.1.254', api));
  await router.ready();
  const ask = async (at: number, agent?: http.Agent) => {
    const options = { port: routerPorts.firstModel + at, body: '{}', ...(agent ? { agent } : {}) };
    const { status, headers } = await request(router.address, `/v2/models/m${at}/infer`, options);
    if (status !== 200) throw new Error(`model ${at} answers ${status}`);
    return headers['sluice-version'];
  };
  for (let at = 0; at < models; at++) await ask(at);
  const coldMs = performance.now() - began;

  const sum = (of: (pid: number) => number) => router.haproxies.reduce((total, pid) => total + of(pid), 0);
  const before = sum(cpuSecondsOf);
  await pause(restMs);
  const restingCores = (sum(cpuSecondsOf) - before) / (restMs / 1000);

  const times: number[] = [];
  for (let number = 0; number < changes; number++) {
    const at = number % models;
    // One that has little of the traffic before.
    const agent = new http.Agent({ keepAlive: true });
    const chosen = Math.floor(number / models) % 2 === 0 ? '3.0.0' : '2.0.0';
    const changed = performance.now();
    const shares = versions.map((version) => [version, version === chosen ? 100 : 0]);
    api.putModel(2 + number, Object.fromEntries(shares), at);
    let followed = changed;
    let row = 0;
    await until(
      async () => {
        const asked = performance.now();
        const follows = (await ask(at, agent)) === chosen;
        if (follows && row === 0) followed = asked;
        row = follows ? row + 1 : 0;
        return row === inARow;
      },
      `the change of model ${at}`,
      30_000,
    );
    agent.destroy();
    times.push(followed - changed);
  }
  return {
    name: `${models} models × ${versions.length} versions × ${pods.length} pods in one router`,
    coldMs: round(coldMs, 0),
    changeP50Ms: round(median(times), 1),
    changeMaxMs: round(quantile(times, 1), 1),
    restingCores: round(restingCores, 2),
    haproxyMiB: round(sum(residentBytesOf) / 2 ** 20, 0),
    agentMiB: round(router.residentBytes / 2 ** 20, 0),
  };
}
