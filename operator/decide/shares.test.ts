import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { capped, proportional, routable, type Share, weightOf } from './shares.ts';

const inBuckets = (shares: readonly Share[]): number =>
  shares.reduce((sum, share) => sum + Math.round(share.weight * 100), 0);

const parts = fc
  .uniqueArray(fc.record({ version: fc.string({ minLength: 1, maxLength: 3 }), weight: fc.nat(10_000) }), {
    selector: (part) => part.version,
    minLength: 1,
    maxLength: 12,
  })
  .filter((list) => list.some((part) => part.weight > 0));

describe('proportional', () => {
  it('gives 70 and 30 to 7 and 3', () => {
    const shares = proportional([
      { version: 'a', weight: 7 },
      { version: 'b', weight: 3 },
    ]);
    assert.deepEqual(
      shares.map((share) => share.weight),
      [70, 30],
    );
  });

  it('is exact to a bucket, sums to 100 and gives nothing to nothing', () => {
    fc.assert(
      fc.property(parts, (list) => {
        const shares = proportional(list);
        const sum = list.reduce((total, part) => total + part.weight, 0);
        assert.equal(inBuckets(shares), 10_000);
        for (const part of list) {
          const share = weightOf(shares, part.version);
          assert.ok(Math.abs(share - (part.weight / sum) * 100) <= 0.01 + 1e-9);
          if (part.weight === 0) assert.equal(share, 0);
        }
      }),
    );
  });

  it('is empty when nobody has a part', () => {
    assert.deepEqual(proportional([{ version: 'a', weight: 0 }]), []);
  });
});

describe('capped', () => {
  it('gives nobody more than it can carry, unless nobody can, and loses nothing', () => {
    const part = fc.record({
      weight: fc.integer({ min: 0, max: 100 }),
      most: fc.integer({ min: 0, max: 10_000 }).map((units) => units / 100),
    });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const shares = proportional(parts.map(({ weight }, index) => ({ version: `${index}`, weight })));
        const most = (version: string) => parts[Number(version)]!.most;
        const result = capped(shares, most);
        const units = result.map(({ weight }) => Math.round(weight * 100));
        assert.equal(
          units.reduce((sum, one) => sum + one, 0),
          shares.length === 0 ? 0 : 10_000,
        );
        const asked = parts.filter(({ weight }) => weight > 0);
        const enough = asked.reduce((sum, part) => sum + Math.round(part.most * 100), 0) >= 10_000;
        if (!enough) assert.deepEqual(result, shares);
        else for (const { version, weight } of result) assert.ok(weight <= most(version) || weight === 0);
      }),
    );
  });
});

describe('routable', () => {
  it('leaves no share with a version that cannot answer while an heir can, and loses nothing', () => {
    fc.assert(
      fc.property(parts, fc.func(fc.boolean()), (list, canAnswer) => {
        const shares = proportional(list);
        const heirs = list.map((part) => part.version);
        const result = routable(shares, canAnswer, heirs);
        assert.equal(inBuckets(result), 10_000);
        if (!heirs.some((version) => canAnswer(version))) return assert.deepEqual(result, shares);
        for (const share of result) if (share.weight > 0) assert.ok(canAnswer(share.version));
      }),
    );
  });

  it('does not touch the shares of those that can', () => {
    const shares = [
      { version: 'a', weight: 60 },
      { version: 'b', weight: 30 },
      { version: 'c', weight: 10 },
    ];
    const result = routable(shares, (version) => version !== 'b', ['a', 'c']);
    assert.deepEqual(result, [
      { version: 'a', weight: 90 },
      { version: 'b', weight: 0 },
      { version: 'c', weight: 10 },
    ]);
  });
});
