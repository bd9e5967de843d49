import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultModelSpec } from '../api/defaults.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import { readModel } from './model-file.ts';
import { generator } from './random.ts';
import { lineOf, Recording } from './recording.ts';
import { report } from './report.ts';
import { type Scenario, type Simulation, simulate } from './simulation.ts';
import { MadeUpTraffic } from './source.ts';

interface Told {
  readonly spec?: Partial<ModelSpec>;
  readonly errors?: number;
  readonly latencyMs?: number;
  readonly rate?: number;
  readonly actions?: Scenario['actions'];
}

const scenario: Scenario = {
  spec: defaultModelSpec,
  stable: '1.0.0',
  candidate: '2.0.0',
  replicas: 2,
  startMs: 5_000,
  lagMs: 100,
  actions: [],
  limitMs: 900_000,
};

function tell({ spec = {}, errors = 0.001, latencyMs = 20, rate = 100, actions = [] }: Told): Simulation {
  const source = new MadeUpTraffic({
    random: generator(1),
    requestsPerSecond: rate,
    spread: 0.5,
    stable: '1.0.0',
    candidate: '2.0.0',
    behaviours: { stable: { errors: 0.001, latencyMs: 20 }, candidate: { errors, latencyMs } },
    badFromMs: 0,
  });
  return simulate({ ...scenario, spec: { ...defaultModelSpec, ...spec }, actions }, source);
}

const story = ({ lines }: Simulation): string[] =>
  lines
    .filter(({ reason }) => reason !== 'Verdict' && reason !== '·')
    .map(({ atMs, reason }) => `${atMs / 1_000} ${reason}`);

const { analysis } = defaultModelSpec.rollout;

describe('a simulated rollout', () => {
  it('of a good candidate goes through its steps', () => {
    const told = tell({});
    assert.deepEqual(story(told), [
      '0 RolloutStarted',
      '5 StepReached',
      '35.1 StepReached',
      '65.2 StepReached',
      '95.3 VersionPromoted',
    ]);
    assert.equal(told.outcome.kind, 'promoted');
    assert.equal(told.unanswered, 0);
    const weights = new Set(told.moments.map(({ weight }) => weight));
    assert.deepEqual([...weights], [0, 5, 25, 50, 100]);
  });

  it('of one that fails requests ends, and so do its failures', () => {
    const { outcome, requests, moments } = tell({ errors: 0.3 });
    assert.equal(outcome.kind, 'rolledBack');
    assert.equal(outcome.reason, 'ErrorRate');
    assert.ok(outcome.atMs < 30_000);
    assert.ok(requests.get('2.0.0')!.requests < 200);
    assert.equal(moments.at(-1)!.weight, 0);
  });

  it('of one that is slower ends, when latency is compared', () => {
    const latency = { quantile: 0.99, maxRatio: 1.2 };
    const rollout = { ...defaultModelSpec.rollout, analysis: { ...analysis, latency } };
    assert.equal(tell({ spec: { rollout }, latencyMs: 60 }).outcome.reason, 'Latency');
    assert.equal(tell({ latencyMs: 60 }).outcome.kind, 'promoted');
  });

  it('without traffic does as it is told', () => {
    const withAnalysis = (onInconclusive: 'hold' | 'rollback') => ({
      rollout: { ...defaultModelSpec.rollout, analysis: { ...analysis, onInconclusive } },
    });
    assert.equal(tell({ rate: 0 }).outcome.kind, 'promoted');
    assert.equal(tell({ rate: 0, spec: withAnalysis('rollback') }).outcome.reason, 'TooFewRequests');
    const held = tell({ rate: 0, spec: withAnalysis('hold') });
    assert.equal(held.outcome.kind, 'unfinished');
    assert.match(held.outcome.message, /step 1 of 3; it waits for Traffic/);
  });

  it('of one that crashes loses no request', () => {
    const told = tell({ errors: 0, actions: [{ atMs: 40_000, deed: 'crash' }] });
    assert.deepEqual(story(told).slice(-2), ['40 TrafficSuspended', '42 RolledBack']);
    assert.equal(told.outcome.reason, 'CrashLoop');
    assert.equal(told.unanswered, 0);
  });

  it('of one that is unready for a while goes on, and for long does not', () => {
    const unready = { atMs: 40_000, deed: 'unready' } as const;
    const back = tell({ actions: [unready, { atMs: 42_000, deed: 'ready' }] });
    assert.deepEqual(story(back).slice(3, 5), ['40 TrafficSuspended', '42 TrafficResumed']);
    assert.equal(back.outcome.kind, 'promoted');
    assert.equal(tell({ actions: [unready] }).outcome.reason, 'ReadinessLost');
  });

  it('waits for people, and heeds them', () => {
    const steps = [{ weight: 10, hold: '10s', approval: true }];
    const spec = { rollout: { ...defaultModelSpec.rollout, steps } };
    assert.match(tell({ spec }).outcome.message, /waits for Approval/);
    const approved = tell({ spec, actions: [{ atMs: 60_000, deed: 'approve' }] });
    assert.deepEqual(story(approved).slice(-2), ['60 Approved', '60 VersionPromoted']);
    const again = tell({
      actions: [
        { atMs: 10_000, deed: 'abort' },
        { atMs: 30_000, deed: 'retry' },
      ],
    });
    assert.ok(story(again).includes('10 RolledBack'));
    assert.equal(again.outcome.kind, 'promoted');
  });

  it('is the same for the same seed', () => {
    assert.deepEqual(tell({ errors: 0.02 }), tell({ errors: 0.02 }));
  });

  it('can be drawn, in ASCII too', () => {
    const told = tell({ errors: 0.3 });
    const drawn = report(told, { width: 40, ascii: true });
    assert.ok(drawn.some((line) => line.includes('2.0.0 was rolled back after')));
    for (const line of drawn)
      assert.ok(
        [...line].every((char) => char.charCodeAt(0) < 128 || char === '·'),
        line,
      );
    assert.ok(report(told, { width: 40, ascii: false }).some((line) => line.includes('█')));
  });
});

describe('a recording', () => {
  const recorded = (told: Simulation): string =>
    told.moments.map(({ atMs, traffic }) => lineOf(atMs, traffic, 'vad')).join('\n');

  it('leads to what it was recorded from', () => {
    const told = tell({ errors: 0.3 });
    const source = Recording.parse(recorded(told));
    assert.deepEqual(source.versions, ['1.0.0', '2.0.0']);
    const again = simulate(scenario, source);
    assert.deepEqual([again.outcome.reason, again.outcome.atMs], [told.outcome.reason, told.outcome.atMs]);
  });

  it('may come from several routers, some of which begin anew, and hold numbers as text', () => {
    const line = (router: string, epoch: string, requests: number) =>
      JSON.stringify({
        router,
        epoch,
        models: [{ model: 'vad', versions: [{ version: '1', requests: String(requests) }] }],
      });
    const text = [line('a', 'x', 100), line('b', 'x', 10), line('a', 'x', 150), line('b', 'y', 5)].join('\n');
    const counted = [0, 1_000, 2_000, 3_000].map(
      (atMs) => Recording.parse(text).read(atMs).versions.get('1')!.requests,
    );
    assert.deepEqual(counted, [0, 0, 50, 55]);
  });

  for (const [text, message] of [
    ['', /it holds no line/],
    ['{', /^Error: line 1: /],
    ['{"models":[]}', /line 1: models: there is none/],
    ['{"models":[{"model":"a","versions":[{"requests":1}]}]}', /versions\[\]\.version: it is missing/],
    ['{"models":[{"model":"a","versions":[{"version":"1","requests":-1}]}]}', /requests: -1 is no count/],
    ['{"at":"noon","models":[{"model":"a"}]}', /at: "noon" is no time/],
  ] as const) {
    it(`is refused when it is ${text}`, () => {
      assert.throws(() => Recording.parse(text), message);
    });
  }
});

describe('a Model in a file', () => {
  it('is filled in as the API server would', () => {
    const spec = readModel('kind: Model\nspec: {rollout: {steps: [{weight: 10, hold: 30s}]}}');
    assert.deepEqual(spec.rollout.steps, [{ weight: 10, hold: '30s' }]);
    const { rollout, rollback, retention } = readModel('kind: Model');
    const { rollout: r, rollback: b, retention: k } = defaultModelSpec;
    assert.deepEqual({ rollout, rollback, retention }, { rollout: r, rollback: b, retention: k });
  });

  for (const [text, message] of [
    ['kind: Pod', /kind: "Pod" is not Model/],
    [
      'kind: Model\nspec: {rollout: {steps: [{weight: 0, hold: 1s}]}}',
      /^Error: spec\.rollout\.steps\.0\.weight must be >= 1/,
    ],
    ['kind: Model\nspec: {rollout: {bake: soon}}', /^Error: spec\.rollout\.bake must match pattern/],
  ] as const) {
    it(`is refused when it says ${text.replaceAll('\n', ' ')}`, () => {
      assert.throws(() => readModel(text), message);
    });
  }
});
