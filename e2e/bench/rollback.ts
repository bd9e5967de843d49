/**
 * How fast a failing candidate loses its traffic: `npm run bench:rollback -- [--case=probe,kill,golden] [--runs=50]
 * [--rate=40]`. In a real cluster (by default the local one, with real processes) a candidate has half of the traffic,
 * fails, and is rolled back; then it is told to be tried again, and so on. Load over REST and gRPC runs all the while.
 *
 * Times are those of a watch of this process, from the pod's event after which too few pods are ready: to the status
 * that gives the candidate no weight, and to the status that says that every router follows. Prints one line of JSON
 * for each run, a table at the end, and fails when a bar is not met.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { labels } from '#contract';
import { enterNamespace } from '../cluster/assets/network.ts';
import { timeRollback } from '../demo/rollback.ts';
import { Installation } from '../scenarios/harness/installation.ts';
import { holds, kinds } from '../scenarios/harness/kinds.ts';
import { model, version } from '../scenarios/harness/manifests.ts';
import { openSession, type Session } from '../scenarios/harness/session.ts';
import { Stage } from '../scenarios/harness/stage.ts';
import { machine, printTable } from './report.ts';
import { type Case, cases } from './rollback-cases.ts';
import { quantile, round } from './statistics.ts';

const barMs = 1_000;
const stable = '5.0.0';

interface Run {
  readonly run: number;
  readonly reason: string;
  /** Milliseconds from the pod's event. */
  readonly weightlessMs: number;
  readonly followedMs: number;
  readonly routers: number;
  /** Milliseconds from the blow that made the pods fail to all routers, where there was one. */
  readonly sinceStrikeMs?: number;
}

interface Result {
  readonly of: Case;
  readonly runs: readonly Run[];
  /** Runs in which the candidate failed before it had traffic, so that nothing could be measured. */
  readonly void: number;
  readonly requests: number;
  readonly wrong: number;
  readonly lost: number;
}

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: Object.keys(cases).join() },
    runs: { type: 'string', default: '50' },
    rate: { type: 'string', default: '40' },
  },
});
for (const name of ['runs', 'rate'] as const) {
  if (!/^[1-9]\d{0,4}$/.test(values[name]))
    throw new Error(`--${name}=${values[name]} must be a whole number from 1 to 99999`);
}
const chosen = values.case.split(',').map((name) => {
  const found: Case | undefined = Object.hasOwn(cases, name) ? cases[name as keyof typeof cases] : undefined;
  if (found === undefined) throw new Error(`--case: ${name} is none of ${Object.keys(cases).join(', ')}`);
  return found;
});
const wanted = Number(values.runs);
const now = () => performance.now();

await enterNamespace();
const session = await openSession((line) => console.error(`# ${line}`));
try {
  await (await Installation.prepare(session)).helm('install');
  const results: Result[] = [];
  for (const each of chosen) results.push(await measure(session, each));
  report(results);
} finally {
  await session.close();
}

async function measure(session: Session, of: Case): Promise<Result> {
  const stage = await Stage.set(session, 'rollback');
  try {
    await stage.apply(
      model({
        rollout: { steps: [{ weight: 50, hold: '10m' }] },
        rollback: { unreadyFor: '0s', startupDeadline: '60s' },
        retention: { warm: 0, parkAfter: '0s' },
      }),
      version({ version: stable, spec: { replicas: 2 } }),
    );
    await stage.serves('vad', stable);
    const load = await stage.steadyLoad(Number(values.rate));
    const runs: Run[] = [];
    let failed = 0;
    await stage.apply(of.candidate);
    for (let attempt = 1; runs.length < wanted; attempt += 1) {
      if (attempt > 1) await retry(stage, of, attempt);
      const run = await once(stage, of, runs.length + 1);
      if (run === undefined) failed += 1;
      else {
        runs.push(run);
        console.log(JSON.stringify({ case: of.name, ...run }));
      }
      assert.ok(failed <= runs.length + 5, 'the candidate keeps failing before it has traffic');
      await parked(stage, of);
    }
    await load.more(Number(values.rate));
    const summaries = await Promise.all(load.loads.map((one) => one.stop()));
    const sum = (count: (summary: (typeof summaries)[number]) => number) =>
      summaries.reduce((total, summary) => total + count(summary), 0);
    const wrong = sum(({ errorKinds }) => errorKinds['wrong-answer'] ?? 0);
    const lost = sum(({ errors }) => errors) - wrong;
    if (lost > 0) console.error(JSON.stringify(summaries.flatMap(({ failures }) => failures.slice(0, 5))));
    return { of, runs, void: failed, requests: sum(({ requests }) => requests), wrong, lost };
  } catch (error) {
    console.error(stage.world.transcript());
    throw error;
  } finally {
    await stage.clear();
  }
}

/** One failure of a candidate that is on its way, or nothing when it failed before it had traffic at every router. */
async function once(stage: Stage, of: Case, run: number): Promise<Run | undefined> {
  const { world } = stage;
  const timing = timeRollback(world, { model: 'vad', version: of.version, minReady: of.minReady }, now);
  try {
    const status = () => world.model('vad')?.status;
    const latch = () => status()?.latched?.find((entry) => entry.version === of.version);
    const weight = () => status()?.traffic?.find((share) => share.version === of.version)?.weight ?? 0;
    const follow = () => {
      const { acked, total } = status()?.routers ?? {};
      return total !== undefined && total > 0 && acked === total;
    };
    const begun = await world.until(
      `${of.version} to have traffic`,
      () => (latch() !== undefined ? 'failed' : weight() > 0 && follow() && 'traffic'),
      90_000,
    );
    if (begun === 'failed') return undefined;
    const struck = now();
    await of.strike?.(world.pods({ [labels.model]: 'vad', [labels.version]: of.version }));
    const { reason } = await world.until(`${of.version} to be latched`, latch, 90_000);
    const { pod, weightless, followed } = await world.until(
      'all routers to follow',
      () => timing.times.followed !== undefined && timing.times,
    );
    assert.ok(of.reasons.includes(reason), `${of.version} was latched for ${reason}`);
    return {
      run,
      reason,
      weightlessMs: round(weightless! - pod!.at, 1),
      followedMs: round(followed!.at - pod!.at, 1),
      routers: followed!.routers,
      ...(of.strike === undefined ? {} : { sinceStrikeMs: round(followed!.at - struck, 1) }),
    };
  } finally {
    timing.stop();
  }
}

/** Waits until the failed version has no pods any more, so that the next try begins with new ones. */
async function parked({ world }: Stage, of: Case): Promise<void> {
  await world.until(
    `${of.version} to be parked`,
    () => world.pods({ [labels.model]: 'vad', [labels.version]: of.version }).length === 0,
  );
  await world.until('stable to serve alone', () => holds(world.model('vad'), 'Ready'));
}

async function retry({ session, namespace, world }: Stage, of: Case, attempt: number): Promise<void> {
  const annotations = { 'sluice.dev/retry': `attempt-${attempt}` };
  await session.client.patch(
    kinds.versions,
    namespace,
    `vad-${of.version}`,
    { metadata: { annotations } },
    { type: 'merge' },
  );
  await world.until(
    `the latch of ${of.version} to open`,
    () => world.model('vad')?.status?.latched?.some((entry) => entry.version === of.version) !== true,
  );
}

function report(results: readonly Result[]): void {
  console.log(`\n${machine()}; milliseconds\n`);
  const quantiles = (runs: readonly Run[], key: 'weightlessMs' | 'followedMs') =>
    [0.5, 0.99, 1].map((part) =>
      quantile(
        runs.map((run) => run[key]),
        part,
      ),
    );
  printTable(
    'failure,runs,weight 0: p50,p99,max,every router: p50,p99,max,requests,lost,wrong'.split(','),
    results.map(({ of, runs, requests, lost, wrong }) => [
      ...[of.name, runs.length],
      ...quantiles(runs, 'weightlessMs'),
      ...quantiles(runs, 'followedMs'),
      ...[requests, lost, wrong],
    ]),
  );
  for (const { of, runs, void: failed, lost } of results) {
    const p99 = quantile(
      runs.map((run) => run.followedMs),
      0.99,
    );
    if (failed > 0) console.log(`${of.name}: ${failed} more runs in which the candidate never had traffic`);
    const strikes = runs.flatMap(({ sinceStrikeMs }) => sinceStrikeMs ?? []);
    if (strikes.length > 0) {
      const [p50, late] = [quantile(strikes, 0.5), quantile(strikes, 0.99)];
      console.log(`${of.name}: from the blow to every router p50 ${p50} ms, p99 ${late} ms`);
    }
    if (p99 >= barMs) console.log(`${of.name}: p99 of ${p99} ms misses the bar of ${barMs} ms`);
    if (lost > 0) console.log(`${of.name}: ${lost} requests were lost`);
    if (p99 >= barMs || lost > 0) process.exitCode = 1;
  }
}
