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

it('a share that was given back takes no more', () => {
  const budget = new ByteBudget(100);
  const share = budget.share();
  share.add(60);
  share.release();
  assert.throws(() => share.add(1), { fault: 'Cancelled' });
  assert.equal(budget.held, 0);
});

it('many small pieces are more than their bytes', () => {
  const budget = new ByteBudget(2 ** 16);
  const share = budget.share();
  for (let index = 0; index < 100; index++) share.addChunk(1);
  assert.ok(budget.held > 100 * 100);
});

it('an answer counts as far as it is larger than its request', () => {
  const budget = new ByteBudget(100);
  const share = budget.share();
  share.add(50);
  share.atLeast(40);
  assert.equal(budget.held, 50);
  share.atLeast(80);
  assert.equal(budget.held, 80);
  assert.throws(() => share.atLeast(101), { fault: 'Exhausted' });
});
