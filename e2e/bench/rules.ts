/**
 * What the rules of a Model cost its requests, and those of other Models: `npm run bench:rules [-- --help]`. It reports
 * processor time of HAProxy per request, which a busy machine changes less than throughput, in turns, as the least of
 * all rounds: what else runs can only add to it. Prints one line of JSON for each and a table at the end; has no bar.
 */
import { firstPort, World } from '../../runtime-image/router/testing/world.ts';
import { cpuSecondsOf } from '../../runtime-image/testing/process.ts';
import { http1 } from './load.ts';
import { readOptions } from './options.ts';
import { endpoints, startPods } from './proxies.ts';
import { machine, printTable } from './report.ts';
import { round } from './statistics.ts';

const options = readOptions(
  'npm run bench:rules',
  'Processor time of a request for each kind of rule that a Model can have: 2 minutes as it is.',
  {
    seconds: { otherwise: 2, most: 60, what: 'seconds of load in each turn' },
    rounds: { otherwise: 3, most: 100, what: 'turns of each, of which the least counts' },
  },
);

type Policy = NonNullable<Parameters<World['set']>[0][number]['policy']>;

/** Routes for a header that the requests have, with other values. */
function routes(count: number): NonNullable<Policy['routes']> {
  return Array.from({ length: count }, (_, index) => ({
    headers: [{ name: 'x-tenant', value: `tenant-${index}` }],
    version: '2.0.0',
  }));
}

interface Case {
  readonly policy?: Policy;
  /** What another Model in the same router asks for. */
  readonly beside?: Policy;
  readonly targetConcurrency?: number;
}

const plain = 'no rules';
const cases: Readonly<Record<string, Case>> = {
  [plain]: {},
  'no rules, beside a Model that has many': {
    beside: { sticky: { cookie: 'affinity' }, routes: routes(16), pinning: 'disabled' },
  },
  'sticky by header': { policy: { sticky: { header: 'x-user-id' } } },
  'sticky by cookie': { policy: { sticky: { cookie: 'affinity' } } },
  'one route, which does not match': { policy: { routes: routes(1) } },
  '16 routes, which do not match': { policy: { routes: routes(16) } },
  'pinning disabled': { policy: { pinning: 'disabled' } },
  timeouts: { policy: { timeouts: { responseMs: 30_000, idleMs: 60_000 } } },
  targetConcurrency: { targetConcurrency: 1_000 },
};
const headers = { 'x-user-id': 'somebody', 'x-tenant': 'nobody', Cookie: 'affinity=somebody' };

/** Microseconds of a request, in a router of its own: what a limit brings stays until HAProxy is started again. */
async function measure({ policy, beside, targetConcurrency }: Case): Promise<number> {
  const world = await World.start({ threads: 1 });
  try {
    const model = (at: number, its: Policy | undefined) => ({
      name: `m${at}`,
      uid: `u${at}`,
      port: firstPort + at,
      generation: 1,
      stable: '1.0.0',
      traffic: [
        { version: '1.0.0', weight: 70 },
        { version: '2.0.0', weight: 30 },
      ],
      ...(its ? { policy: its, routed: ['2.0.0'] } : {}),
    });
    await world.set(
      [model(0, policy), ...(beside ? [model(1, beside)] : [])],
      endpoints('m0', targetConcurrency),
    );
    const load = (seconds: number) =>
      http1(
        {
          url: `http://${world.address}:${firstPort}/v2/models/m0/infer`,
          seconds,
          body: Buffer.alloc(100, 'x'),
          connections: 32,
        },
        headers,
      );
    await load(1);
    const pid = world.agent.pid!;
    const before = cpuSecondsOf(pid);
    const { perSecond } = await load(options.seconds);
    return ((cpuSecondsOf(pid) - before) * 1e6) / (perSecond * options.seconds);
  } finally {
    await world.stop();
  }
}

const micros = new Map<string, number>();
await using _pods = await startPods();
for (let number = 0; number < options.rounds; number++)
  for (const [name, its] of Object.entries(cases))
    micros.set(name, Math.min(await measure(its), micros.get(name) ?? Number.POSITIVE_INFINITY));

const lines = [...micros].map(([name, least]) => ({
  name,
  microsPerRequest: round(least, 1),
  ratio: round(least / micros.get(plain)!, 3),
}));
for (const line of lines) console.log(JSON.stringify(line));
console.log(`\n${machine()}; the least of ${options.rounds} rounds\n`);
printTable(
  ['the Model has', 'processor time, µs a request', 'against no rules'],
  lines.map(({ name, microsPerRequest, ratio }) => [name, microsPerRequest, ratio]),
);
