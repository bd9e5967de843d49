import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConcurrencyLedger } from './concurrency-ledger.ts';
import type { Report } from './router-streams.ts';

const report = (...inFlight: number[]): Report => ({
  router: 'r',
  epoch: 'e',
  latencyBoundsMs: [],
  models: [
    {
      model: 'vad',
      uid: 'u',
      generation: 1,
      versions: inFlight.map((count, index) => ({
        version: `${index}`,
        servers: 1,
        requests: 0,
        errors: 0,
        inFlight: count,
        latency: [],
        timed: 0,
      })),
    },
  ],
});

describe('what is in flight', () => {
  it('is not known before a router has said so', () => {
    assert.equal(new ConcurrencyLedger().peak('speech', 'u', 0), undefined);
  });

  it('is the sum over versions and routers of a namespace', () => {
    const ledger = new ConcurrencyLedger();
    ledger.take('speech', 'speech/a', report(3, 4), 1_000);
    ledger.take('speech', 'speech/b', report(5), 1_100);
    ledger.take('other', 'other/a', report(100), 1_100);
    assert.equal(ledger.peak('speech', 'u', 1_200), 12);
  });

  it('is the most of the last half minute, without routers that are gone', () => {
    const ledger = new ConcurrencyLedger();
    ledger.take('speech', 'speech/a', report(9), 0);
    ledger.take('speech', 'speech/b', report(1), 0);
    ledger.close('speech/a');
    ledger.take('speech', 'speech/b', report(2), 6_000);
    assert.equal(ledger.peak('speech', 'u', 6_000), 10);
    assert.equal(ledger.peak('speech', 'u', 29_000), 10);
    assert.equal(ledger.peak('speech', 'u', 31_000), 2);
    assert.equal(ledger.peak('speech', 'u', 60_000), undefined);
  });
});
