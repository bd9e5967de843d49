import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Totals } from '../../api/traffic.ts';
import { type AnalysisPolicy, type Evidence, freshEvidence, judge, weigh } from './evidence.ts';

const bounds = [1, 2, 4, 8, 16];
const policy: AnalysisPolicy = {
  minRequests: 100,
  maxErrorIncrease: 0.01,
  latency: { quantile: 0.99, maxRatio: 1.5 },
  onInconclusive: 'proceed',
};

/** Requests of which some failed, in latency buckets. */
const block = (
  requests: number,
  errors: number,
  latency: readonly number[] = [requests, 0, 0, 0, 0, 0],
): Totals => ({
  requests,
  errors,
  latency,
  timed: requests,
});

function after(blocks: number, stable: Totals, candidate: Totals, by = policy, within = bounds): Evidence {
  let evidence = freshEvidence;
  for (let count = 0; count < blocks; count += 1)
    evidence = weigh(evidence, { stable, candidate }, within, by);
  return evidence;
}

describe('the judgement of live traffic', () => {
  it('is inconclusive before there is enough of it', () => {
    const judgement = judge(after(9, block(90, 0), block(10, 0)), policy);
    assert.deepEqual(judgement, { verdict: 'Inconclusive', message: '90 of 100 requests seen' });
  });

  it('passes a candidate that is like stable, also when both fail', () => {
    assert.equal(judge(after(20, block(90, 9), block(10, 1)), policy).verdict, 'Pass');
  });

  it('fails one that has more errors, before minRequests if it is that bad', () => {
    const judgement = judge(after(6, block(90, 0), block(10, 5)), policy);
    assert.equal(judgement.verdict, 'Fail');
    assert.equal(judgement.reason, 'ErrorRate');
    assert.match(judgement.message, /^50\.00 % of 60 requests failed, 0\.00 % of stable's 540 \(p = /);
  });

  it('fails one whose slow requests are too many', () => {
    const slow = block(10, 0, [0, 0, 0, 5, 5, 0]);
    const judgement = judge(after(60, block(90, 0), slow), policy);
    assert.equal(judgement.reason, 'Latency');
    assert.match(
      judgement.message,
      /100\.00 % of its requests took more than 1\.5 times stable's 0\.99 quantile/,
    );
  });

  it('lets a candidate be a little slower', () => {
    const same = block(10, 0, [5, 5, 0, 0, 0, 0]);
    const stable = block(90, 0, [50, 40, 0, 0, 0, 0]);
    assert.equal(judge(after(60, stable, same), policy).verdict, 'Pass');
  });

  it('means the ratio that it says, with buckets as fine as those of the routers', () => {
    const fine = Array.from({ length: 60 }, (_, index) => 1.15 ** index);
    /** A tenth of the requests each at 10 levels, of which the slowest takes `worstMs`. */
    const upTo = (worstMs: number, requests: number): Totals => {
      const latency = new Array<number>(fine.length + 1).fill(0);
      for (let level = 1; level <= 10; level += 1) {
        const bucket = fine.findIndex((bound) => bound >= (worstMs * level) / 10);
        latency[bucket]! += requests / 10;
      }
      return { requests, errors: 0, latency, timed: requests };
    };
    const strict = { ...policy, latency: { quantile: 0.99, maxRatio: 1.2 } };
    for (const worst of [40, 45, 50, 55, 60, 65]) {
      const verdict = (ratio: number) =>
        judge(after(100, upTo(worst, 90), upTo(worst * ratio, 10), strict, fine), strict).verdict;
      assert.equal(verdict(1.1), 'Pass', `${worst} ms`);
      assert.equal(verdict(1.35), 'Fail', `${worst} ms`);
    }
  });

  it('takes for evidence only what was timed, not what it stands for', () => {
    const sampled = (totals: Totals): Totals => ({ ...totals, timed: totals.timed / 100 });
    const stable = block(9_000, 0);
    const candidate = block(1_000, 0, [900, 0, 0, 100, 0, 0]);
    const full = after(4, stable, candidate).slowness.peak;
    const part = after(4, sampled(stable), sampled(candidate)).slowness.peak;
    assert.ok(full > part);
  });
});
