import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ByteBudget } from './byte-budget.ts';

it('a budget is shared, bounded and given back', () => {
  const budget = new ByteBudget(100);
  const [one, two] = [budget.share(), budget.share()];
  one.add(60);
  two.add(30);
  assert.throws(() => two.add(11), {
    fault: 'Exhausted',
    message: /hold 90 bytes, and 11 more are over the limit of 100$/,
  });
  two.add(10);
  one.release();
  one.release();
  assert.equal(budget.held, 40);
  two.release();
  assert.equal(budget.held, 0);
});
