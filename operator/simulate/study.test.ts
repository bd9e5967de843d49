import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { study } from './study.ts';
import { interval, quantile, studyReport, sum } from './study-report.ts';

const options = {
  seed: 1,
  rollouts: 300,
  trials: 0,
  steps: [
    { weight: 5, holdMs: 30_000 },
    { weight: 50, holdMs: 30_000 },
  ],
  analysis: {
    minRequests: 100,
    maxErrorIncrease: 0.01,
    latency: { quantile: 0.99, maxRatio: 1.2 },
    onInconclusive: 'proceed',
  },
} as const;

describe('a study of many rollouts', () => {
  it('finds false alarms in at most 1 % of them, equal to stable or at the margin', () => {
    const { falseAlarms } = study(options);
    for (const kind of ['equal', 'margin'] as const) {
      const { alarms, rollouts } = sum(falseAlarms, kind);
      assert.equal(rollouts, options.rollouts);
      assert.ok(alarms <= rollouts * 0.01, `${kind}: ${alarms} of ${rollouts}`);
    }
  });

  it('finds what is bad, sooner with more traffic', () => {
    const few = { ...options, rollouts: 0, trials: 9 };
    const { delays } = study(few);
    const errors = delays.filter(({ what }) => what === 'errors');
    for (const row of errors) assert.equal(row.seconds.length, row.trials);
    const medians = [10, 100, 1_000].map((rate) =>
      quantile(errors.find(({ requestsPerSecond }) => requestsPerSecond === rate)!, 0.5),
    );
    assert.ok(medians[0]! > medians[1]! && medians[1]! > medians[2]!, medians.join());
    assert.ok(medians[1]! < 60);
  });

  it('is the same for the same seed', () => {
    const small = { ...options, rollouts: 15, trials: 1 };
    assert.deepEqual(study(small), study(small));
    assert.ok(studyReport(study(small)).some((line) => line.startsWith('| all |')));
  });

  it('says how sure it is', () => {
    const [low, high] = interval(0, 10_000);
    assert.equal(low, 0);
    assert.ok(high > 0.0003 && high < 0.0005);
    const [from, to] = interval(50, 100);
    assert.ok(from > 0.4 && from < 0.5 && to > 0.5 && to < 0.6);
  });
});
