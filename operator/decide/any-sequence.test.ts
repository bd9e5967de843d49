/** A hundred thousand stories that nobody thought of: specs, failures, clocks and people at random. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultModelSpec } from '../api/defaults.ts';
import { pool } from '../api/fixtures.ts';
import { World } from './testing/world.ts';

const seconds = (count: number): number => count * 1_000;

describe('any sequence of events', () => {
  const versions = ['5.0.0', '6.0.0', '7.0.0'];
  const version = fc.constantFrom(...versions);
  const podState = fc.constantFrom('starting' as const, 'ready' as const, 'crashing' as const);
  const action = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('pods' as const), version, a: podState, b: podState }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('wait' as const),
        ms: fc.constantFrom(1, 900, 5_000, 30_000, 700_000),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('ack' as const), router: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('die' as const),
        after: fc.constantFrom('published' as const, 'applied' as const),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('places' as const), places: fc.integer({ min: 1, max: 9 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('scale' as const),
        version,
        replicas: fc.integer({ min: 1, max: 5 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('add' as const), version }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), version }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('change' as const), version, threads: fc.nat(3) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('ask' as const),
        name: fc.constantFrom('paused', 'approve', 'promote', 'abort'),
        value: fc.constantFrom('true', 'a', 'b', 'c'),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('slices' as const), version, late: fc.boolean() }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('load' as const),
        concurrency: fc.constantFrom(undefined, 0, 1, 9, 40, 1_000),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('scaling' as const),
        version,
        target: fc.integer({ min: 1, max: 50 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('retry' as const), version, value: fc.constantFrom('a', 'b') }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('policy' as const),
        strategy: fc.constantFrom('canary' as const, 'blueGreen' as const, 'immediate' as const),
        approval: fc.boolean(),
        onNewVersion: fc.constantFrom('supersede' as const, 'queue' as const),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('route' as const),
        to: fc.uniqueArray(version, { maxLength: 2 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('serve' as const),
        serve: fc.oneof(
          fc.constantFrom({ version: 'latest' }, { version: '5.0.0' }, { version: '6.0.0' }),
          fc.constant({
            split: [
              { version: '5.0.0', weight: 1 },
              { version: '6.0.0', weight: 3 },
            ],
          }),
        ),
      }),
    },
  );

  /** Room for so many pods, and what a rollout does when there is no more; or for any. */
  const room = fc.option(
    fc.record({
      places: fc.integer({ min: 1, max: 8 }),
      whenFull: fc.constantFrom('swap' as const, 'wait' as const),
    }),
    { nil: undefined },
  );

  const survives = fc.property(fc.array(action, { maxLength: 40 }), room, (actions, limit) => {
    const world = new World({});
    if (limit !== undefined) {
      world.places = limit.places;
      world.pools.set('a100', pool('a100', limit));
    }
    add(world, '5.0.0');
    for (const act of actions) {
      perform(world, act);
      world.settle();
    }
    world.configure({ serve: { version: 'latest' }, rollout: defaultModelSpec.rollout, routes: [] });
    world.annotate('sluice.dev/paused', 'false');
    world.concurrency = 0;
    world.unreached.clear();
    heal(world);
    if (limit !== undefined) {
      world.run(seconds(3_000));
      const ready = world.model!.status!.conditions?.find(({ type }) => type === 'Ready');
      assert.ok(ready?.status === 'True' || ready?.message, 'it ends, or says what it waits for');
      const able = [...world.versions].some(([, { pods }]) => pods.includes('ready'));
      assert.ok(!able || world.condition('Servable') === 'True Serving', 'and clients are served');
      world.places = 1_000;
      heal(world);
    }
    world.run(seconds(3_000));
    const { latched = [], traffic = [] } = world.model!.status!;
    if (world.versions.size > latched.length) {
      assert.equal(
        traffic.reduce((sum, share) => sum + share.weight, 0),
        100,
      );
      assert.equal(world.model!.status!.candidate, undefined);
      assert.equal(world.condition('Ready'), 'True Serving');
    }
  });

  const parts = 10;
  for (let part = 1; part <= parts; part += 1)
    it(`keeps the invariants at every step, settles, and ends served when the faults stop: ${part} of ${parts}`, () =>
      fc.assert(survives, { numRuns: 100_000 / parts }));

  type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

  function add(world: World, version: string): void {
    world.add(version, world.pools.size === 0 ? {} : { placement: { pool: 'a100', gpus: 0 } });
  }

  /** Nothing is wrong with any pod any more. */
  function heal(world: World): void {
    for (const name of world.versions.keys()) {
      if (world.pools.size === 0 && world.versions.get(name)!.replicas) world.pods(name, 'ready', 'ready');
      else world.trouble(name, ...Array<'ready'>(10).fill('ready'));
    }
    world.leave();
  }

  function perform(world: World, act: Action): void {
    switch (act.do) {
      case 'pods':
        if (world.pools.size > 0 && world.versions.has(act.version))
          world.trouble(act.version, act.a, act.b, act.a, act.b);
        else if (world.versions.get(act.version)?.replicas) world.pods(act.version, act.a, act.b);
        return;
      case 'leave':
        return world.leave();
      case 'die':
        world.reconcile(act.after);
        return;
      case 'places':
        if (world.pools.size > 0) world.resize(act.places);
        return;
      case 'scale':
        if (world.pools.size > 0 && world.versions.has(act.version))
          world.rescale(act.version, { replicas: act.replicas });
        return;
      case 'wait':
        world.now += act.ms;
        return;
      case 'ack':
        world.routers[act.router] = world.model?.status?.routers?.generation ?? 0;
        return;
      case 'add':
        if (!world.versions.has(act.version)) add(world, act.version);
        return;
      case 'remove':
        world.remove(act.version);
        return;
      case 'change':
        if (world.versions.has(act.version)) {
          const { server } = world.versions.get(act.version)!.object.spec;
          world.change(act.version, { server: { ...server, threads: act.threads + 1 } });
        }
        return;
      case 'ask':
        return world.annotate(`sluice.dev/${act.name}`, act.value);
      case 'slices':
        if (act.late) world.unreached.add(act.version);
        else world.unreached.delete(act.version);
        return;
      case 'load':
        world.concurrency = act.concurrency;
        return;
      case 'scaling':
        if (world.versions.has(act.version))
          world.rescale(act.version, { scaling: { targetConcurrency: act.target } });
        return;
      case 'retry':
        if (world.versions.has(act.version)) world.annotate('sluice.dev/retry', act.value, act.version);
        return;
      case 'policy': {
        const { strategy, approval, onNewVersion } = act;
        const steps = defaultModelSpec.rollout.steps.map((step) => ({ ...step, approval }));
        return world.configure({
          rollout: { ...defaultModelSpec.rollout, strategy, approval, onNewVersion, steps },
        });
      }
      case 'route':
        return world.configure({
          routes: act.to.map((version) => ({ match: { path: { prefix: `/${version}` } }, version })),
        });
      case 'serve':
        world.configure({ serve: act.serve });
    }
  }
});
