import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions } from './options.ts';

const options = {
  rounds: { otherwise: 3, what: 'turns' },
  models: { otherwise: 500, most: 500, what: 'models' },
};
const read = (...given: string[]) => readOptions('npm run bench', 'About.', options, given);

test('numbers from the command line, else the defaults', () => {
  assert.deepEqual(read(), { rounds: 3, models: 500 });
  assert.deepEqual(read('--rounds=7'), { rounds: 7, models: 500 });
});

test('what is no number or too large is refused with the right range', () => {
  for (const text of ['0', '-1', '1.5', 'x', ''])
    assert.throws(() => read(`--rounds=${text}`), {
      message: `--rounds=${text} must be a whole number, and at least 1`,
    });
  assert.throws(() => read('--models=501'), { message: '--models=501 must be a whole number from 1 to 500' });
  assert.throws(() => read('--turns=1'), /turns/);
  assert.throws(() => read('3'), /3/);
});
