import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { anytimePValue, type Counts, noEvidence, observe } from './e-process.ts';

/** A small generator with a seed, so that the figures of this test are the same everywhere (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function draw(random: () => number, total: number, p: number): Counts {
  let hits = 0;
  for (let trial = 0; trial < total; trial += 1) if (random() < p) hits += 1;
  return { hits, total };
}

/** Looks after every second; answers when the null is refused at 0.5 %, in seconds. */
function rollout(
  random: () => number,
  errors: { stable: number; candidate: number },
  share: number,
  perSecond: number,
  seconds: number,
) {
  let evidence = noEvidence;
  for (let second = 1; second <= seconds; second += 1) {
    const candidate = Math.round(perSecond * share);
    evidence = observe(
      evidence,
      draw(random, perSecond - candidate, errors.stable),
      draw(random, candidate, errors.candidate),
      0.01,
    );
    if (anytimePValue(evidence) <= 0.005) return second;
  }
  return undefined;
}

describe('the e-process', () => {
  it('raises a false alarm in at most 0.5 % of null rollouts, though it looks every second', () => {
    const random = generator(1);
    let alarms = 0;
    for (let run = 0; run < 2_000; run += 1) {
      const stable = [0, 0.001, 0.02, 0.3][run % 4]!;
      if (rollout(random, { stable, candidate: stable + 0.01 }, 0.1, 50, 60) !== undefined) alarms += 1;
    }
    assert.ok(alarms <= 10, `${alarms} of 2000`);
  });

  it('finds 5 points more errors at 10 % of 100 requests a second within a minute', () => {
    const random = generator(2);
    const delays = Array.from({ length: 200 }, () =>
      rollout(random, { stable: 0.001, candidate: 0.051 }, 0.1, 100, 600),
    );
    const found = delays.filter((delay) => delay !== undefined).sort((a, b) => a - b);
    assert.equal(found.length, delays.length);
    assert.ok(found[100]! < 60, `median ${found[100]} s`);
  });

  it('says nothing without candidate requests, and never takes evidence back', () => {
    const quiet = observe(noEvidence, { hits: 50, total: 100 }, { hits: 0, total: 0 }, 0.01);
    assert.equal(anytimePValue(quiet), 1);
    let evidence = quiet;
    for (let block = 0; block < 20; block += 1)
      evidence = observe(evidence, { hits: 0, total: 90 }, { hits: 10, total: 10 }, 0.01);
    const sure = anytimePValue(evidence);
    assert.ok(sure < 1e-6);
    for (let block = 0; block < 20; block += 1)
      evidence = observe(evidence, { hits: 0, total: 90 }, { hits: 0, total: 10 }, 0.01);
    assert.equal(anytimePValue(evidence), sure);
  });
});
