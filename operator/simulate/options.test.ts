import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readOptions } from './options.ts';

describe('the options of the simulator', () => {
  it('have defaults, and the candidate is like stable unless it is said to differ', () => {
    const { behaviours, requestsPerSecond, actions } = readOptions(['--stable-errors', '2%'])!;
    assert.deepEqual(behaviours.candidate, { errors: 0.02, latencyMs: 20 });
    assert.equal(requestsPerSecond, 100);
    assert.deepEqual(actions, []);
  });

  it('say what happens when', () => {
    const { actions, requestsPerSecond } = readOptions([
      ...['--crash-at=40s', '--abort-at=1m', '--retry-at=2m', '--retry-at=3m', '--no-traffic'],
    ])!;
    assert.equal(requestsPerSecond, 0);
    assert.deepEqual(actions, [
      { atMs: 40_000, deed: 'crash' },
      { atMs: 60_000, deed: 'abort' },
      { atMs: 120_000, deed: 'retry' },
      { atMs: 180_000, deed: 'retry' },
    ]);
  });

  it('may ask for help', () => {
    assert.equal(readOptions(['--help']), undefined);
  });

  for (const [option, message] of [
    ['--rps=many', /^Error: --rps: "many" is no number/],
    ['--candidate-errors=101%', /^Error: --candidate-errors: "101%" is more than all/],
    ['--crash-at=soon', /^Error: --crash-at: not a duration: "soon"/],
    ['--replicas=0', /^Error: --replicas: "0" is no whole number from 1/],
    ['--spread=0', /^Error: --spread: it must be above 0/],
    ['--candidate-latency=0s', /^Error: --candidate-latency: it must be above 0/],
  ] as const) {
    it(`are refused by name: ${option}`, () => {
      assert.throws(() => readOptions([option]), message);
    });
  }
});
