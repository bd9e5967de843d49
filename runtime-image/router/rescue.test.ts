import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lastServerDown, toRescue } from './rescue.ts';
import { emptyState, type Server, type State } from './state.ts';

const server = (slot: number, kind: Server['kind'], port: number): Server => ({
  slot,
  kind,
  address: '10.0.0.1',
  port,
});
const state: State = {
  ...emptyState,
  slots: [
    { slot: 1, model: 'm', uid: 'u', version: '5' },
    { slot: 2, model: 'm', uid: 'u', version: '6' },
    { slot: 3, model: 'n', uid: 'v', version: '1' },
  ],
  servers: [server(1, 'http', 80), server(1, 'grpc', 81), server(2, 'http', 82), server(3, 'http', 83)],
};
const row = (pxname: string, svname: string, status: string) => ({ pxname, svname, status });

describe('a rescue', () => {
  it('is of models of which nothing is up, and of no other', () => {
    const rows = [
      row('h1', '10.0.0.1_80', 'DOWN'),
      row('g1', '10.0.0.1_81', 'DOWN 1/3'),
      row('h2', '10.0.0.1_82', 'UP 1/3'),
      row('h3', '10.0.0.1_83', 'DOWN'),
      row('h3', 'loop', 'no check'),
    ];
    assert.deepEqual(
      toRescue(state, rows).map(({ port }) => port),
      [81, 83],
    );
  });

  it('is asked for when the last server goes', () => {
    const down = (left: string) =>
      `Server h3/10.0.0.1_83 is DOWN, reason: Layer7 timeout, check duration: 1001ms. ${left} servers left. Running on backup. 0 sessions active, 0 requeued, 0 remaining in queue.`;
    assert.match(down('0 active and 1 backup'), lastServerDown);
    assert.doesNotMatch(down('1 active and 1 backup'), lastServerDown);
  });
});
