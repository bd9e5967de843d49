import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { best, delayFor, type Measured, splits } from './candidates.ts';

const gib = 2 ** 30;

describe('splits', () => {
  const of = (cpus: number, more: object = {}) =>
    splits({ cpus, memoryBytes: 8 * gib, modelBytes: gib / 10, gpus: 0, mostWorkers: 256, ...more }).map(
      ({ workers, threads }) => `${workers}x${threads}`,
    );

  it('divides the cores', () => {
    assert.deepEqual(of(8), ['1x8', '2x4', '4x2', '8x1']);
    assert.deepEqual(of(6.5), ['1x6', '2x3', '4x1']);
    assert.deepEqual(of(0.5), ['1x1']);
  });

  it('holds no more copies of the weights than fit, and one in any case', () => {
    assert.deepEqual(of(8, { modelBytes: gib }), ['1x8', '2x4']);
    assert.deepEqual(of(8, { modelBytes: 100 * gib }), ['1x8']);
  });

  it('gives every GPU a worker, or two', () => {
    assert.deepEqual(of(8, { gpus: 2 }), ['2x1', '4x1']);
    assert.deepEqual(of(8, { gpus: 2, modelBytes: gib }), ['2x1']);
    assert.deepEqual(of(8, { gpus: 2, mostWorkers: 1 }), ['1x1']);
  });
});

describe('best', () => {
  const one = (workers: number, batchSize: number, rowsPerSecond: number, p99: number): Measured => ({
    ...{ workers, batchSize, rowsPerSecond, p99 },
    ...{ threads: 1, p50: p99 / 2 },
  });

  it('is the fastest within the target', () => {
    const measured = [one(1, 1, 100, 5), one(1, 8, 300, 15), one(1, 64, 900, 80)];
    assert.deepEqual(best(measured, 20), { shape: measured[1], met: true });
    assert.deepEqual(best(measured, 100), { shape: measured[2], met: true });
  });

  it('is the smaller of two that are about equal', () => {
    const measured = [one(4, 16, 1000, 10), one(1, 16, 970, 10), one(1, 32, 960, 10)];
    assert.deepEqual(best(measured, 20)?.shape, measured[1]);
  });

  it('is the quickest when none is within the target', () => {
    const measured = [one(1, 8, 300, 15), one(1, 1, 100, 9)];
    assert.deepEqual(best(measured, 5), { shape: measured[1], met: false });
  });

  it('is nothing of nothing', () => assert.equal(best([], 5), undefined));
});

it('waits for a tenth of the target, within reason', () => {
  assert.deepEqual([1, 20, 1000].map(delayFor), [1, 2, 5]);
});
