import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { digest, integer, list, oneOf, optional, parseDuration, required } from './environment.ts';

describe('environment', () => {
  it('takes an empty value as none', () => {
    assert.equal(optional({ A: '' }, 'A'), undefined);
    assert.throws(() => required({ A: '' }, 'A'), {
      reason: 'ConfigurationInvalid',
      message: 'A is not set',
    });
  });

  it('refuses numbers that are none, or out of range', () => {
    const bounds = { min: 1, max: 10 };
    assert.equal(integer({}, 'A', 3, bounds), 3);
    assert.equal(integer({ A: '10' }, 'A', 3, bounds), 10);
    for (const value of ['0', '11', '-1', '1.5', '1e1', ' 1', 'x', '9'.repeat(30)]) {
      assert.throws(
        () => integer({ A: value }, 'A', 3, bounds),
        /^Failure: A=.* is not a whole number from 1 to 10$/,
      );
    }
  });

  it('takes digests in any case, and refuses what is none', () => {
    assert.equal(digest({}, 'A'), undefined);
    assert.equal(digest({ A: 'AB'.repeat(32) }, 'A'), 'ab'.repeat(32));
    for (const value of ['ab', 'x'.repeat(64), `sha256:${'0'.repeat(64)}`])
      assert.throws(() => digest({ A: value }, 'A'), /^Failure: A is not 64 hexadecimal digits$/);
  });

  it('refuses words that are not known', () => {
    assert.equal(oneOf({}, 'A', 'cpu', ['cpu', 'cuda']), 'cpu');
    assert.throws(() => oneOf({ A: 'tpu' }, 'A', 'cpu', ['cpu', 'cuda']), /A="tpu" is none of cpu, cuda/);
  });

  it('splits lists', () => assert.deepEqual(list({ A: ' a, b,,c ' }, 'A'), ['a', 'b', 'c']));

  const durations: readonly [text: string, ms: number | undefined][] = [
    ['2ms', 2],
    ['20s', 20_000],
    ['1m30s', 90_000],
    ['1.5s', 1500],
    ['1h', 3_600_000],
    ['', undefined],
    ['20', undefined],
    ['-1s', undefined],
    ['s', undefined],
  ];
  for (const [text, ms] of durations) {
    it(`reads ${JSON.stringify(text)} as ${ms}`, () => assert.equal(parseDuration(text), ms));
  }
});
