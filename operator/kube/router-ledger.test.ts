import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { RouterLedger } from './router-ledger.ts';
import type { Report, VersionReport } from './router-report.ts';

const counted = (version: string, requests: number, inFlight = 0): VersionReport => ({
  version,
  servers: 1,
  pods: 1,
  requests,
  errors: 0,
  inFlight,
  latency: [requests, 0, 0],
  timed: requests,
});

const report = (epoch: string, ...versions: VersionReport[]): Report => ({
  router: 'r',
  epoch,
  latencyBoundsMs: [1, 10],
  models: [{ model: 'vad', uid: 'u', generation: 1, versions }],
});

const nothing: Report = { ...report('first'), models: [] };

let ledger: RouterLedger;
beforeEach(() => {
  ledger = new RouterLedger();
});

describe('what routers have counted', () => {
  const take = (pod: string, epoch: string, requests: number, version = '5') =>
    ledger.take('speech', pod, report(epoch, counted(version, requests)), 0);
  const requests = (version = '5') => ledger.traffic('speech', 'u').versions.get(version)?.requests;

  it('begins with the first report: what a router counted before, nobody here knows anything of', () => {
    take('a', 'first', 1_000_000);
    assert.equal(requests(), 0);
    take('a', 'first', 1_000_001);
    take('b', 'first', 500_000);
    assert.equal(requests(), 1);
    assert.deepEqual(ledger.traffic('speech', 'u').versions.get('5')?.latency, [1, 0, 0]);
  });

  it('adds up routers, and goes on where one begins again from zero or goes', () => {
    take('a', 'first', 100);
    take('b', 'first', 10);
    take('a', 'first', 130);
    assert.equal(requests(), 30);
    take('a', 'second', 5);
    assert.equal(requests(), 35);
    ledger.forget('speech', 'a');
    take('b', 'first', 11);
    assert.equal(requests(), 36);
  });

  it('counts a version that a known router begins to name from its first request on', () => {
    take('a', 'first', 100);
    take('a', 'first', 7, '6');
    assert.equal(requests('6'), 7);
  });

  it('misses nothing while a stream is broken or a router is not ready', () => {
    take('a', 'first', 100);
    ledger.silence('speech', 'a');
    ledger.excuse('speech', 'a');
    ledger.expect('speech', 'a');
    take('a', 'first', 120);
    assert.equal(requests(), 20);
  });

  it('gives copies, and forgets models that no router names', () => {
    take('a', 'first', 1);
    take('b', 'first', 1);
    const before = ledger.traffic('speech', 'u');
    take('a', 'first', 3);
    assert.equal(before.versions.get('5')?.requests, 0);
    ledger.take('speech', 'a', nothing, 0);
    assert.equal(requests(), 2);
    ledger.forget('speech', 'b');
    assert.equal(requests(), undefined);
  });
});

describe('what is in flight', () => {
  const take = (pod: string, now: number, ...inFlight: number[]) =>
    ledger.take('speech', pod, report('e', ...inFlight.map((n, i) => counted(`${i}`, 0, n))), now);
  const peak = (now: number) => ledger.peak('speech', 'u', now);

  it('is not known before all routers that should have said so', () => {
    assert.equal(peak(0), undefined);
    ledger.expect('speech', 'a');
    ledger.expect('speech', 'b');
    take('a', 0, 5);
    assert.equal(peak(0), undefined);
    take('b', 0, 6);
    assert.equal(peak(0), 11);
    ledger.expect('speech', 'c');
    assert.equal(peak(0), 11, 'a new router has nothing in flight yet');
  });

  it('does not wait for a router that is lost or not ready', () => {
    ledger.expect('speech', 'a');
    ledger.expect('speech', 'b');
    take('a', 0, 5);
    ledger.excuse('speech', 'b');
    assert.equal(peak(0), 5);
  });

  it('is the sum over versions and routers of a namespace', () => {
    take('a', 1_000, 3, 4);
    take('b', 1_100, 5);
    ledger.take('other', 'a', report('e', counted('0', 0, 100)), 1_100);
    assert.equal(peak(1_200), 12);
    take('a', 6_000, 1);
    take('a', 40_000, 2);
    assert.equal(peak(40_000), 7);
  });

  it('is the most of the last half minute, without routers that are gone', () => {
    take('a', 0, 9);
    take('b', 0, 1);
    ledger.forget('speech', 'a');
    take('b', 6_000, 2);
    assert.equal(peak(6_000), 10);
    assert.equal(peak(29_000), 10);
    assert.equal(peak(31_000), 2);
    assert.equal(peak(60_000), undefined);
  });

  it('holds nothing of a router that hangs, though it is still ready', () => {
    take('a', 0, 9);
    take('b', 0, 1);
    ledger.silence('speech', 'a');
    ledger.silence('speech', 'a');
    take('b', 40_000, 1);
    assert.equal(peak(40_000), 1);
    take('a', 40_000, 4);
    assert.equal(peak(40_000), 5);
    ledger.take('speech', 'a', nothing, 80_000);
    take('b', 80_000, 1);
    assert.equal(peak(80_000), 1);
  });
});
