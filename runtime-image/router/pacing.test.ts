import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { diff } from './diff.ts';
import { paceMs, withFormerRules } from './pacing.ts';
import { plan } from './plan.ts';
import type { Policy } from './policy.ts';
import { type EndpointInput, emptyState, type Inputs, type ModelInput } from './state.ts';

const free = { slots: new Set<number>(), places: new Set<string>() };
const sticky: Policy = { sticky: { header: 'x-user' } };

function model(name: string, port: number, six: number, generation: number, policy?: Policy): ModelInput {
  return {
    name,
    uid: `uid-${name}`,
    port,
    generation,
    stable: '5.0.0',
    traffic: [
      { version: '5.0.0', weight: 100 - six },
      { version: '6.0.0', weight: six },
    ],
    ...(policy === undefined ? {} : { policy }),
  };
}

const pod = (name: string, version: string, address: string): EndpointInput => ({
  model: name,
  version,
  address,
  ports: { http: 8080 },
  state: 'ready',
});

const endpoints = ['a', 'b'].flatMap((name, i) => [
  pod(name, '5.0.0', `10.0.${i}.5`),
  pod(name, '6.0.0', `10.0.${i}.6`),
]);
const applied: Inputs = { models: [model('a', 10_001, 0, 7, sticky), model('b', 10_002, 0, 7)], endpoints };
const stateOf = (inputs: Inputs, from = emptyState) => plan(inputs, from, free).state;

describe('while a reload is put off', () => {
  const before = stateOf(applied);

  for (const [what, models] of [
    ['rules that change', [model('a', 10_001, 50, 8, { pinning: 'disabled' }), model('b', 10_002, 50, 8)]],
    ['rules that come', [model('a', 10_001, 50, 7, sticky), model('b', 10_002, 50, 8, sticky)]],
    ['rules that go', [model('a', 10_001, 50, 8), model('b', 10_002, 50, 8)]],
    ['a model with rules that goes', [model('b', 10_002, 50, 8)]],
    ['a new model with rules', [...applied.models, model('c', 10_003, 0, 1, sticky)]],
  ] as const) {
    it(`${what} hold up neither shares nor pods`, () => {
      const wanted = { models, endpoints: [...endpoints, pod('b', '6.0.0', '10.0.1.7')] };
      assert.equal(diff(before, stateOf(wanted, before)), undefined, 'it needs a reload');
      const after = stateOf(withFormerRules(wanted, applied), before);
      assert.ok(diff(before, after), 'without the rules it needs none');
      assert.ok(after.servers.some(({ address }) => address === '10.0.1.7'));
      for (const { uid, traffic } of models) {
        const route = after.routes.find((each) => each.uid === uid);
        if (route !== undefined) assert.equal(route.shares.length, traffic[1]!.weight > 0 ? 2 : 1);
      }
    });
  }

  it('nobody takes the change of rules for done', () => {
    const wanted = { ...applied, models: [model('a', 10_001, 50, 8, {}), model('b', 10_002, 50, 8)] };
    const { models } = withFormerRules(wanted, applied);
    assert.deepEqual(
      models.map(({ generation, policy }) => [generation, policy]),
      [
        [7, sticky],
        [8, undefined],
      ],
    );
  });

  it('a port is never given twice', () => {
    const wanted = { ...applied, models: [model('b', 10_002, 0, 7), model('d', 10_001, 0, 1)] };
    assert.deepEqual(
      withFormerRules(wanted, applied).models.map(({ name }) => name),
      ['b', 'd'],
    );
  });
});

it('the more former processes are busy, the longer the next reload waits', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map(paceMs), [0, 0, 1_000, 2_000, 4_000, 8_000, 16_000]);
});
