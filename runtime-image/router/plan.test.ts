import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { plan } from './plan.ts';
import {
  type Busy,
  type EndpointInput,
  emptyState,
  type Inputs,
  type ModelInput,
  type State,
} from './state.ts';
import { arbitraryInputs } from './testing/arbitrary.ts';

const free: Busy = { slots: new Set(), places: new Set() };

function model(changes: Partial<ModelInput> = {}): ModelInput {
  return {
    name: 'vad',
    uid: 'uid-1',
    port: 10_000,
    generation: 1,
    stable: '5.0.0',
    traffic: [
      { version: '5.0.0', weight: 90 },
      { version: '6.0.0', weight: 10 },
    ],
    ...changes,
  };
}

function pod(version: string, address: string, changes: Partial<EndpointInput> = {}): EndpointInput {
  return { model: 'vad', version, address, ports: { http: 8080, grpc: 8081 }, state: 'ready', ...changes };
}

const inputs: Inputs = {
  models: [model()],
  endpoints: [pod('5.0.0', '10.0.0.1'), pod('5.0.0', '10.0.0.2'), pod('6.0.0', '10.0.0.3')],
};

function step(next: Inputs, previous: State = emptyState, busy = free) {
  return plan(next, previous, busy).state;
}

describe('plan', () => {
  it('gives each version a slot, its pods and its share', () => {
    const state = step(inputs);
    assert.deepEqual(state.slots, [
      { slot: 1, model: 'vad', uid: 'uid-1', version: '5.0.0' },
      { slot: 2, model: 'vad', uid: 'uid-1', version: '6.0.0' },
    ]);
    assert.deepEqual(state.routes, [
      {
        name: 'vad',
        uid: 'uid-1',
        port: 10_000,
        generation: 1,
        half: 0,
        shares: [
          { of: 1, from: 0, to: 9000 },
          { of: 2, from: 9000, to: 10_000 },
        ],
        fallbacks: [1, 2],
      },
    ]);
    assert.equal(state.servers.length, 6);
    assert.deepEqual(state.servers[0], {
      slot: 1,
      kind: 'http',
      address: '10.0.0.1',
      port: 8080,
      checkPort: 8080,
    });
    assert.deepEqual(state.servers[1], {
      slot: 1,
      kind: 'grpc',
      address: '10.0.0.1',
      port: 8081,
      checkPort: 8080,
      place: 1,
    });
  });

  it('is the same again for the same inputs', () => {
    const state = step(inputs);
    assert.deepEqual(step(inputs, state), state);
  });

  it('lays changed shares out in the other half, and keeps slots', () => {
    const before = step(inputs);
    const after = step(
      {
        ...inputs,
        models: [
          model({
            generation: 2,
            traffic: [
              { version: '5.0.0', weight: 50 },
              { version: '6.0.0', weight: 50 },
            ],
          }),
        ],
      },
      before,
    );
    assert.equal(after.routes[0]?.half, 1);
    assert.deepEqual(after.slots, before.slots);
  });

  it('puts stable first whatever the order of the status', () => {
    const turned = step({ ...inputs, models: [model({ traffic: [...model().traffic].reverse() })] });
    assert.deepEqual(turned.routes[0]?.shares, step(inputs).routes[0]?.shares);
  });

  it('names as fallbacks only versions that the status lists and that have pods, stable first', () => {
    const state = step({
      models: [model({ traffic: [{ version: '6.0.0', weight: 100 }] })],
      endpoints: [pod('6.0.0', '10.0.0.3'), pod('7.0.0', '10.0.0.4'), pod('5.0.0', '10.0.0.5')],
    });
    const slot = (version: string) => state.slots.find((one) => one.version === version)?.slot;
    assert.deepEqual(state.routes[0]?.fallbacks, [slot('5.0.0'), slot('6.0.0')]);
  });

  it('lets those go on that answered, until a pod of those that shall is known here', () => {
    const five = {
      models: [model({ traffic: [{ version: '5.0.0', weight: 100 }] })],
      endpoints: [pod('5.0.0', '10.0.0.1')],
    };
    const before = step(five);
    const six = model({ generation: 2, stable: '6.0.0', traffic: [{ version: '6.0.0', weight: 100 }] });
    const ahead = step({ ...five, models: [six] }, before);
    assert.deepEqual(ahead.routes, before.routes);
    const after = step({ models: [six], endpoints: [...five.endpoints, pod('6.0.0', '10.0.0.3')] }, ahead);
    const slot = after.slots.find((one) => one.version === '6.0.0')?.slot;
    assert.deepEqual([after.routes[0]?.generation, after.routes[0]?.fallbacks], [2, [slot]]);
    assert.equal(
      step({ models: [six], endpoints: [] }, ahead).routes[0]?.generation,
      2,
      'nobody is left to go on',
    );
  });

  it('keeps a version without traffic reachable for those that pin it', () => {
    const state = step({ models: [model()], endpoints: [pod('7.0.0', '10.0.0.9')] });
    assert.ok(state.slots.some((slot) => slot.version === '7.0.0'));
    assert.ok(state.servers.some((server) => server.address === '10.0.0.9'));
  });

  it('uses terminating pods only when the model has no ready one', () => {
    const last = pod('5.0.0', '10.0.0.1', { state: 'terminating' });
    const alone = step({ models: [model()], endpoints: [last] });
    assert.equal(alone.servers.length, 2);
    const withReady = step({ models: [model()], endpoints: [last, pod('6.0.0', '10.0.0.3')] });
    assert.deepEqual(
      withReady.servers.map((server) => server.address),
      ['10.0.0.3', '10.0.0.3'],
    );
  });

  it('gives a re-created model slots of its own', () => {
    const before = step(inputs);
    const after = step({ ...inputs, models: [model({ uid: 'uid-2' })] }, before);
    assert.deepEqual(
      after.slots.map((slot) => slot.slot),
      [3, 4],
    );
  });

  it('does not give away a slot that is freed now or still busy', () => {
    const before = step(inputs);
    const busy = { slots: new Set([3]), places: new Set<string>() };
    const after = step(
      { models: [model({ uid: 'uid-2', stable: 'a', traffic: [] })], endpoints: [] },
      before,
      busy,
    );
    assert.deepEqual(
      after.slots.map((slot) => slot.slot),
      [4],
    );
  });

  it('grows the pool when it is short', () => {
    const versions = Array.from({ length: 300 }, (_, index) => ({ version: `v${index}`, weight: 1 }));
    const state = step({ models: [model({ traffic: versions })], endpoints: [] });
    assert.equal(state.pool, 512);
    assert.equal(new Set(state.slots.map((slot) => slot.slot)).size, 301);
  });

  it('keeps a gRPC pod in its place, and gives none away that is busy', () => {
    const pods = (...last: number[]) => last.map((one) => pod('5.0.0', `10.0.0.${one}`));
    const places = (state: State) =>
      state.servers
        .filter((server) => server.kind === 'grpc')
        .map(({ address, place }) => `${address} ${place}`);
    const before = step({ models: [model()], endpoints: pods(1, 2, 3) });
    assert.deepEqual(places(before), ['10.0.0.1 1', '10.0.0.2 2', '10.0.0.3 3']);
    const shrunk = step({ models: [model()], endpoints: pods(2, 3) }, before);
    assert.deepEqual(places(shrunk), ['10.0.0.2 2', '10.0.0.3 3']);
    const busy = { slots: new Set([1]), places: new Set(['1.1']) };
    const early = step({ models: [model()], endpoints: pods(2, 3, 4) }, shrunk, busy);
    assert.deepEqual(places(early), ['10.0.0.2 2', '10.0.0.3 3', '10.0.0.4 4']);
    const full = step({ models: [model()], endpoints: pods(2, 3, 4, 5) }, shrunk, busy);
    assert.deepEqual(places(full), ['10.0.0.2 2', '10.0.0.3 3', '10.0.0.4 4', '10.0.0.5 1']);
    assert.equal(full.places, 4, 'what only leaves needs no more places');
    const late = step({ models: [model()], endpoints: pods(2, 3, 4) }, shrunk);
    assert.deepEqual(places(late), ['10.0.0.2 2', '10.0.0.3 3', '10.0.0.4 1']);
  });

  it('prepares more places when a version has more pods', () => {
    const many = Array.from({ length: 9 }, (_, index) => pod('5.0.0', `10.0.0.${index + 1}`));
    assert.equal(step(inputs).places, 4);
    const state = step({ models: [model()], endpoints: many });
    assert.equal(state.places, 16);
    assert.equal(step(inputs, state).places, 16);
  });

  it('leaves a port to the model that has it', () => {
    const before = step({ models: [model({ uid: 'zzz' })], endpoints: [] });
    const { state, problems } = plan(
      { models: [model({ name: 'thief', uid: 'aaa' }), model({ uid: 'zzz' })], endpoints: [] },
      before,
      free,
    );
    assert.deepEqual(
      state.routes.map((route) => route.uid),
      ['zzz'],
    );
    assert.deepEqual(problems, ['model "thief" has the port of "vad"']);
  });

  for (const port of [0, 80, 9999, 10_500, 70_000, 10_000.5, Number.NaN]) {
    it(`refuses port ${port}`, () => {
      const { state, problems } = plan({ models: [model({ port })], endpoints: [] }, emptyState, free);
      assert.equal(state.routes.length, 0);
      assert.match(problems[0] ?? '', /outside of 10000\.\.10499/);
    });
  }

  it('moves nobody off a candidate whose weight grows, at any router, and after any restart', () => {
    /** Version of every bucket. */
    const owners = (state: State) => {
      const names = new Map(state.slots.map(({ slot, version }) => [slot, version]));
      return state.routes[0]!.shares.flatMap(({ of, from, to }) =>
        Array<string>(to - from).fill(names.get(of)!),
      );
    };
    const rising = fc.uniqueArray(fc.integer({ min: 0, max: 10_000 }), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(rising, fc.boolean(), (weights, candidateFirst) => {
        let state = emptyState;
        let before: string[] = [];
        for (const weight of weights.sort((a, b) => a - b)) {
          const traffic = [
            { version: '5.0.0', weight: (10_000 - weight) / 100 },
            { version: '6.0.0', weight: weight / 100 },
          ];
          const next = {
            ...inputs,
            models: [model({ traffic: candidateFirst ? traffic.reverse() : traffic })],
          };
          state = step(next, state);
          const now = owners(state);
          assert.equal(now.filter((version) => version === '6.0.0').length, weight);
          for (let bucket = 0; bucket < before.length; bucket++)
            assert.ok(before[bucket] !== '6.0.0' || now[bucket] === '6.0.0', `bucket ${bucket} at ${weight}`);
          assert.deepEqual(owners(step(next)), now, 'a router without a past');
          before = now;
        }
      }),
      { numRuns: 60 },
    );
  });

  it('leads routes only to versions that have pods and that the status allows', () => {
    const policy = {
      routes: ['6.0.0', '7.0.0', '8.0.0'].map((version) => ({ headers: [], prefix: `/${version}`, version })),
    };
    const state = step({
      models: [model({ policy, routed: ['5.0.0', '6.0.0', '8.0.0'] })],
      endpoints: [pod('5.0.0', '10.0.0.1'), pod('6.0.0', '10.0.0.2'), pod('7.0.0', '10.0.0.3')],
    });
    const slot = state.slots.find(({ version }) => version === '6.0.0')!.slot;
    assert.deepEqual(state.routes[0]?.routed, [slot]);
  });

  it('keeps its invariants over any sequence of inputs', () => {
    fc.assert(
      fc.property(fc.array(arbitraryInputs, { minLength: 1, maxLength: 6 }), (sequence) => {
        let state = emptyState;
        for (const next of sequence) {
          const previous = state;
          state = plan(next, previous, free).state;
          const numbers = state.slots.map((slot) => slot.slot);
          assert.equal(new Set(numbers).size, numbers.length, 'a slot has one version');
          assert.ok(numbers.every((slot) => slot >= 1 && slot <= state.pool));
          const ports = state.routes.map((route) => route.port);
          assert.equal(new Set(ports).size, ports.length, 'a port has one model');
          for (const server of state.servers) assert.ok(numbers.includes(server.slot));
          for (const route of state.routes) {
            const covered = route.shares.reduce((sum, share) => sum + share.to - share.from, 0);
            assert.ok(covered === 10_000 || covered === 0);
            for (const slot of [...route.fallbacks, ...route.shares.map((share) => share.of)])
              assert.equal(state.slots.find((one) => one.slot === slot)?.uid, route.uid);
          }
          for (const slot of state.slots) {
            const before = previous.slots.find((one) => one.slot === slot.slot);
            if (before) assert.deepEqual(before, slot, 'no slot changes hands within one change');
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
