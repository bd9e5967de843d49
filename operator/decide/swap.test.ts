import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultModelSpec } from '../api/defaults.ts';
import { pool } from '../api/fixtures.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelSpec } from '../api/generated/model.ts';
import type { ModelVersionSpec } from '../api/generated/model-version.ts';
import { allowance, needed } from './rollout/swap.ts';
import { World } from './testing/world.ts';

const seconds = (count: number): number => count * 1_000;
const { rollout, rollback } = defaultModelSpec;

interface Setting {
  readonly places: number;
  readonly replicas?: number;
  readonly whenFull?: GPUPool['spec']['whenFull'];
  readonly spec?: Partial<ModelSpec>;
  readonly version?: Partial<ModelVersionSpec>;
}

const inPool = { placement: { pool: 'a100', gpus: 1 } };

/** 5.0.0 serves from a pool with so many places, and its bake is over. */
function serving({ places, replicas = 4, whenFull = 'swap', spec = {}, version = {} }: Setting): World {
  const world = new World(spec);
  world.places = places;
  world.pools.set('a100', pool('a100', { resourceName: 'nvidia.com/gpu', whenFull }));
  world.add('5.0.0', { ...inPool, replicas, ...version });
  world.run(seconds(1_000));
  assert.equal(world.condition('Ready'), 'True Serving');
  world.transcript.length = 0;
  return world;
}

/** Pods of each version: how many there should be, and their states by their first letters. */
const podsOf = (world: World): string =>
  [...world.versions]
    .map(([version, { replicas, pods }]) => `${version} ${replicas} ${pods.map(([first]) => first).join('')}`)
    .join(', ');

const messageOf = (world: World, version?: string): string => {
  const status = version === undefined ? world.model?.status : world.versions.get(version)?.object.status;
  return status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? '';
};

const swapOf = (world: World) => world.model?.status?.candidate?.swap;

describe('what a version needs', () => {
  const facts = (wanted: number, targetConcurrency?: number) => ({
    version: '5.0.0',
    contentHash: '',
    wanted,
    ready: wanted,
    established: wanted,
    places: { gpus: 1, held: wanted, leaving: 0, lacking: 0 },
    ...(targetConcurrency === undefined ? {} : { targetConcurrency }),
  });
  const cases: [string, Parameters<typeof needed>, number][] = [
    ['is nothing without traffic', [facts(4), 0, 0], 0],
    ['is its part less a quarter of its pods', [facts(8), 100, 0], 6],
    ['is one less, where a quarter is less than one', [facts(3), 100, 0], 2],
    ['is never less than one while it has traffic', [facts(2), 1, 0], 1],
    ['does not go up for what shares are rounded by', [facts(3), 66.67, 0], 1],
    ['is what carries the load, where that is known', [facts(8, 10), 50, 100], 5],
    ['is its part all the same, however little there is to carry', [facts(8, 10), 50, 0], 2],
    [
      'is more than there is while nobody knows the load',
      [facts(8, 10), 50, undefined],
      Number.POSITIVE_INFINITY,
    ],
  ];
  for (const [name, input, pods] of cases) it(name, () => assert.equal(needed(...input), pods));
});

describe('a swap of places', () => {
  it('rolls out pod by pod, with no more places than one version has, and can be read as a story', () => {
    const world = serving({ places: 4 });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(0);
    assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 1 r');
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.condition('WorkloadReady', '5.0.0'), 'False PlacesLent');
    assert.equal(world.condition('Servable'), 'True Serving');
    world.run(seconds(59));
    assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 1 r', 'a quarter of the pods carries 25 %');
    world.run(seconds(1));
    assert.equal(podsOf(world), '5.0.0 2 rr, 6.0.0 2 rr');
    assert.deepEqual(swapOf(world), { lender: '5.0.0', kept: 2, given: 2, taken: true });
    world.run(seconds(31));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(podsOf(world), '5.0.0 0 , 6.0.0 4 rrrr');
    assert.equal(world.condition('Ready', '5.0.0'), 'True GaveWay');
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.deepEqual(
      world.transcript.filter((line) => !line.includes('Unschedulable')),
      [
        ' 1000.0 RolloutStarted   rolling out 6.0.0 from 5.0.0',
        ' 1000.0 SwapStarted      GPUPool a100 is full: 5.0.0 lends its places to 6.0.0, one pod after the other',
        ' 1000.0 StepReached      step 1 of 3: 6.0.0 gets 5 % for 30 s',
        ' 1030.0 StepReached      step 2 of 3: 6.0.0 gets 25 % for 30 s',
        ' 1060.0 StepReached      step 3 of 3: 6.0.0 gets 50 % for 30 s',
        ' 1090.0 StepReached      last step: 6.0.0 gets what its pods can carry, until it has the places of 5.0.0',
        ' 1090.0 VersionPromoted  6.0.0 is stable instead of 5.0.0 after 1 min 30 s',
        ' 1090.0 GaveWay          5.0.0 is scaled to 1 to make room for 6.0.0',
        ' 1090.0 GaveWay          5.0.0 is scaled to zero to make room for 6.0.0',
      ],
    );
  });

  it('takes one pod at a time, and the next when the candidate’s is ready and routers follow', () => {
    const world = serving({
      places: 8,
      replicas: 8,
      spec: { rollout: { ...rollout, steps: [{ weight: 50, hold: '10s' }] } },
    });
    world.add('6.0.0', { ...inPool, replicas: 8 });
    world.settle();
    assert.equal(podsOf(world), '5.0.0 8 rrrrrrrr, 6.0.0 1 u', 'routers do not follow yet');
    world.ack();
    world.settle();
    assert.equal(podsOf(world), '5.0.0 7 rrrrrrr, 6.0.0 1 u', 'its place is not free yet');
    world.leave();
    world.ack();
    world.settle();
    assert.equal(podsOf(world), '5.0.0 7 rrrrrrr, 6.0.0 2 su');
    world.pods('6.0.0', 'ready', 'unschedulable');
    world.settle();
    assert.equal(podsOf(world), '5.0.0 6 rrrrrr, 6.0.0 2 ru', 'a quarter is lent');
    world.leave();
    world.pods('6.0.0', 'ready', 'ready');
    world.settle();
    assert.equal(world.weight('6.0.0'), 25, 'what its pods bear of the 50 %');
    assert.equal(podsOf(world), '5.0.0 6 rrrrrr, 6.0.0 3 rru', 'routers do not follow yet');
    assert.equal(world.model?.status?.candidate?.followedSince, undefined, 'the hold has not begun');
    world.ack();
    world.settle();
    assert.equal(podsOf(world), '5.0.0 5 rrrrr, 6.0.0 3 rru');
  });

  it('goes by the measured load where it is known what a pod can carry', () => {
    const busy = { scaling: { targetConcurrency: 10 } };
    const world = serving({ places: 4, version: busy });
    world.concurrency = 40;
    world.add('6.0.0', { ...inPool, ...busy, replicas: 4 });
    world.run(seconds(60));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 1 u');
    assert.equal(world.condition('Ready'), 'False AwaitingPlaces');
    assert.match(
      messageOf(world),
      /^6\.0\.0: GPUPool a100 is full, and 5\.0\.0 can lend no more of its 4 pods while it has 100 % of the traffic$/,
    );
    world.concurrency = 25;
    world.run(seconds(5));
    assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 1 r');
    world.concurrency = undefined;
    world.run(seconds(300));
    assert.equal(world.model?.status?.stable, '5.0.0', 'nobody says what there is to carry');
    world.concurrency = 5;
    world.run(seconds(300));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  for (const strategy of ['blueGreen', 'immediate'] as const) {
    it(`goes pod by pod where the strategy is ${strategy}, since both do not fit`, () => {
      const world = serving({
        places: 4,
        spec: { rollout: { ...rollout, strategy, approval: strategy === 'blueGreen' } },
      });
      world.add('6.0.0', { ...inPool, replicas: 4 });
      world.run(seconds(100));
      if (strategy === 'blueGreen') {
        assert.equal(world.weight('6.0.0'), 0);
        assert.equal(world.condition('Ready'), 'False AwaitingApproval');
        world.annotate('sluice.dev/approve', 'go');
        world.run(seconds(10));
      }
      assert.equal(world.model?.status?.stable, '6.0.0');
      assert.equal(podsOf(world), '5.0.0 0 , 6.0.0 4 rrrr');
    });
  }

  it('uses what room there is, and leaves the former version what is over', () => {
    const world = serving({ places: 7 });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(80));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 3 rrr');
    world.run(seconds(20));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 4 rrrr');
    assert.equal(world.condition('Ready', '5.0.0'), 'True Warm');
  });

  it('is impossible with one pod, says at once what would help, and ends at the deadline', () => {
    const world = serving({ places: 1, replicas: 1 });
    world.add('6.0.0', { ...inPool, replicas: 1 });
    world.run(seconds(1));
    for (const version of [undefined, '6.0.0']) {
      assert.equal(world.condition('Ready', version), 'False SwapImpossible');
      assert.match(messageOf(world, version), /room for 1 more would do$/);
    }
    assert.equal(world.weight('5.0.0'), 100);
    world.run(seconds(600));
    assert.equal(world.condition('Stalled', '6.0.0'), 'True Unschedulable');
    assert.equal(podsOf(world), '5.0.0 1 r, 6.0.0 1 u');
  });

  it('is not made where the pool says wait, which says who holds the places', () => {
    const world = serving({ places: 4, whenFull: 'wait' });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(1));
    assert.equal(world.condition('Ready'), 'False AwaitingPlaces');
    assert.equal(
      messageOf(world, '6.0.0'),
      'GPUPool a100 is full (whenFull: wait): 4 of 4 places are lacking, and 5.0.0 has 4 pods in it',
    );
    assert.equal(world.transcript.filter((line) => line.includes('PlacesRequired')).length, 1);
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 4 uuuu');
    world.places = 8;
    world.run(seconds(120));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  it('gives a stable version that answers nothing up for its successor', () => {
    const world = serving({ places: 1, replicas: 1 });
    world.pods('5.0.0', 'crashing');
    world.add('6.0.0', { ...inPool, replicas: 1 });
    world.settle();
    assert.equal(podsOf(world), '5.0.0 1 c, 6.0.0 1 u', 'it may come back in a moment');
    world.run(seconds(6));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(world.weight('6.0.0'), 100);
  });

  it('gives stable its places back when the candidate fails, at once', () => {
    for (const end of ['crash', 'abort', 'return', 'delete'] as const) {
      const world = serving({ places: 4 });
      world.add('6.0.0', { ...inPool, replicas: 4 });
      world.run(seconds(70));
      assert.equal(podsOf(world), '5.0.0 2 rr, 6.0.0 2 rr');
      if (end === 'crash') world.pods('6.0.0', 'ready', 'crashing');
      if (end === 'abort') world.annotate('sluice.dev/abort', 'now');
      if (end === 'return') world.configure({ serve: { version: '5.0.0' } });
      if (end === 'delete') world.remove('6.0.0');
      world.settle();
      assert.equal(world.weight('5.0.0'), 100);
      world.run(seconds(1));
      assert.match(podsOf(world), /^5\.0\.0 4 rrrr/);
      assert.equal(world.model?.status?.stableUnreadySince, undefined);
      assert.doesNotMatch(world.transcript.join('\n'), /5\.0\.0 failed/);
    }
  });

  it('takes pods that are lent for no loss', () => {
    const world = serving({ places: 4, spec: { rollback: { ...rollback, minReady: '100%' } } });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(85));
    assert.equal(podsOf(world), '5.0.0 2 rr, 6.0.0 2 rr');
    assert.doesNotMatch(world.transcript.join('\n'), /Suspended|failed/);
    world.run(seconds(10));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.doesNotMatch(world.transcript.join('\n'), /Suspended|failed/);
  });

  it('goes on after a restart, a pause, and changes of replicas', () => {
    const world = serving({ places: 4 });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(40));
    world.annotate('sluice.dev/paused', 'true');
    world.run(seconds(100));
    assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 1 r');
    world.annotate('sluice.dev/paused', 'false');
    world.rescale('5.0.0', { replicas: 6 });
    world.run(seconds(1));
    assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 2 ru', 'there is no room for what stable needs now');
    world.rescale('5.0.0', { replicas: 2 });
    world.run(seconds(300));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(podsOf(world), '5.0.0 0 , 6.0.0 4 rrrr');
  });

  it('keeps a newer version waiting once the candidate has traffic, but not a person', () => {
    const world = serving({ places: 4 });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(40));
    world.add('7.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(1));
    assert.equal(world.condition('Ready', '7.0.0'), 'False Queued');
    world.annotate('sluice.dev/promote', 'now');
    world.run(seconds(20));
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.run(seconds(300));
    assert.equal(world.model?.status?.stable, '7.0.0');
    assert.doesNotMatch(world.transcript.join('\n'), /RequestIgnored/);
  });

  it('lets a new stable version that fails hand back, though it has all places', () => {
    const world = serving({ places: 4 });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(100));
    assert.equal(podsOf(world), '5.0.0 0 , 6.0.0 4 rrrr');
    world.pods('6.0.0', 'starting', 'starting', 'starting', 'starting');
    world.settle();
    assert.equal(podsOf(world), '5.0.0 4 uuuu, 6.0.0 4 ssss');
    world.now += seconds(4);
    world.settle();
    assert.equal(world.model?.status?.stable, '6.0.0', 'it may be back in a moment');
    world.now += seconds(1);
    world.settle();
    assert.equal(world.model?.status?.stable, '5.0.0', 'nothing is lost by it, and there is no other way');
    assert.equal(podsOf(world), '5.0.0 4 uuuu, 6.0.0 4 ssss', 'routers do not follow yet');
    world.ack();
    world.settle();
    assert.equal(podsOf(world), '5.0.0 4 uuuu, 6.0.0 0 ');
    world.run(seconds(1));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 0 ');
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.equal(world.condition('Ready', '6.0.0'), 'False ReadinessLost');
  });

  it('takes nothing from a stable version that is in trouble after its bake, whatever else wants room', () => {
    const world = serving({ places: 4 });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(2_000));
    assert.equal(podsOf(world), '5.0.0 0 , 6.0.0 4 rrrr');
    world.pods('6.0.0', 'ready', 'starting', 'starting', 'starting');
    world.run(seconds(100));
    world.pods('6.0.0', 'crashing', 'crashing', 'crashing', 'crashing');
    world.run(seconds(100));
    assert.match(podsOf(world), /6\.0\.0 4 cccc$/);
    world.pods('6.0.0', 'ready', 'ready', 'ready', 'ready');
    world.run(seconds(100));
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.equal(world.weight('6.0.0'), 100);
  });

  for (const [retention, bake] of [
    [{ warm: 1, keep: 5, parkAfter: '1h' }, '10m'],
    [{ warm: 0, keep: 5, parkAfter: '1h' }, '10m'],
    [{ warm: 0, keep: 5, parkAfter: '1h' }, '0s'],
  ] as const) {
    it(`never asks for more of what is replaced, with ${retention.warm} warm and a bake of ${bake}`, () => {
      const world = serving({ places: 4, spec: { retention, rollout: { ...rollout, bake } } });
      const former = world.versions.get('5.0.0')!;
      const asked: number[] = [4];
      Object.defineProperty(former, 'replicas', {
        get: () => asked.at(-1),
        set: (replicas: number) => asked.push(replicas),
      });
      world.add('6.0.0', { ...inPool, replicas: 4 });
      world.run(seconds(2_000));
      assert.equal(world.model?.status?.stable, '6.0.0');
      assert.equal(podsOf(world), '5.0.0 0 , 6.0.0 4 rrrr');
      assert.deepEqual(
        asked,
        asked.toSorted((a, b) => b - a),
      );
    });
  }

  it('gives the places of a bad stable version to its fix, not to the version before it', () => {
    const world = serving({ places: 4, spec: { retention: { warm: 0, keep: 5, parkAfter: '1m' } } });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(2_000));
    world.pods('6.0.0', ...Array<'crashing'>(4).fill('crashing'));
    world.run(seconds(20));
    assert.equal(podsOf(world), '5.0.0 4 uuuu, 6.0.0 4 cccc', 'it is yours after the bake');
    world.add('7.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(100));
    assert.equal(world.model?.status?.stable, '7.0.0');
    assert.match(podsOf(world), /7\.0\.0 4 rrrr$/);
    assert.equal(world.condition('Ready'), 'True Serving');
  });

  it('says so when the next place does not come', () => {
    const busy = { scaling: { targetConcurrency: 10 } };
    const world = serving({ places: 4, version: busy });
    world.add('6.0.0', { ...inPool, ...busy, replicas: 4 });
    world.run(seconds(70));
    assert.equal(podsOf(world), '5.0.0 2 rr, 6.0.0 2 rr');
    world.concurrency = 40;
    world.run(seconds(1_000));
    assert.equal(world.condition('Ready'), 'False Unschedulable');
    assert.equal(world.condition('Stalled'), 'True Unschedulable');
    assert.equal(world.condition('Servable'), 'True Serving');
  });

  it('does not wait for a pod that a lost node never lets go of', () => {
    for (const version of ['4.0.0', '5.0.0']) {
      const world = serving({ places: 4 });
      world.add('4.0.0', { ...inPool, replicas: 4 });
      world.run(seconds(1));
      world.lose(version, 1);
      world.add('6.0.0', { ...inPool, replicas: 4 });
      world.run(seconds(59));
      assert.match(podsOf(world), /5\.0\.0 4 rrrr, .*6\.0\.0 . u/, 'it may go yet');
      world.run(seconds(200));
      assert.equal(world.model?.status?.stable, '6.0.0');
    }
  });

  it('does not say that a place was of no use which the candidate had, and has lost', () => {
    const world = serving({
      places: 4,
      spec: { rollout: { ...rollout, steps: [{ weight: 50, hold: '10s', approval: true }] } },
    });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(60));
    assert.equal(podsOf(world), '5.0.0 2 rr, 6.0.0 2 rr');
    world.places = 3;
    world.pods('6.0.0', 'ready', 'unschedulable');
    world.run(seconds(100));
    assert.equal(podsOf(world), '5.0.0 2 rr, 6.0.0 2 ru');
    assert.equal(world.weight('6.0.0'), 25, 'what is left of it bears');
    world.places = 4;
    world.annotate('sluice.dev/approve', 'go');
    world.run(seconds(200));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.doesNotMatch(world.transcript.join('\n'), /SwapImpossible/);
  });

  it('borrows from a stable version that cannot have all of its pods', () => {
    const world = serving({ places: 8, replicas: 8 });
    world.quota.set('5.0.0', 7);
    world.pods('5.0.0', ...Array<'ready'>(7).fill('ready'));
    world.places = 7;
    world.add('6.0.0', { ...inPool, replicas: 8 });
    world.run(seconds(200));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  it('does not blame the candidate for the load of the stable version', () => {
    const busy = { scaling: { targetConcurrency: 10 } };
    for (const load of [40, undefined]) {
      const world = serving({ places: 4, version: busy });
      world.concurrency = load;
      world.add('6.0.0', { ...inPool, ...busy, replicas: 4 });
      world.run(seconds(2_000));
      assert.equal(world.condition('Stalled'), 'True Unschedulable');
      assert.match(
        messageOf(world),
        load === undefined
          ? /5\.0\.0 can lend no pod while no router says how many requests are under way/
          : /5\.0\.0 can lend no more of its 4 pods/,
      );
      world.concurrency = 5;
      world.run(seconds(200));
      assert.equal(world.model?.status?.stable, '6.0.0');
    }
  });

  it('takes one place from the version that stands by where stable lacks one', () => {
    const world = serving({ places: 8 });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(95));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 4 rrrr');
    world.rescale('6.0.0', { replicas: 5 });
    world.run(seconds(1));
    assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 5 rrrrr');
    assert.equal(world.condition('Ready', '5.0.0'), 'True Warm');
    assert.equal(world.condition('WorkloadReady', '5.0.0'), 'False GaveWay');
    assert.equal(world.condition('Ready'), 'True Serving');
    world.pods('6.0.0', ...Array<'crashing'>(5).fill('crashing'));
    world.run(seconds(10));
    assert.equal(world.model?.status?.stable, '5.0.0');
    world.run(seconds(10));
    assert.match(podsOf(world), /^5\.0\.0 4 rrrr/, 'it has a part again');
  });

  for (const reason of ['it does not suit', 'somebody else takes it'] as const) {
    it(`gives one place in vain at most: ${reason}`, () => {
      const world = serving({ places: 4 });
      if (reason === 'it does not suit') world.unusable.add('6.0.0');
      world.add('6.0.0', { ...inPool, replicas: 4 });
      world.ack();
      world.settle();
      world.ack();
      world.settle();
      assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 1 u');
      if (reason === 'somebody else takes it') world.places = 3;
      world.run(seconds(59));
      assert.equal(podsOf(world), '5.0.0 3 rrr, 6.0.0 1 u');
      world.run(seconds(2));
      assert.match(podsOf(world), /^5\.0\.0 4 rrr/);
      assert.equal(world.condition('Ready'), 'False AwaitingPlaces');
      assert.match(messageOf(world), /6\.0\.0 cannot use the places of 5\.0\.0$/);
      const told = world.transcript.filter((line) => line.includes('SwapImpossible'));
      assert.equal(told.length, 1);
      assert.match(told[0]!, /a place that 5\.0\.0 gave up was not taken for 1 min, and goes back/);
      world.places = 4;
      world.run(seconds(1_000));
      assert.match(podsOf(world), /^5\.0\.0 4 rrrr/);
      assert.equal(world.condition('Stalled', '6.0.0'), 'True Unschedulable');
      assert.equal(world.condition('Ready'), 'True Serving');
    });
  }

  it('is not made for pods that a candidate had, and has lost', () => {
    const world = serving({
      places: 8,
      spec: { rollout: { ...rollout, steps: [{ weight: 50, hold: '1s', approval: true }] } },
    });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(60));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 4 rrrr');
    world.places = 6;
    world.pods('6.0.0', 'ready', 'ready', 'unschedulable', 'unschedulable');
    world.annotate('sluice.dev/approve', 'go');
    world.run(seconds(60));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 4 rruu');
    assert.equal(world.weight('6.0.0'), 50);
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Pods');
    world.places = 7;
    world.run(seconds(60));
    assert.equal(world.weight('6.0.0'), 50, 'not as many as its ready pods could carry');
    world.places = 8;
    world.run(seconds(60));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  it('ends when there is room after all', () => {
    const world = serving({
      places: 4,
      spec: { rollout: { ...rollout, steps: [{ weight: 5, hold: '1s', approval: true }] } },
    });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.settle();
    assert.notEqual(swapOf(world), undefined, 'routers do not follow yet, so nothing is lent');
    world.places = 8;
    world.run(seconds(60));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 1 r', 'the step needs no more');
    world.annotate('sluice.dev/approve', 'go');
    world.run(seconds(60));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 4 rrrr');
  });

  it('gives a candidate no more than its ready pods bear when there is room after all', () => {
    const steps = [
      { weight: 5, hold: '1s', approval: true },
      { weight: 90, hold: '10s' },
    ];
    const world = serving({ places: 4, spec: { rollout: { ...rollout, steps } } });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.settle();
    world.places = 8;
    world.run(seconds(10));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 1 r');
    world.annotate('sluice.dev/approve', 'go');
    world.ack();
    world.settle();
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 4 rsss');
    assert.equal(world.weight('6.0.0'), 25);
    world.run(seconds(100));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  it('gives stable its places back while the rollout lasts, when the pool has grown', () => {
    const world = serving({
      places: 4,
      spec: { rollout: { ...rollout, steps: [{ weight: 50, hold: '1s', approval: true }] } },
    });
    world.add('6.0.0', { ...inPool, replicas: 4 });
    world.run(seconds(60));
    assert.equal(podsOf(world), '5.0.0 2 rr, 6.0.0 2 rr');
    world.places = 8;
    world.pools.set('a100', { ...world.pools.get('a100')!, status: { free: 4 } });
    world.run(seconds(60));
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 2 rr');
    world.annotate('sluice.dev/approve', 'go');
    world.run(seconds(60));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(podsOf(world), '5.0.0 4 rrrr, 6.0.0 4 rrrr');
  });

  it('ends in the promotion, whatever the steps and the numbers of pods are', () => {
    const setting = fc.record({
      stable: fc.integer({ min: 2, max: 12 }),
      more: fc.integer({ min: 0, max: 13 }),
      strategy: fc.constantFrom('canary' as const, 'blueGreen' as const, 'immediate' as const),
      steps: fc.uniqueArray(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 5 }),
    });
    fc.assert(
      fc.property(setting, ({ stable, more, strategy, steps }) => {
        const ascending = steps.toSorted((a, b) => a - b).map((weight) => ({ weight, hold: '5s' }));
        const world = serving({
          places: stable + more,
          replicas: stable,
          spec: { rollout: { ...rollout, strategy, steps: ascending } },
        });
        world.add('6.0.0', { ...inPool, replicas: stable });
        for (let second = 0; second < 60; second += 1) {
          world.run(seconds(1));
          for (const { version, weight } of world.model?.status?.traffic ?? []) {
            const { pods } = world.versions.get(version)!;
            const ready = pods.filter((state) => state === 'ready').length;
            const part = (stable * (weight - 0.01)) / 100;
            assert.ok(ready >= part - allowance(stable), `${version} has ${weight} %: ${podsOf(world)}`);
          }
        }
        assert.equal(world.model?.status?.stable, '6.0.0');
        assert.equal(world.condition('Ready'), 'True Serving');
      }),
      { numRuns: 100 },
    );
  });

  it('keeps the invariants whatever happens meanwhile, and ends or says what it waits for', () => {
    const versions = ['5.0.0', '6.0.0', '7.0.0'];
    const version = fc.constantFrom(...versions);
    const state = fc.constantFrom(
      'ready' as const,
      'ready' as const,
      'starting' as const,
      'crashing' as const,
    );
    const act = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.constantFrom(1, 5, 31, 100).map((time) => (world: World) => world.run(seconds(time))),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom(1, 6, 31).map((time) => (world: World) => world.pass(seconds(time))),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(version, state, state).map(([name, a, b]) => (world: World) => {
          if (world.versions.has(name)) world.trouble(name, a, b, a, b);
        }),
      },
      {
        weight: 1,
        arbitrary: version.map((name) => (world: World) => {
          if (world.versions.has(name)) world.evict(name);
        }),
      },
      { weight: 1, arbitrary: version.map((name) => (world: World) => world.lose(name, 1)) },
      { weight: 1, arbitrary: fc.constant((world: World) => world.leave()) },
      { weight: 1, arbitrary: fc.constant((world: World) => world.ack()) },
      {
        weight: 1,
        arbitrary: fc
          .constantFrom('published' as const, 'applied' as const)
          .map((until) => (world: World) => void world.reconcile(until)),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(version, fc.integer({ min: 1, max: 6 }))
          .map(([name, replicas]) => (world: World) => {
            if (world.versions.has(name)) world.rescale(name, { replicas });
          }),
      },
      {
        weight: 1,
        arbitrary: fc.integer({ min: 1, max: 8 }).map((places) => (world: World) => world.resize(places)),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(fc.constantFrom('abort', 'promote', 'approve'), fc.nat()).map(
          ([name, value]) =>
            (world: World) =>
              world.annotate(`sluice.dev/${name}`, String(value)),
        ),
      },
      {
        weight: 1,
        arbitrary: fc
          .boolean()
          .map((paused) => (world: World) => world.annotate('sluice.dev/paused', String(paused))),
      },
      {
        weight: 1,
        arbitrary: fc.constant(
          (world: World) => world.versions.has('7.0.0') || world.add('7.0.0', { ...inPool, replicas: 3 }),
        ),
      },
      { weight: 1, arbitrary: version.map((name) => (world: World) => world.remove(name)) },
      {
        weight: 1,
        arbitrary: fc
          .constantFrom('latest', '5.0.0', '6.0.0')
          .map((name) => (world: World) => world.configure({ serve: { version: name } })),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom(undefined, 0, 9, 40).map((load) => (world: World) => world.carry(load)),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(version, fc.integer({ min: 1, max: 30 }))
          .map(([name, targetConcurrency]) => (world: World) => {
            if (world.versions.has(name)) world.rescale(name, { scaling: { targetConcurrency } });
          }),
      },
    );
    const start = fc.record({
      stable: fc.integer({ min: 1, max: 6 }),
      candidate: fc.integer({ min: 1, max: 6 }),
      more: fc.integer({ min: 0, max: 2 }),
      strategy: fc.constantFrom(
        'canary' as const,
        'canary' as const,
        'blueGreen' as const,
        'immediate' as const,
      ),
      minReady: fc.constantFrom('50%', '100%'),
      latestFirst: fc.boolean(),
    });
    fc.assert(
      fc.property(
        start,
        fc.array(act, { maxLength: 15 }),
        ({ stable, candidate, more, strategy, minReady, latestFirst }, acts) => {
          const world = serving({
            places: stable + more,
            replicas: stable,
            spec: { rollout: { ...rollout, strategy }, rollback: { ...rollback, minReady } },
          });
          world.latestFirst = latestFirst;
          world.add('6.0.0', { ...inPool, replicas: candidate });
          for (const happen of acts) {
            happen(world);
            world.settle();
          }
          world.configure({ serve: { version: 'latest' } });
          world.annotate('sluice.dev/paused', 'false');
          world.concurrency = 0;
          const calm = () => {
            for (const name of world.versions.keys()) world.trouble(name, ...Array<'ready'>(9).fill('ready'));
            world.run(seconds(3_000));
          };
          calm();
          const { latched = [], candidate: left } = world.model!.status!;
          if (world.versions.size === 0 || latched.length >= world.versions.size) return;
          assert.equal(world.condition('Servable'), 'True Serving');
          if (left !== undefined) {
            const lacks = [...world.versions].some(([, { pods }]) => pods.includes('unschedulable'));
            assert.ok(lacks, `${left.version} waits though nobody lacks room: ${messageOf(world)}`);
            assert.notEqual(messageOf(world), '');
          }
          world.places = 1_000;
          calm();
          assert.equal(world.condition('Ready'), 'True Serving');
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
