import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Fenceposts, fenceposts, nextNew, nextOld, proportional, type Size } from './arithmetic.ts';

test('surge rounds up, unavailable down, and never are both zero', () => {
  assert.deepEqual(fenceposts(10, '25%', '25%'), { surge: 3, unavailable: 2 });
  assert.deepEqual(fenceposts(4), { surge: 1, unavailable: 1 });
  assert.deepEqual(fenceposts(1, '25%', '25%'), { surge: 1, unavailable: 0 });
  assert.deepEqual(fenceposts(3, 0, 0), { surge: 0, unavailable: 1 });
  assert.deepEqual(fenceposts(3, 0, '10%'), { surge: 0, unavailable: 1 });
  assert.deepEqual(fenceposts(2, 1, 5), { surge: 1, unavailable: 2 });
});

describe('one step of a rolling update', () => {
  const posts = { surge: 1, unavailable: 1 };
  const rows: readonly [string, number, Size, Size[], number, number[]][] = [
    [
      'the new one grows into the surge',
      4,
      { replicas: 0, available: 0 },
      [{ replicas: 4, available: 4 }],
      1,
      [3],
    ],
    [
      'old pods pay only for available ones',
      4,
      { replicas: 2, available: 0 },
      [{ replicas: 3, available: 3 }],
      2,
      [3],
    ],
    [
      'unavailable old pods go first',
      4,
      { replicas: 1, available: 1 },
      [
        { replicas: 2, available: 0 },
        { replicas: 2, available: 2 },
      ],
      1,
      [0, 2],
    ],
    [
      'all go when the new one suffices',
      4,
      { replicas: 4, available: 4 },
      [{ replicas: 1, available: 1 }],
      4,
      [0],
    ],
    [
      'a status that lags behind is not believed',
      4,
      { replicas: 2, available: 2 },
      [{ replicas: 2, available: 4 }],
      3,
      [1],
    ],
    ['too many new ones shrink', 2, { replicas: 3, available: 3 }, [], 2, []],
  ];
  for (const [name, desired, current, old, grown, shrunk] of rows) {
    test(name, () => {
      assert.equal(nextNew(desired, posts, current.replicas, old), grown);
      assert.deepEqual(nextOld(desired, posts, current, old), shrunk);
    });
  }
});

test('a resize in mid-rollout is shared in proportion, and what rounding leaves goes to the largest', () => {
  const posts = { surge: 3, unavailable: 2 };
  const shares = [
    { replicas: 8, maxReplicas: 13 },
    { replicas: 5, maxReplicas: 13 },
  ];
  assert.deepEqual(proportional(10, posts, shares), [8, 5]);
  assert.deepEqual(proportional(20, posts, shares), [14, 9]);
  assert.deepEqual(proportional(5, posts, shares), [5, 3]);
  assert.deepEqual(proportional(0, { surge: 0, unavailable: 0 }, shares), [0, 0]);
});

/** A deployment with real pods: they become available one by one, may stop being it, and go when told to. */
interface World {
  readonly desired: number;
  readonly posts: Fenceposts;
  sizes: Size[];
}

const limits = fc.oneof(
  fc.nat({ max: 6 }),
  fc.integer({ min: 0, max: 100 }).map((percent) => `${percent}%`),
);

test('a rolling update never falls below its minimum by its own doing, never exceeds its surge, and ends', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      limits,
      limits,
      fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 3 }),
      fc.infiniteStream(fc.nat()),
      (desired, maxSurge, maxUnavailable, olds, random) => {
        const posts = fenceposts(desired, maxSurge, maxUnavailable);
        let budget = desired + posts.surge;
        const world: World = {
          desired,
          posts,
          sizes: [
            ...olds.map((wanted) => {
              const replicas = Math.min(wanted, budget);
              budget -= replicas;
              return { replicas, available: replicas };
            }),
            { replicas: 0, available: 0 },
          ],
        };
        const next = () => random.next().value ?? 0;
        for (let round = 0; round < 400; round++) {
          if (isDone(world)) return;
          const before = total(world.sizes, 'available');
          step(world);
          const after = total(world.sizes, 'available');
          const minimum = desired - posts.unavailable;
          assert.ok(
            after >= Math.min(before, minimum),
            `fell from ${before} to ${after}, minimum ${minimum}`,
          );
          assert.ok(total(world.sizes, 'replicas') <= desired + posts.surge, 'more pods than allowed');
          progress(world, next());
        }
        assert.fail('it never ended');
      },
    ),
  );
});

function step(world: World): void {
  const current = world.sizes.at(-1) ?? { replicas: 0, available: 0 };
  const old = world.sizes.slice(0, -1);
  const grown = nextNew(world.desired, world.posts, current.replicas, old);
  if (grown !== current.replicas) {
    world.sizes = [...old, { ...current, replicas: grown, available: Math.min(current.available, grown) }];
    return;
  }
  const shrunk = nextOld(world.desired, world.posts, current, old);
  // Pods that aren't available are the first to go, as with the replica set controller.
  world.sizes = [
    ...old.map((size, index) => {
      const replicas = shrunk[index] ?? 0;
      return { replicas, available: Math.min(size.available, replicas) };
    }),
    current,
  ];
}

/** One pod somewhere becomes available; now and then an old one stops being it. */
function progress(world: World, dice: number): void {
  const candidates = world.sizes.flatMap((size, index) => (size.available < size.replicas ? [index] : []));
  const lucky = candidates[dice % Math.max(1, candidates.length)];
  world.sizes = world.sizes.map((size, index) => {
    if (index === lucky) return { ...size, available: size.available + 1 };
    const isOld = index < world.sizes.length - 1;
    if (isOld && dice % 7 === index && size.available > 0) return { ...size, available: size.available - 1 };
    return size;
  });
}

function isDone(world: World): boolean {
  const current = world.sizes.at(-1);
  return current?.available === world.desired && total(world.sizes, 'replicas') === world.desired;
}

function total(sizes: readonly Size[], field: keyof Size): number {
  return sizes.reduce((sum, size) => sum + size[field], 0);
}

test('a resize gives out exactly what is allowed', () => {
  const share = fc.record({
    replicas: fc.integer({ min: 1, max: 30 }),
    maxReplicas: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(
      fc.nat({ max: 60 }),
      fc.nat({ max: 10 }),
      fc.array(share, { minLength: 2, maxLength: 4 }),
      (desired, surge, shares) => {
        const sizes = proportional(desired, { surge, unavailable: 0 }, shares);
        assert.ok(sizes.every((size) => size >= 0));
        assert.equal(
          sizes.reduce((sum, size) => sum + size, 0),
          desired > 0 ? desired + surge : 0,
        );
      },
    ),
  );
});
