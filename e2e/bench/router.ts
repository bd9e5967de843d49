/**
 * The router against bare HAProxy with the same fixed split: `npm run bench:router [SECONDS]`. Both take turns in
 * one run, so that a busy machine slows both. Prints one line of JSON per measurement, and fails when a bar is not met.
 * Needs wrk and h2load (Debian: apt install wrk nghttp2-client).
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { routerPorts } from '#contract';
import { request, until } from '../../runtime-image/router/testing/client.ts';
import { findHaproxy } from '../../runtime-image/router/testing/haproxy.ts';
import { podPorts } from '../../runtime-image/router/testing/pod.ts';
import { firstPort, World } from '../../runtime-image/router/testing/world.ts';

const run = promisify(execFile);
const seconds = Number(process.argv[2] ?? 3);
const rounds = 3;
const threads = 1;
const pods = ['127.63.0.1', '127.63.0.2', '127.63.0.3', '127.63.0.4'] as const;
const bareAddress = '127.63.0.254';
const bodySizes = { '100 B': 100, '16 KiB': 16 * 1024 };

interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Pods as fast as can be: they read the request and answer a constant. */
const podConfig = `global
  nbthread 1
  maxconn 4000
  tune.bufsize 65536
defaults
  mode http
  timeout client 60s
  timeout connect 1s
  timeout server 60s
frontend pods
${pods.flatMap((pod) => [podPorts.http, podPorts.grpc].map((port) => `  bind ${pod}:${port}`)).join('\n')}
  http-request wait-for-body time 5s at-least 20000 if METH_POST
  http-request return status 200 content-type application/json string '{"outputs":[{"name":"p","datatype":"FP32","shape":[1],"data":[0.5]}]}'
`;

/** What somebody would write by hand for the same split, with the settings that any such file would have. */
const bareConfig = `global
  nbthread ${threads}
  maxconn 4000
defaults
  mode http
  timeout client 60s
  timeout connect 1s
  timeout server 60s
  balance leastconn
  http-reuse safe
frontend bare
  bind ${bareAddress}:${firstPort}
  acl grpc req.hdr(content-type) -m beg application/grpc
  use_backend g1 if grpc { rand(10000) lt 7000 }
  use_backend g2 if grpc
  use_backend h1 if { rand(10000) lt 7000 }
  default_backend h2
${(
  [
    ['h', podPorts.http, ''],
    ['g', podPorts.grpc, ' proto h2'],
  ] as const
)
  .map(
    ([kind, port, protocol]) => `backend ${kind}1
  server a ${pods[0]}:${port}${protocol}
  server b ${pods[1]}:${port}${protocol}
backend ${kind}2
  server c ${pods[2]}:${port}${protocol}`,
  )
  .join('\n')}
`;

/** Runs HAProxy on a configuration. @returns ends it */
async function haproxy(folder: string, name: string, config: string, address: string, port: number) {
  const file = join(folder, `${name}.cfg`);
  await writeFile(file, config);
  const child = spawn(await findHaproxy(), ['-db', '-f', file], { stdio: 'ignore' });
  const exit = new Promise((resolve) => child.once('exit', resolve));
  await until(
    () =>
      request(address, '/', { port }).then(
        () => true,
        () => false,
      ),
    `${name} answers`,
  );
  return async () => {
    child.kill('SIGTERM');
    await exit;
  };
}

async function wrk(address: string, script: string): Promise<Measured> {
  const { stdout } = await run('wrk', [
    ...['-t1', '-c32', `-d${seconds}s`, '--latency', '-s', script],
    `http://${address}:${firstPort}/v2/models/m/infer`,
  ]);
  const bad = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(stdout);
  if (bad) throw new Error(`wrk at ${address}: ${bad[0]}`);
  const ms = (percent: string) => {
    const [, value, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout) ?? [];
    return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'];
  };
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    p50Ms: ms('50'),
    p99Ms: ms('99'),
  };
}

async function h2load(address: string, body: string): Promise<Measured> {
  const log = `${body}.log`;
  await rm(log, { force: true });
  const { stdout } = await run('h2load', [
    ...['-t1', '-c8', '-m16', `-D${seconds}`, '-d', body, `--log-file=${log}`],
    ...['-H', 'content-type: application/grpc', '-H', 'te: trailers'],
    `http://${address}:${firstPort}/inference.GRPCInferenceService/ModelInfer`,
  ]);
  const failed = Number(/(\d+) failed/.exec(stdout)?.[1]);
  if (failed > 0) throw new Error(`h2load at ${address}: ${failed} failed`);
  const micros = (await readFile(log, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number(line.split('\t')[2]))
    .sort((a, b) => a - b);
  const quantile = (share: number) => (micros[Math.floor(micros.length * share)] ?? Number.NaN) / 1000;
  return {
    perSecond: Number(/, ([\d.]+) req\/s/.exec(stdout)?.[1]),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
  };
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
}

/** Both in turns, the medians of each, and the router's part of the bare one's throughput. */
async function compare(name: string, measure: (address: string) => Promise<Measured>, router: string) {
  const seen: { bare: Measured[]; router: Measured[] } = { bare: [], router: [] };
  for (let round = 0; round < rounds; round++) {
    seen.bare.push(await measure(bareAddress));
    seen.router.push(await measure(router));
  }
  const of = (side: 'bare' | 'router', key: keyof Measured) => median(seen[side].map((one) => one[key]));
  const ratios = seen.router.map((one, index) => one.perSecond / seen.bare[index]!.perSecond);
  const ratio = Number(median(ratios).toFixed(3));
  const line = {
    name,
    ratio,
    perSecond: Math.round(of('router', 'perSecond')),
    barePerSecond: Math.round(of('bare', 'perSecond')),
    addedP50Ms: Number((of('router', 'p50Ms') - of('bare', 'p50Ms')).toFixed(3)),
    addedP99Ms: Number((of('router', 'p99Ms') - of('bare', 'p99Ms')).toFixed(3)),
  };
  console.log(JSON.stringify(line));
  return line;
}

/** As many models as a router has ports, × 3 versions × 4 pods: from nothing, one change, and memory. */
async function large(world: World): Promise<void> {
  const names = ['1.0.0', '2.0.0', '3.0.0'];
  const models = Array.from({ length: routerPorts.maxModels }, (_, index) => ({
    name: `m${index}`,
    uid: `u${index}`,
    port: firstPort + index,
    generation: 1,
    stable: '1.0.0',
    traffic: names.map((version, at) => ({ version, weight: [62.37, 28.74, 8.89][at]! })),
  }));
  const endpoints = models.flatMap(({ name }) =>
    names.flatMap((version) =>
      pods.map((address) => ({ model: name, version, address, ports: podPorts, state: 'ready' as const })),
    ),
  );
  const cold = performance.now();
  await world.set(models, endpoints);
  const coldMs = performance.now() - cold;
  const changes: number[] = [];
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    const changed = models.map((model, at) =>
      at === i
        ? { ...model, traffic: names.map((version, k) => ({ version, weight: k === 0 ? 50 + i : 10 })) }
        : model,
    );
    await world.set(changed, endpoints);
    changes.push(performance.now() - began);
  }
  const status = await readFile(`/proc/${world.agent.pid}/status`, 'utf8');
  console.log(
    JSON.stringify({
      name: `${models.length} models × 3 versions × 4 pods`,
      coldMs: Math.round(coldMs),
      changeP50Ms: Number(median(changes).toFixed(1)),
      changeMaxMs: Number(Math.max(...changes).toFixed(1)),
      haproxyMiB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024),
      agentMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
    }),
  );
}

const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-router-'));
const ends: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
const failures: string[] = [];
try {
  const world = await World.start({ threads });
  ends.push(() => world.stop());
  ends.push(await haproxy(folder, 'pods', podConfig, pods[0], podPorts.http));
  ends.push(await haproxy(folder, 'bare', bareConfig, bareAddress, firstPort));
  await world.split(
    { '1.0.0': 70, '2.0.0': 30 },
    pods.slice(0, 3).map((address, index) => ({
      model: 'm',
      version: index < 2 ? '1.0.0' : '2.0.0',
      address,
      ports: podPorts,
      state: 'ready' as const,
    })),
  );
  for (const [size, bytes] of Object.entries(bodySizes)) {
    const script = join(folder, `${bytes}.lua`);
    await writeFile(
      script,
      `wrk.method = "POST"\nwrk.body = string.rep("x", ${bytes})\nwrk.headers["Content-Type"] = "application/json"\n`,
    );
    const body = join(folder, `${bytes}.bin`);
    await writeFile(body, Buffer.alloc(bytes, 1));
    const lines = [
      await compare(`HTTP/1.1, ${size}`, (address) => wrk(address, script), world.address),
      await compare(`gRPC, ${size}`, (address) => h2load(address, body), world.address),
    ];
    for (const { name, ratio } of lines) if (ratio < 0.9) failures.push(`${name}: ${ratio} of bare HAProxy`);
  }
  await large(world);
} finally {
  for (const end of ends.reverse()) await end();
}
for (const failure of failures) console.error(`below the bar: ${failure}`);
if (failures.length > 0) process.exitCode = 1;
