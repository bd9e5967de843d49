/**
 * `npm run simulate`: a rollout decided by the operator's own code, in a world that is made up or recorded; no cluster.
 * With `--study`, many of them. This room holds the simulated world, its traffic, and how both are drawn; it decides
 * nothing itself.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { defaultModelSpec } from '../api/defaults.ts';
import { policyOf } from '../decide/policy.ts';
import { readModel } from './model-file.ts';
import { type Options, readOptions, usage } from './options.ts';
import { generator } from './random.ts';
import { lineOf, Recording } from './recording.ts';
import { report } from './report.ts';
import { type Scenario, type Simulation, simulate } from './simulation.ts';
import { MadeUpTraffic, type Source } from './source.ts';
import { study } from './study.ts';
import { studyReport } from './study-report.ts';

const graceMs = 600_000;

try {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) console.log(usage);
  else if (options.study) runStudy(options);
  else run(options);
} catch (error) {
  console.error(`simulate: ${(error as Error).message}`);
  process.exitCode = 2;
}

function specOf({ model }: Options) {
  if (model === undefined) return defaultModelSpec;
  try {
    const spec = readModel(readFileSync(model, 'utf8'));
    if (spec.serve?.split !== undefined) throw new Error('spec.serve: without a version there is no rollout');
    return spec;
  } catch (error) {
    throw new Error(`--model ${model}: ${(error as Error).message}`, { cause: error });
  }
}

function run(options: Options): void {
  const spec = specOf(options);
  const { replicas, startMs, lagMs, actions } = options;
  const recording = options.from === undefined ? undefined : recorded(options.from, options.modelName);
  const [stable, candidate] = versionsOf(options, recording);
  const policy = policyOf(spec);
  const holds = policy.steps.reduce((sum, { holdMs }) => sum + holdMs, 0);
  const lastDeed = Math.max(0, ...actions.map(({ atMs }) => atMs));
  const scenario: Scenario = {
    spec,
    stable,
    candidate,
    replicas,
    startMs,
    lagMs,
    actions,
    limitMs: options.limitMs ?? recording?.lengthMs ?? Math.max(holds + startMs, lastDeed) + graceMs,
  };
  const source: Source =
    recording ??
    new MadeUpTraffic({
      random: generator(options.seed),
      requestsPerSecond: options.requestsPerSecond,
      spread: options.spread,
      stable,
      candidate,
      behaviours: options.behaviours,
      badFromMs: options.badFromMs,
    });
  const simulation = simulate(scenario, source);
  if (options.record !== undefined) {
    const lines = simulation.moments.map(({ atMs, traffic }) => lineOf(atMs, traffic, 'vad'));
    writeFileSync(options.record, `${lines.join('\n')}\n`);
  }
  if (options.json) console.log(JSON.stringify(summary(simulation)));
  else {
    const traffic = recording === undefined ? `${options.requestsPerSecond} requests/s` : options.from;
    console.log(`\n  ${candidate} instead of ${stable}; ${traffic}; seed ${options.seed}\n`);
    for (const line of report(simulation, styleOf(options))) console.log(line);
    console.log();
  }
}

function recorded(file: string, model: string | undefined): Recording {
  try {
    return Recording.parse(readFileSync(file, 'utf8'), model);
  } catch (error) {
    throw new Error(`--from ${file}: ${(error as Error).message}`, { cause: error });
  }
}

function versionsOf({ versions }: Options, recording: Recording | undefined): readonly [string, string] {
  if (recording === undefined) return [versions.stable ?? '1.0.0', versions.candidate ?? '2.0.0'];
  const known = recording.versions;
  const missing = [versions.stable, versions.candidate].find(
    (version) => version !== undefined && !known.includes(version),
  );
  if (missing !== undefined) throw new Error(`--from: ${missing} is none of ${known.join(', ')}`);
  const stable = versions.stable ?? known.find((version) => version !== versions.candidate);
  const candidate = versions.candidate ?? known.find((version) => version !== stable);
  const isClear = known.length === 2 || (versions.stable !== undefined && versions.candidate !== undefined);
  if (stable === undefined || candidate === undefined || !isClear)
    throw new Error(`--from: say which is --stable and which --candidate of ${known.join(', ')}`);
  return [stable, candidate];
}

function styleOf({ width, ascii }: Options) {
  const room = Math.max(20, Math.min(100, process.stdout.columns ?? 80) - 12);
  return { width: width ?? room, ascii };
}

function summary({ outcome, lines, requests, unanswered }: Simulation) {
  const counted = [...requests].map(([version, { requests: count, errors }]) => ({
    version,
    requests: count,
    errors,
  }));
  return { outcome, requests: counted, unanswered, lines };
}

function runStudy(options: Options): void {
  const spec = specOf(options);
  const { steps, analysis } = policyOf(spec);
  // The defaults compare no latency; the study does, since both tests share the bound.
  const latency = analysis.latency ?? { quantile: 0.99, maxRatio: 1.2 };
  const { seed, rollouts, trials } = options;
  const result = study({ seed, rollouts, trials, steps, analysis: { ...analysis, latency } }, () =>
    process.stderr.write('.'),
  );
  process.stderr.write('\n');
  if (options.json) console.log(JSON.stringify(result));
  else for (const line of studyReport(result)) console.log(line);
}
