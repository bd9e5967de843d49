/**
 * What the router costs: `npm run bench:router [-- --help]`. All take turns in one run, so that a busy machine slows all:
 * the router, bare HAProxy, the same with retries, and nginx `split_clients`, each with one thread and the same split of 70 and 30 % over the same
 * pods, under wrk (HTTP/1.1) and h2load (gRPC), with bodies of three sizes. Then what is lost behind each when a pod is killed,
 * and a router with very many models.
 *
 * Prints one line of JSON per comparison and tables at the end, and fails when the bar is not met: 0.9 of the throughput
 * of bare HAProxy, and nothing lost behind the router. wrk, h2load, nginx and HAProxy are brought where they are missing.
 */
import { routerPorts } from '#contract';
import { firstPort, World } from '../../runtime-image/router/testing/world.ts';
import { cpuSecondsOf } from '../../runtime-image/testing/process.ts';
import { measureFleet } from './fleet.ts';
import { grpc, http1, type Measured } from './load.ts';
import { measureLosses } from './losses.ts';
import { readOptions } from './options.ts';
import { endpoints, type ProxyProcess, startBareHaproxy, startNginx, startPods } from './proxies.ts';
import { machine, printTable } from './report.ts';
import { median, round } from './statistics.ts';

const options = readOptions(
  'npm run bench:router',
  'The router against bare HAProxy, with retries too, and nginx split_clients, in turns, and a router with very many models.\n' +
    'Each turn is --seconds under full load and one second of one request at a time: 9 minutes as it is.',
  {
    seconds: { otherwise: 1, most: 60, what: 'seconds of full load in each turn' },
    rounds: { otherwise: 9, most: 100, what: 'turns of each, of which the medians count' },
    kills: { otherwise: 10, most: 1000, what: 'pods killed behind each' },
    models: { otherwise: routerPorts.maxModels, most: routerPorts.maxModels, what: 'models in one router' },
  },
);
const bar = 0.9;

interface Turn {
  readonly full: Measured;
  /** One request at a time, so that none waits for another. */
  readonly alone: Measured;
  /** Processor time of the proxy per request, under full load. */
  readonly cpuMicros: number;
}

type Load = (proxy: ProxyProcess, seconds: number, full: boolean) => Promise<Measured>;

const bodies = { '100 B': 100, '16 KiB': 16 * 1024, '1 MB': 1_000_000 };
const loads: Record<string, Load> = {};
for (const [size, bytes] of Object.entries(bodies)) {
  const body = Buffer.alloc(bytes, 'x');
  loads[`HTTP/1.1, ${size}`] = ({ address, ports }, seconds, full) =>
    http1({
      ...{ url: `http://${address}:${ports.http}/v2/models/m/infer`, seconds, body },
      connections: full ? 32 : 1,
    });
  const path = 'inference.GRPCInferenceService/ModelInfer';
  loads[`gRPC, ${size}`] = ({ address, ports }, seconds, full) =>
    grpc({
      ...{ url: `http://${address}:${ports.grpc}/${path}`, seconds, body },
      connections: full ? 8 : 1,
      streams: !full ? 1 : bytes < 100_000 ? 16 : 2,
    });
}

async function turn(proxy: ProxyProcess, load: Load): Promise<Turn> {
  const before = cpuSecondsOf(proxy.pid);
  const full = await load(proxy, options.seconds, true);
  const cpuMicros = ((cpuSecondsOf(proxy.pid) - before) * 1e6) / (full.perSecond * options.seconds);
  return { full, alone: await load(proxy, 1, false), cpuMicros };
}

/** The router beside another proxy: medians of what they did, and of the differences within each round. */
function compare(name: string, against: string, router: readonly Turn[], other: readonly Turn[]) {
  const middle = (of: (one: Turn, another: Turn) => number, digits: number) =>
    round(median(router.map((one, index) => of(one, other[index]!))), digits);
  return {
    name,
    against,
    ratio: middle((a, b) => a.full.perSecond / b.full.perSecond, 3),
    perSecond: middle((a) => a.full.perSecond, 0),
    otherPerSecond: middle((_, b) => b.full.perSecond, 0),
    addedP50Ms: middle((a, b) => a.full.p50Ms - b.full.p50Ms, 3),
    addedP99Ms: middle((a, b) => a.full.p99Ms - b.full.p99Ms, 3),
    aloneAddedP50Ms: middle((a, b) => a.alone.p50Ms - b.alone.p50Ms, 3),
    aloneAddedP99Ms: middle((a, b) => a.alone.p99Ms - b.alone.p99Ms, 3),
    cpuMicros: middle((a) => a.cpuMicros, 1),
    otherCpuMicros: middle((_, b) => b.cpuMicros, 1),
  };
}

async function compareAll() {
  await using stack = new AsyncDisposableStack();
  stack.use(await startPods());
  const world = await World.start({ threads: 1 });
  stack.defer(() => world.stop());
  await world.split({ '1.0.0': 70, '2.0.0': 30 }, endpoints('m'));
  const router = {
    address: world.address,
    ports: { http: firstPort, grpc: firstPort },
    pid: world.agent.pid!,
    [Symbol.asyncDispose]: async () => {},
  };
  const sides: readonly (readonly [string, ProxyProcess])[] = [
    ['router', router],
    ['bare HAProxy', stack.use(await startBareHaproxy({ retries: false }))],
    ['HAProxy that retries', stack.use(await startBareHaproxy({ retries: true }))],
    ['nginx split_clients', stack.use(await startNginx())],
  ];
  const lines: ReturnType<typeof compare>[] = [];
  for (const [name, load] of Object.entries(loads)) {
    const turns = new Map<string, Turn[]>(sides.map(([side]) => [side, []]));
    for (let number = 0; number < options.rounds; number++) {
      // Each side is as often the first.
      const first = number % sides.length;
      for (const [side, proxy] of [...sides.slice(first), ...sides.slice(0, first)])
        turns.get(side)!.push(await turn(proxy, load));
    }
    const [own, ...others] = sides.map(([side]) => side);
    for (const other of others) {
      const line = compare(name, other, turns.get(own!)!, turns.get(other)!);
      console.log(JSON.stringify(line));
      lines.push(line);
    }
  }
  return lines;
}

const lines = await compareAll();
const losses = await measureLosses(options.kills);
for (const line of losses) console.log(JSON.stringify(line));
const fleet = await measureFleet(options.models);
console.log(JSON.stringify(fleet));

console.log(
  `\n${machine()}; medians of ${options.rounds} rounds; latencies in ms, processor time in µs a request\n`,
);
const columns = [
  ['request', 'name'],
  ['against', 'against'],
  ['ratio', 'ratio'],
  ['router/s', 'perSecond'],
  ['other/s', 'otherPerSecond'],
  ['full load: added p50', 'addedP50Ms'],
  ['p99', 'addedP99Ms'],
  ['one at a time: added p50', 'aloneAddedP50Ms'],
  ['p99', 'aloneAddedP99Ms'],
  ['CPU: router', 'cpuMicros'],
  ['other', 'otherCpuMicros'],
] as const;
printTable(
  columns.map(([head]) => head),
  lines.map((line) => columns.map(([, key]) => line[key])),
);
console.log(`\n${options.kills} pods killed under load\n`);
printTable(
  ['behind', 'requests', 'lost'],
  losses.map((side) => [side.name, side.requests, side.lost]),
);
const { name, ...of } = fleet;
console.log(`\n${name}; ms, cores and MiB\n`);
printTable(
  ['from its start until all answer', 'one change: p50', 'max', 'cores at rest', 'memory: HAProxy', 'agent'],
  [[of.coldMs, of.changeP50Ms, of.changeMaxMs, of.restingCores, of.haproxyMiB, of.agentMiB]],
);
const failures = [
  ...lines
    .filter(({ against, ratio }) => against === 'bare HAProxy' && ratio < bar)
    .map((line) => `below the bar of ${bar}: ${line.name}, ${line.ratio} of bare HAProxy`),
  ...losses
    .filter((side) => side.name === 'router' && side.lost > 0)
    .map(({ lost }) => `the router lost ${lost} requests`),
];
for (const failure of failures) console.error(failure);
if (failures.length > 0) process.exitCode = 1;
