import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noTraffic, type ServerCounts } from '../api/traffic.ts';
import { judge } from '../decide/analysis/evidence.ts';
import { EvidenceBook } from './evidence-book.ts';

const policy = { minRequests: 0, maxErrorIncrease: 0.01, onInconclusive: 'proceed' } as const;
const comparison = { stable: '5.0.0', candidate: '6.0.0', startedAt: '2026-01-01T00:00:00Z' };

/** What the servers have counted after so many rounds of a hundred requests each. */
const served = (rounds: number, failures: number): ServerCounts =>
  new Map([
    ['5.0.0', { requests: 100 * rounds + 5_000, failures: 900 }],
    ['6.0.0', { requests: 100 * rounds + 5_000, failures: 2_000 + failures * rounds }],
  ]);

describe('what servers count', () => {
  it('fails a candidate whose failures no router sees, whatever was before the comparison', () => {
    const book = new EvidenceBook();
    const read = (servers: ServerCounts) =>
      book.read('speech/vad', comparison, { traffic: noTraffic, servers }, policy);
    for (let round = 0; round < 5; round += 1) {
      const judgement = judge(read(served(round, 10)), policy);
      if (round < 2) assert.equal(judgement.verdict, 'Pass');
      if (round < 4) continue;
      assert.equal(judgement.reason, 'ErrorRate');
      assert.match(
        judgement.message,
        /^10\.00 % of 400 requests failed by its servers' own count, 0\.00 % of/,
      );
    }
  });

  it('is nothing against one that fails no more than stable, or that says nothing', () => {
    for (const servers of [(round: number) => served(round, 0), () => new Map()]) {
      const book = new EvidenceBook();
      for (let round = 0; round < 50; round += 1) {
        const counted = { traffic: noTraffic, servers: servers(round) };
        const evidence = book.read('speech/vad', comparison, counted, policy);
        assert.equal(judge(evidence, policy).verdict, 'Pass');
      }
    }
  });

  it('begins anew with another candidate, and where a server began again from zero', () => {
    const book = new EvidenceBook();
    const read = (servers: ServerCounts, candidate = comparison) =>
      book.read('speech/vad', candidate, { traffic: noTraffic, servers }, policy).servers.candidate;
    read(served(0, 0));
    assert.deepEqual(read(served(1, 0)), { hits: 0, total: 100 });
    assert.deepEqual(read(new Map([['6.0.0', { requests: 1, failures: 1 }]])), { hits: 0, total: 100 });
    assert.deepEqual(read(served(9, 9), { ...comparison, startedAt: '2026-01-02T00:00:00Z' }), {
      hits: 0,
      total: 0,
    });
  });
});
