import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { depthOf, quoteLargeIntegers } from './json-text.ts';

describe('depthOf', () => {
  const cases: readonly [text: string, depth: number][] = [
    ['1', 0],
    ['[]', 1],
    ['[[],{"a":[1]}]', 3],
    ['["[[[["]', 1],
    ['["\\"[[", "\\\\", []]', 2],
    ['[[[[', 4],
    ['"never closed [', 0],
  ];
  for (const [text, depth] of cases) it(`${text} is ${depth} deep`, () => assert.equal(depthOf(text), depth));
});

describe('quoteLargeIntegers', () => {
  const cases: readonly [text: string, quoted: string][] = [
    ['[9007199254740993, -9223372036854775808]', '["9007199254740993", "-9223372036854775808"]'],
    [
      '[1, 12345, 1.12345678901234567890, 1e0000000000000000001]',
      '[1, 12345, 1.12345678901234567890, 1e0000000000000000001]',
    ],
    ['[12345678901234567890.5, 12345678901234567890e1]', '[12345678901234567890.5, 12345678901234567890e1]'],
    [
      '{"12345678901234567890": "a\\"12345678901234567890"}',
      '{"12345678901234567890": "a\\"12345678901234567890"}',
    ],
  ];
  for (const [text, quoted] of cases) it(`of ${text}`, () => assert.equal(quoteLargeIntegers(text), quoted));

  it('changes nothing but integers', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const rounded = (_: string, value: unknown) =>
          typeof value === 'string' && /^-?\d{16,}$/.test(value) ? Number(value) : value;
        const back = JSON.parse(quoteLargeIntegers(text), rounded);
        const same = JSON.parse(text, rounded);
        assert.deepEqual(back, same);
      }),
    );
  });

  it('is linear in digits', () => {
    const digits = '1'.repeat(4_000_000);
    const began = performance.now();
    quoteLargeIntegers(`[${digits}.${digits}e${digits}]`);
    assert.ok(performance.now() - began < 5000);
  });
});
