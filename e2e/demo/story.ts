/**
 * The main job on a real system: a version serves a recording, its successor is rolled out, a bad one is rolled back, and
 * load runs all the while. Tells what happens, and notes what had to be so.
 */
import { readFile } from 'node:fs/promises';
import { Installation, systemNamespace } from '../scenarios/harness/installation.ts';
import { holds } from '../scenarios/harness/kinds.ts';
import type { Load } from '../scenarios/harness/load-pod.ts';
import { repository, type Session } from '../scenarios/harness/session.ts';
import { answeredBy, Stage, type SteadyLoad } from '../scenarios/harness/stage.ts';
import { type Traffic, watchTraffic } from '../scenarios/harness/traffic.ts';
import { timeRollback } from './rollback.ts';
import { rowsOf } from './rows.ts';
import type { Screen } from './screen.ts';
import { speech, waveform } from './sound.ts';
import type { Steps } from './steps.ts';
import { count, type Paint, summary, table, time } from './table.ts';
import type { Timeline } from './timeline.ts';

const example = (file: string) => `${repository}examples/vad/${file}`;
/** Requests a second of each of two protocols: enough for shares to show, little enough for a laptop. */
const rate = 40;

export interface Told {
  readonly screen: Screen;
  readonly steps: Steps;
  readonly timeline: Timeline;
  readonly now: () => number;
}

export async function tell(session: Session, told: Told): Promise<void> {
  const { steps } = told;
  await steps.step('sluice', async (say) => {
    say('helm install, and waiting for the operator');
    await (await Installation.prepare(session)).helm('install');
    return `installed with Helm in ${systemNamespace}; the operator is ready`;
  });
  const stage = await Stage.set(session, 'speech');
  try {
    await serve(stage, told);
    await listen(stage, told);
    const loads: Load[] = [];
    const traffic = watchTraffic(stage.world, 'vad');
    const follow = followTable(stage, loads, told);
    try {
      const load = await stage.steadyLoad(rate);
      loads.push(...load.loads);
      await load.more(rate);
      await rollOut(stage, traffic, told);
      await load.more(rate);
      await rollBack(stage, traffic, told);
      await load.more(rate);
      const rows = rowsOf(stage.world, 'vad', loads);
      follow.stop();
      told.screen.line();
      for (const line of table(rows, paintOf(told.screen))) told.screen.line(line);
      await reckon(load, told);
      await showState(stage, told);
    } finally {
      follow.stop();
      traffic.stop();
    }
  } catch (error) {
    told.screen.hide();
    for (const line of stage.world.describe().split('\n'))
      told.screen.line(told.screen.style('dim', `  ${line}`));
    throw error;
  } finally {
    await steps.step('clean up', async () => {
      await stage.clear();
      return `namespace ${stage.namespace} and everything in it are gone`;
    });
  }
}

async function serve(stage: Stage, { steps, timeline, now }: Told): Promise<void> {
  const { shell } = stage.session;
  await steps.step('vad 5.0.0', async (say) => {
    const start = now();
    timeline.add(start, 'vad-5.0.0 applied');
    say('kubectl apply -f examples/vad: pool, policy, first version');
    await shell.kubectl(['apply', '-f', example('pool.yaml')]);
    await shell.kubectl([
      'apply',
      '-n',
      stage.namespace,
      '-f',
      example('model.yaml'),
      '-f',
      example('vad-5.0.0.yaml'),
    ]);
    say('kubectl wait --for=condition=Ready modelversion/vad-5.0.0');
    await shell.kubectl([
      ...['wait', '-n', stage.namespace, '--for=condition=Ready', 'modelversion/vad-5.0.0', '--timeout=90s'],
    ]);
    await stage.serves('vad', '5.0.0');
    timeline.add(now(), '5.0.0 serves');
    const { readyReplicas, artifact } = stage.world.version('vad-5.0.0')?.status ?? {};
    steps.expect(
      '5.0.0 became ready and got all of the traffic',
      holds(stage.world.model('vad'), 'Servable'),
    );
    return `${readyReplicas} pods on GPU nodes, ${artifact?.digest?.slice(0, 19)}…`;
  });
}

/** The whole recording over both protocols: the answers decide whether it was heard right. */
async function listen(stage: Stage, { steps, screen }: Told): Promise<void> {
  let heard: readonly number[] = [];
  await steps.step('speech', async (say) => {
    let frames = 0;
    for (const protocol of ['grpc', 'rest'] as const) {
      const name = { grpc: 'gRPC', rest: 'REST' }[protocol];
      say(`examples/vad/requests/speech.wav over ${name}`);
      const load = await stage.load(`speech-${protocol}`, {
        protocol,
        file: 'speech.json',
        args: ['--count=1', '--print=output'],
      });
      const { requests, errors, failures } = await load.finished();
      frames += requests;
      heard = load.lines.flatMap((line) =>
        line.kind === 'answer' ? (line.outputs['output']?.[0] ?? []) : [],
      );
      steps.expect(
        `5.0.0 heard speech where there is speech, over ${name}`,
        errors === 0 && requests > 100,
        failures[0]?.message ?? `${requests} frames`,
      );
    }
    return `heard over gRPC and REST, ${frames} frames of 32 ms`;
  });
  const wav = await readFile(example('requests/speech.wav'));
  const samples = new Int16Array(
    wav.buffer.slice(wav.byteOffset + 44, wav.byteOffset + wav.length - (wav.length % 2)),
  );
  const width = 64;
  screen.line();
  screen.line(`    sound   ${screen.style('dim', waveform(samples, width))}`);
  screen.line(`    speech  ${screen.style('green', speech(heard, width))}`);
  screen.line();
}

async function rollOut(stage: Stage, traffic: Traffic, told: Told): Promise<void> {
  const { steps, timeline, now, screen } = told;
  const { world } = stage;
  timeline.add(now(), 'vad-6.0.0 applied');
  screen.line(heading(screen, 'kubectl apply -f vad-6.0.0.yaml', 'a new version, rolled out step by step'));
  const stop = noteShares(stage, '6.0.0', told);
  await stage.session.shell.kubectl(['apply', '-n', stage.namespace, '-f', example('vad-6.0.0.yaml')]);
  await stage.serves('vad', '6.0.0');
  stop();
  const shares = traffic.weights('6.0.0');
  steps.expect(
    '6.0.0 went through its steps to 100 %',
    shares.join() === '10,25,50,100' && world.model('vad')?.status?.stable === '6.0.0',
    shares.map((share) => `${share} %`).join(' → '),
  );
  screen.line(
    `    ${screen.style('green', '✓')} 6.0.0 is stable: ${shares.map((share) => `${share} %`).join(' → ')}`,
  );
  steps.expect(
    'shares added up to 100 % at all times',
    traffic.sums().every((sum) => sum === 100),
  );
}

async function rollBack(stage: Stage, traffic: Traffic, told: Told): Promise<void> {
  const { steps, timeline, now, screen } = told;
  const { world } = stage;
  timeline.add(now(), 'vad-7.0.0 applied: its pods will fail their readiness probe under way');
  screen.line(
    heading(screen, 'kubectl apply -f vad-7.0.0.yaml', 'a version that goes bad while it is rolled out'),
  );
  const stop = noteShares(stage, '7.0.0', told);
  const timing = timeRollback(world, { model: 'vad', version: '7.0.0', minReady: 1 }, now);
  await stage.session.shell.kubectl(['apply', '-n', stage.namespace, '-f', example('vad-7.0.0.yaml')]);
  const latched = await world.until(
    '7.0.0 to be latched',
    () => world.model('vad')?.status?.latched?.find(({ version }) => version === '7.0.0'),
    90_000,
  );
  timeline.add(now(), `7.0.0 is latched: ${latched.reason}`);
  await stage.serves('vad', '6.0.0');
  const event = await world.until('the event', () =>
    world.events({ kind: 'Model', name: 'vad', reason: 'RolledBack' }).at(-1),
  );
  stop();
  timing.stop();

  screen.line(
    `    ${screen.style('green', '✓')} 7.0.0 is rolled back and latched: ${latched.reason}, ${latched.message}`,
  );
  screen.line(`      ${screen.style('dim', `event ${event.type} ${event.reason}: ${event.message}`)}`);

  const { pod, weightless, followed } = timing.times;
  if (pod !== undefined)
    timeline.add(pod.at, `too few pods of 7.0.0 are ready (watch event of pod ${pod.name})`);
  if (pod !== undefined && weightless !== undefined)
    timeline.add(weightless, '7.0.0 has no weight in the status', pod.at);
  if (pod !== undefined && followed !== undefined) {
    timeline.add(followed.at, `7.0.0 has no weight at any of ${followed.routers} routers`, pod.at);
  }
  const most = Math.max(0, ...traffic.weights('7.0.0'));
  steps.expect('7.0.0 had traffic before it failed', most > 0, `${most} %`);
  steps.expect('7.0.0 lost its traffic and is latched', latched.reason === 'ReadinessLost', latched.message);
  steps.expect('an event says so', event.type === 'Warning', event.message ?? '');
  const ms = pod !== undefined && followed !== undefined ? followed.at - pod.at : undefined;
  steps.expect(
    'from the failed probe to no weight at any router in less than 1 s',
    ms !== undefined && ms < 1000,
    time(ms),
  );
  steps.expect(
    '6.0.0 serves on',
    world.model('vad')?.status?.stable === '6.0.0' && holds(world.model('vad'), 'Servable'),
  );
}

async function reckon(load: SteadyLoad, { steps, screen }: Told): Promise<void> {
  const summaries = await Promise.all(load.loads.map((each) => each.stop()));
  const sum = (of: (line: (typeof summaries)[number]) => number) =>
    summaries.reduce((all, each) => all + of(each), 0);
  const [requests, errors] = [sum((line) => line.requests), sum((line) => line.errors)];
  screen.line();
  screen.line(
    `  ${screen.style('bold', `${count(requests)} requests, ${count(errors)} failed`)}, over REST and gRPC, every answer checked`,
  );
  screen.line();
  const first = summaries.flatMap(({ failures }) => failures)[0];
  steps.expect(
    'no request was lost, and every answer was that of its version',
    errors === 0 && requests > 0,
    first === undefined ? count(requests) : `${first.at} ${first.error}: ${first.message}`,
  );
  for (const version of ['5.0.0', '6.0.0', '7.0.0']) {
    steps.expect(
      `${version} answered real requests`,
      answeredBy(summaries, version) > 0,
      count(answeredBy(summaries, version)),
    );
  }
}

/** What kubectl says now. */
async function showState(stage: Stage, { screen }: Told): Promise<void> {
  const text = await stage.session.shell.kubectl(['get', 'modelversions,models', '-n', stage.namespace]);
  screen.line(`  ${screen.style('cyan', '▸')} ${screen.style('bold', 'kubectl get modelversions,models')}`);
  for (const line of text.trimEnd().split('\n')) screen.line(screen.style('dim', `  ${line}`.trimEnd()));
  screen.line();
}

/** Notes every change of a version's share. */
function noteShares(stage: Stage, version: string, { timeline, now }: Told): () => void {
  let last = 0;
  return stage.world.onModel(({ now: model }) => {
    if (model?.metadata.name !== 'vad') return;
    const weight = model.status?.traffic?.find((entry) => entry.version === version)?.weight ?? 0;
    if (weight !== last && weight > 0) timeline.add(now(), `${version} gets ${weight} % of the traffic`);
    last = weight;
  });
}

/** Keeps the table on the screen; where nothing can be painted over, a line for every change of shares. */
function followTable(stage: Stage, loads: readonly Load[], { screen }: Told): { stop(): void } {
  const rows = () => rowsOf(stage.world, 'vad', loads);
  const paint = paintOf(screen);
  screen.show(() => ['', ...table(rows(), paint)]);
  let last = '';
  const stop = stage.world.onModel(({ now: model }) => {
    const shares = JSON.stringify(model?.status?.traffic);
    if (!screen.live && shares !== last) screen.line(`    ${summary(rows())}`);
    last = shares;
  });
  return {
    stop: () => {
      stop();
      screen.hide();
    },
  };
}

function paintOf(screen: Screen): Paint {
  return {
    head: (text) => screen.style('dim', text),
    good: (text) => screen.style('green', text),
    bad: (text) => screen.style('red', text),
    busy: (text) => screen.style('yellow', text),
    faint: (text) => screen.style('dim', text),
  };
}

function heading(screen: Screen, command: string, what: string): string {
  return `  ${screen.style('cyan', '▸')} ${screen.style('bold', command)}  ${screen.style('dim', what)}`;
}
