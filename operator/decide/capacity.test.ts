import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultModelSpec } from '../api/defaults.ts';
import { bearable, podsFor, steady } from './capacity.ts';
import { World } from './testing/world.ts';

const seconds = (count: number): number => count * 1_000;

describe('demand', () => {
  it('is never rounded down, nor up by more than 28 %, and in ten steps a decade', () => {
    assert.equal(steady(0), 0);
    assert.equal(steady(1), 1);
    assert.equal(steady(100), 100);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000_000 }), (peak) => {
        assert.ok(steady(peak) >= peak);
        assert.ok(steady(peak) <= peak * 1.28);
      }),
    );
    const levels = Array.from({ length: 901 }, (_, index) => steady(100 + index));
    assert.equal(new Set(levels).size, 11);
  });
});

describe('what pods can carry', () => {
  const pods = { ready: 2, established: 4, targetConcurrency: 8 };
  const cases: [string, Parameters<typeof bearable>, number][] = [
    ['is their part of the pods where nothing else is known', [{ ready: 2, established: 4 }, 100, 0], 50],
    ['is what they can answer at a time', [pods, 100, 0], 16],
    ['is not more than their part when there is little to carry', [pods, 1, 0], 50],
    ['is their part when there is nothing to carry', [pods, 0, 0], 50],
    ['is what they have while the demand is not known', [pods, undefined, 5], 5],
    ['is nothing without pods', [{ ...pods, ready: 0 }, 1, 5], 0],
    ['is not more than everything', [{ ready: 5, established: 4 }, 0, 0], 100],
  ];
  for (const [name, input, share] of cases) it(name, () => assert.equal(bearable(...input), share));

  it('is enough with as many pods as it says', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 1, max: 10_000 }),
        (share, targetConcurrency, peak) => {
          const needed = podsFor(share, { ...pods, targetConcurrency }, steady(peak));
          const given = (ready: number) =>
            bearable({ ready, established: ready, targetConcurrency }, steady(peak), 0);
          assert.ok(given(needed) >= share - 0.01);
          assert.ok(needed === 1 || given(needed - 1) < share);
        },
      ),
    );
  });
});

/** A world in which 5.0.0 is stable and 100 requests are in flight. */
function busy(spec: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(spec);
  world.add('5.0.0', { replicas: 10, scaling: { targetConcurrency: 10 } });
  world.run(seconds(1));
  world.concurrency = 100;
  world.transcript.length = 0;
  return world;
}

describe('capacity first, then weight', () => {
  it('a canary waits at the step that its pods could not carry, says how many it needs, and goes on with them', () => {
    const world = busy();
    world.add('6.0.0', { replicas: 3, scaling: { targetConcurrency: 10 } });
    world.run(seconds(300));
    assert.equal(world.weight('6.0.0'), 25);
    assert.equal(world.condition('Ready'), 'False AwaitingCapacity');
    assert.equal(world.condition('Ready', '6.0.0'), 'False AwaitingCapacity');
    assert.equal(world.condition('Servable'), 'True Serving');
    world.rescale('6.0.0', { replicas: 10 });
    world.run(seconds(120));
    assert.deepEqual(world.transcript, [
      '    1.0 RolloutStarted   rolling out 6.0.0 from 5.0.0',
      '    1.0 StepReached      step 1 of 3: 6.0.0 gets 5 % for 30 s',
      '   31.0 StepReached      step 2 of 3: 6.0.0 gets 25 % for 30 s',
      '   61.0 CapacityRequired 6.0.0 needs 5 ready pods for 50 % of 100 requests at a time (10 a pod), and has 3',
      '  301.0 StepReached      step 3 of 3: 6.0.0 gets 50 % for 30 s',
      '  331.0 VersionPromoted  6.0.0 is stable instead of 5.0.0 after 5 min 30 s',
    ]);
  });

  it('a rush takes back what the candidate cannot carry, and gives it back when it is over', () => {
    const world = busy();
    world.add('6.0.0', { replicas: 5, scaling: { targetConcurrency: 10 } });
    world.run(seconds(65));
    assert.equal(world.weight('6.0.0'), 50);
    world.concurrency = 200;
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 25);
    world.concurrency = 40;
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 50);
    world.run(seconds(60));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  for (const strategy of ['blueGreen', 'immediate'] as const) {
    it(`${strategy} switches when the pods can carry everything`, () => {
      const world = busy({ rollout: { ...defaultModelSpec.rollout, strategy } });
      world.add('6.0.0', { replicas: 5, scaling: { targetConcurrency: 10 } });
      world.run(seconds(60));
      assert.equal(world.weight('6.0.0'), 0);
      assert.equal(world.condition('Ready', '6.0.0'), 'False AwaitingCapacity');
      world.rescale('6.0.0', { scaling: { targetConcurrency: 20 } });
      world.run(seconds(1));
      assert.equal(world.model?.status?.stable, '6.0.0');
    });
  }

  it('is told once a step, however often the load and the routers come and go', () => {
    const world = busy();
    world.add('6.0.0', { replicas: 3, scaling: { targetConcurrency: 10 } });
    world.run(seconds(62));
    for (let round = 0; round < 40; round += 1) {
      world.concurrency = round % 2 === 0 ? undefined : 200;
      world.run(seconds(2));
      world.routers = [0, 0];
      world.settle();
      world.concurrency = 100;
      world.run(seconds(2));
    }
    const told = world.transcript.filter((line) => line.includes('CapacityRequired'));
    assert.equal(told.length, 1);
    assert.ok(world.model?.status?.history?.some(({ reason }) => reason === 'RolloutStarted'));
    world.rescale('6.0.0', { replicas: 5 });
    world.run(seconds(40));
    assert.equal(world.weight('6.0.0'), 50);
    assert.equal(world.condition('Ready'), 'False AwaitingCapacity');
    assert.equal(
      world.transcript.filter((line) => line.includes('CapacityRequired')).length,
      2,
      'a new step',
    );
  });

  it('a person may promote what the numbers hold back', () => {
    const world = busy();
    world.add('6.0.0', { replicas: 1, scaling: { targetConcurrency: 10 } });
    world.run(seconds(100));
    assert.equal(world.weight('6.0.0'), 5);
    world.annotate('sluice.dev/promote', 'now');
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 100);
  });

  it('a way back, and the rescue of a model that does not answer, wait for nothing', () => {
    const world = busy();
    world.add('6.0.0', { replicas: 10, scaling: { targetConcurrency: 10 } });
    world.run(seconds(120));
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.concurrency = 10_000;
    world.configure({ serve: { version: '5.0.0' } });
    world.run(seconds(1));
    assert.equal(world.weight('5.0.0'), 100);

    const down = busy();
    down.pods('5.0.0', ...Array<'crashing'>(10).fill('crashing'));
    down.add('6.0.0', { replicas: 1, scaling: { targetConcurrency: 1 } });
    down.run(seconds(1));
    assert.equal(down.weight('6.0.0'), 100);
  });

  it('nothing grows while routers have not said what they carry, after a restart of the operator say', () => {
    const world = busy();
    world.add('6.0.0', { replicas: 3, scaling: { targetConcurrency: 10 } });
    world.run(seconds(40));
    assert.equal(world.weight('6.0.0'), 25);
    world.concurrency = undefined;
    world.run(seconds(300));
    assert.equal(world.weight('6.0.0'), 25);
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Routers');
    world.concurrency = 1;
    world.run(seconds(120));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  it('a member of a split gets what it can carry, and the others what it cannot', () => {
    const world = busy();
    world.add('6.0.0', { replicas: 2, scaling: { targetConcurrency: 10 } });
    world.add('7.0.0', { replicas: 10, scaling: { targetConcurrency: 10 } });
    world.configure({
      serve: {
        split: [
          { version: '5.0.0', weight: 40 },
          { version: '6.0.0', weight: 40 },
          { version: '7.0.0', weight: 20 },
        ],
      },
    });
    world.run(seconds(2));
    assert.deepEqual(
      ['5.0.0', '6.0.0', '7.0.0'].map((version) => world.weight(version)),
      [53.34, 20, 26.66],
    );
    world.concurrency = 10_000;
    world.run(seconds(2));
    assert.deepEqual(
      ['5.0.0', '6.0.0', '7.0.0'].map((version) => world.weight(version)),
      [40, 40, 20],
      'when nobody can carry it, everybody gets what was asked for',
    );
  });
});
