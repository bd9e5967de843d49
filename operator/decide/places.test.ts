import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { modelVersion, pool } from '../api/fixtures.ts';
import { makeRoom, type Places, placesOf, type Tenant } from './places.ts';
import type { Part } from './roles.ts';
import { leavingPod, podOf, readyPod } from './testing/fixtures.ts';
import { World } from './testing/world.ts';

const seconds = (count: number): number => count * 1_000;

describe('places', () => {
  it('are held, being given up, or lacked', () => {
    const object = modelVersion('6.0.0', { placement: { pool: 'a100', gpus: 2 } });
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable' };
    const { spec: _, ...unbound } = podOf(object, 'c', { phase: 'Pending', conditions: [condition] });
    const preempting = { ...unbound, status: { ...unbound.status, nominatedNodeName: 'node' } };
    const { spec: _none, ...fresh } = podOf(object, 'f', { phase: 'Pending' });
    const over = podOf(object, 'o', { phase: 'Failed' });
    const now = Date.parse('2026-01-01T00:00:00Z');
    const leaving = [now - 59_999, now - 60_000].map((due, index) => leavingPod(object, index, due));
    const pods = [readyPod(object, 'a'), podOf(object, 'b'), unbound, preempting, fresh, over];
    assert.deepEqual(placesOf({ object, pods: [...pods, ...leaving], foreign: [] }, undefined, now), {
      pool: 'a100',
      gpus: 2,
      held: 2,
      leaving: 1,
      leavingUntil: now + 1,
      lacking: 1,
    });
  });
});

describe('who gives way', () => {
  const now = 1_000_000;
  const tenant = (version: string, part: Partial<Part>, places: Partial<Places>, free = true): Tenant => ({
    facts: {
      version,
      contentHash: '',
      wanted: 2,
      ready: 0,
      established: 2,
      places: { pool: 'a100', gpus: 1, held: 0, leaving: 0, lacking: 0, ...places },
    },
    part: { role: 'idle', runs: true, ...part },
    free,
  });
  const candidate = tenant('9', { role: 'candidate' }, { lacking: 2 });
  const idle = (version: string, idleSince: number, places: Partial<Places> = { held: 2 }, free = true) =>
    tenant(version, { idleSince }, places, free);
  const warm = (version: string, places: Partial<Places> = { held: 2 }) =>
    tenant(version, { role: 'warm' }, places);
  const gone = (at: number, pods = 2) =>
    tenant('1', { runs: false, idleSince: 1, gaveWay: { to: '9', pods, at } }, {});

  const cases: [string, readonly Tenant[], readonly string[]][] = [
    ['nobody while nobody lacks room', [tenant('9', { role: 'candidate' }, { held: 2 }), idle('1', 1)], []],
    ['the one that has been idle for longest', [candidate, idle('1', 5), idle('2', 3)], ['2']],
    ['as many as it takes', [candidate, idle('1', 5, { held: 1 }), idle('2', 3, { held: 1 })], ['2', '1']],
    ['a failed one like an idle one', [candidate, tenant('1', { role: 'failed' }, { held: 2 })], ['1']],
    ['a warm one after all idle ones', [candidate, warm('1'), idle('2', 3, { held: 1 })], ['2', '1']],
    [
      'never the one that is needed',
      [candidate, tenant('1', { role: 'warm', needed: 'bake' }, { held: 2 })],
      [],
    ],
    ['never one that may have traffic', [candidate, idle('1', 5, { held: 2 }, false)], []],
    ['nobody in another pool', [candidate, idle('1', 5, { held: 2, pool: 'h100' })], []],
    ['nobody outside of pools', [candidate, { ...idle('1', 5), facts: outside(idle('1', 5)) }], []],
    ['none that has no GPU to give', [candidate, idle('1', 5, { held: 2, gpus: 0 })], []],
    ['as many GPUs as it takes', [candidate, idle('1', 1, { held: 1, gpus: 2 }), idle('2', 2)], ['1']],
    ['nobody while enough is being given up', [candidate, idle('1', 5), tenant('5', {}, { leaving: 2 })], []],
    ['nobody while the scheduler may not have noticed', [candidate, gone(now - 19_999), idle('2', 5)], []],
    ['the next when it did not do', [candidate, gone(now - 20_000), idle('2', 5)], ['2']],
    ['one that only waits for room itself', [candidate, warm('1', { lacking: 2 }), idle('2', 5)], ['2', '1']],
    [
      'for a needed predecessor too',
      [tenant('5', { role: 'warm', needed: 'trouble' }, { lacking: 1 }), idle('2', 5)],
      ['2'],
    ],
    ['nobody for one that is spare itself', [warm('1', { lacking: 2 }), idle('2', 5)], []],
  ];
  for (const [name, tenants, expected] of cases) {
    it(name, () => {
      const { parts } = makeRoom(tenants, now);
      const parked = [...parts].filter(([, { gaveWay }]) => gaveWay?.at === now);
      assert.deepEqual(parked.map(([version]) => version).sort(), [...expected].sort());
      assert.ok(parked.every(([, { runs, idleSince }]) => !runs && idleSince !== undefined));
    });
  }

  it('says when more may be given', () => {
    assert.equal(makeRoom([candidate, gone(now - 5_000), idle('2', 5)], now).wakeAt, now + 15_000);
    assert.equal(makeRoom([candidate, idle('2', 5)], now).wakeAt, undefined);
  });

  function outside({ facts }: Tenant): Tenant['facts'] {
    const { pool: _, ...places } = facts.places;
    return { ...facts, places };
  }
});

/** 5.0.0 serves with two pods, 4.0.0 is warm behind it with two, and there is no more room. */
function full(spec: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(spec);
  world.places = 4;
  world.add('4.0.0');
  world.run(seconds(1));
  world.add('5.0.0');
  world.run(seconds(2_000));
  assert.equal(world.model?.status?.stable, '5.0.0');
  assert.equal(world.condition('Ready', '4.0.0'), 'True Warm');
  world.transcript.length = 0;
  return world;
}

describe('a pool that is full', () => {
  it('has room for a candidate where a warm version was, which does not come back by itself', () => {
    const world = full({ retention: { warm: 2, keep: 5, parkAfter: '10m' } });
    world.add('6.0.0');
    world.settle();
    assert.equal(
      world.versions.get('4.0.0')!.replicas,
      2,
      'routers do not know yet that there is a candidate',
    );
    world.ack();
    world.settle();
    assert.equal(world.versions.get('4.0.0')!.replicas, 0);
    assert.equal(world.condition('Ready', '4.0.0'), 'True GaveWay');
    assert.equal(world.condition('WorkloadReady', '4.0.0'), 'False GaveWay');
    assert.equal(world.versions.get('4.0.0')!.object.status?.phase, 'Parked');
    const told = world.events.filter(({ reason }) => reason === 'GaveWay');
    assert.deepEqual(
      told.map(({ about, message }) => [about.kind, message]),
      ['ModelVersion', 'Model'].map((kind) => [kind, '4.0.0 is scaled to zero to make room for 6.0.0']),
    );
    world.run(seconds(300));
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.places = 100;
    world.run(seconds(5_000));
    assert.equal(world.versions.get('4.0.0')!.replicas, 0, 'warm by its rank, and there is room now');
    world.remove('6.0.0');
    world.settle();
    assert.equal(world.model?.status?.stable, '5.0.0');
    assert.equal(world.versions.get('4.0.0')!.replicas, 2, 'what it gave way to is gone');
    world.configure({ serve: { version: '4.0.0' } });
    world.run(seconds(10));
    assert.equal(world.model?.status?.stable, '4.0.0');
    assert.equal(world.versions.get('4.0.0')!.object.status?.gaveWay, undefined);
    assert.equal(world.versions.get('4.0.0')!.object.status?.idleSince, undefined);
  });

  it('comes back when what it gave way to has failed without any pod, and not before the room is free', () => {
    for (const usable of [true, false]) {
      const world = full();
      world.add('6.0.0');
      world.settle();
      world.ack();
      if (!usable) world.unusable.add('6.0.0');
      world.run(seconds(10));
      assert.equal(world.condition('Ready', '4.0.0'), 'True GaveWay');
      if (usable) world.annotate('sluice.dev/abort', 'now');
      world.run(seconds(usable ? 100 : 700));
      assert.equal(world.condition('Ready', '4.0.0'), usable ? 'True GaveWay' : 'True Warm');
      world.run(seconds(5_000));
      assert.equal(world.condition('Ready', '4.0.0'), 'True Warm', 'the failed one is parked');
      assert.equal(world.versions.get('4.0.0')!.object.status?.gaveWay, undefined);
    }
  });

  it('keeps the way back during the bake', () => {
    const world = full();
    world.places = 6;
    world.add('6.0.0');
    world.run(seconds(200));
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.add('7.0.0', { replicas: 4 });
    world.run(seconds(60));
    assert.equal(world.condition('Ready', '4.0.0'), 'True GaveWay');
    assert.equal(world.condition('Ready', '5.0.0'), 'True Warm', 'it stands by');
    assert.equal(world.condition('Ready', '7.0.0'), 'False Unschedulable');
  });

  it('gives a failed candidate’s room to stable, once routers have turned away', () => {
    const world = full();
    world.add('6.0.0');
    world.run(seconds(10));
    assert.equal(world.weight('6.0.0'), 5);
    world.rescale('5.0.0', { replicas: 3 });
    world.settle();
    assert.equal(world.condition('Ready', '5.0.0'), 'False Unschedulable');
    world.annotate('sluice.dev/abort', 'now');
    world.settle();
    assert.equal(world.versions.get('6.0.0')!.replicas, 2, 'routers may still send to it');
    world.ack();
    world.settle();
    assert.equal(world.versions.get('6.0.0')!.replicas, 0);
    assert.equal(world.condition('Ready', '6.0.0'), 'False Aborted');
    world.run(seconds(1));
    assert.equal(world.condition('Ready', '5.0.0'), 'True Serving');
  });

  it('is no reason to park what nobody can use', () => {
    const world = full();
    world.add('6.0.0', { placement: { pool: 'h100', gpus: 1 } });
    world.pools.set('h100', pool('h100', { resourceName: 'nvidia.com/gpu' }));
    world.run(seconds(1_000));
    assert.equal(world.condition('Ready', '6.0.0'), 'False Unschedulable');
    assert.equal(world.condition('Ready', '4.0.0'), 'True Warm');
  });
});
