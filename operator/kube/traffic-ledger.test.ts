import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Report } from './router-streams.ts';
import { TrafficLedger } from './traffic-ledger.ts';

const report = (router: string, epoch: string, requests: number): Report => ({
  router,
  epoch,
  latencyBoundsMs: [1, 10],
  models: [
    {
      model: 'vad',
      uid: 'u',
      generation: 1,
      versions: [
        {
          version: '5',
          servers: 1,
          requests,
          errors: 1,
          inFlight: 0,
          latency: [requests, 0, 0],
          timed: requests,
        },
      ],
    },
  ],
});

const requests = (ledger: TrafficLedger): number | undefined =>
  ledger.of('speech', 'u').versions.get('5')?.requests;

describe('the ledger', () => {
  it('adds up routers, and goes on where one begins again from zero or goes', () => {
    const ledger = new TrafficLedger();
    ledger.take('speech', 'speech/a', report('a', 'first', 100));
    ledger.take('speech', 'speech/b', report('b', 'first', 10));
    assert.equal(requests(ledger), 110);
    ledger.take('speech', 'speech/a', report('a', 'first', 130));
    assert.equal(requests(ledger), 140);
    ledger.take('speech', 'speech/a', report('a', 'second', 5));
    assert.equal(requests(ledger), 145);
    ledger.close('speech/a');
    ledger.take('speech', 'speech/b', report('b', 'first', 11));
    assert.equal(requests(ledger), 146);
    assert.deepEqual(ledger.of('speech', 'u').versions.get('5')?.latency, [146, 0, 0]);
  });

  it('gives copies, and forgets models that no router speaks of', () => {
    const ledger = new TrafficLedger();
    ledger.take('speech', 'speech/a', report('a', 'first', 1));
    const before = ledger.of('speech', 'u');
    ledger.take('speech', 'speech/a', { ...report('a', 'first', 1), models: [] });
    assert.equal(before.versions.get('5')?.requests, 1);
    assert.equal(requests(ledger), undefined);
  });
});
