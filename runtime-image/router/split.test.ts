import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { apportion, buckets, layOut, prefixes, span } from './split.ts';

const hundredths = fc.integer({ min: 0, max: 10_000 }).map((units) => units / 100);

/** The version of every bucket. */
function owners(shares: ReturnType<typeof layOut<string>>): string[] {
  const found: string[] = [];
  for (const { of, from, to } of shares) for (let bucket = from; bucket < to; bucket++) found[bucket] = of;
  return found;
}

describe('apportion', () => {
  for (const { weights, expected } of [
    { weights: [100], expected: [10_000] },
    { weights: [99.99, 0.01], expected: [9999, 1] },
    { weights: [71.29, 28.71], expected: [7129, 2871] },
    { weights: [1, 1, 1], expected: [3334, 3333, 3333] },
    { weights: [0, 0], expected: [0, 0] },
    { weights: [Number.NaN, 50], expected: [0, 10_000] },
    { weights: [-20, 100], expected: [0, 10_000] },
    { weights: [Number.POSITIVE_INFINITY, 100], expected: [0, 10_000] },
    { weights: [300, 100], expected: [7500, 2500] },
    { weights: [], expected: [] },
  ]) {
    it(`${JSON.stringify(weights)} → ${JSON.stringify(expected)}`, () => {
      assert.deepEqual(apportion(weights), expected);
    });
  }

  it('gives every multiple of 0.01 % exactly', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), (units) => {
        assert.deepEqual(apportion([(10_000 - units) / 100, units / 100]), [10_000 - units, units]);
      }),
    );
  });

  it('sums to all buckets and is never off by a whole one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1000, noNaN: true }), { minLength: 1, maxLength: 20 }),
        (weights) => {
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          fc.pre(total > 1e-6);
          const units = apportion(weights);
          assert.equal(
            units.reduce((sum, unit) => sum + unit, 0),
            buckets,
          );
          units.forEach((unit, index) => {
            assert.ok(Math.abs(unit - (weights[index]! / total) * buckets) < 1 + 1e-6);
          });
        },
      ),
    );
  });
});

describe('layOut', () => {
  it('gives every bucket to exactly one version', () => {
    fc.assert(
      fc.property(fc.array(hundredths, { minLength: 1, maxLength: 12 }), (weights) => {
        fc.pre(weights.some((weight) => weight > 0));
        const shares = layOut(weights.map((weight, index) => ({ of: String(index), weight })));
        let at = 0;
        for (const share of shares) {
          assert.equal(share.from, at);
          assert.ok(share.to > share.from);
          at = share.to;
        }
        assert.equal(at, buckets);
      }),
    );
  });

  it('moves only as many buckets as the candidate gains, all of them from stable', () => {
    const lay = (weight: number) =>
      owners(
        layOut([
          { of: 'stable', weight: 100 - weight },
          { of: 'candidate', weight },
        ]),
      );
    fc.assert(
      fc.property(hundredths, hundredths, (one, other) => {
        const [low, high] = [Math.min(one, other), Math.max(one, other)];
        const before = lay(low);
        const after = lay(high);
        const moved = before.filter((owner, bucket) => owner !== after[bucket]);
        assert.equal(moved.length, Math.round((high - low) * 100));
        assert.ok(moved.every((owner) => owner === 'stable'));
      }),
    );
  });
});

describe('prefixes', () => {
  it('cover the range, all of it and nothing else, without overlap', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(span), fc.nat(span), (model, a, b) => {
        const from = model * span + Math.min(a, b);
        const to = model * span + Math.max(a, b);
        let at = from;
        for (const prefix of prefixes(from, to)) {
          const [address, bits] = prefix.split('/');
          const first = address!.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
          assert.equal(first, at);
          const size = 2 ** (32 - Number(bits));
          assert.equal(first % size, 0, 'a prefix is aligned');
          at += size;
        }
        assert.equal(at, to);
      }),
    );
  });

  it('need one entry for a whole model and few for any range', () => {
    assert.deepEqual(prefixes(0, span), ['0.0.0.0/18']);
    assert.deepEqual(prefixes(3 * span, 4 * span), ['0.0.192.0/18']);
    for (let at = 1; at < span; at += 97) assert.ok(prefixes(0, at).length <= 14);
  });
});
