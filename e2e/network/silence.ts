/**
 * What becomes of requests whose machine is gone without a word, one line of JSON for each; to be run in a network namespace of
 * its own. `held`: the pod had the request, and worked on it. `kept`: it was sent over a connection that was kept, and nothing
 * was there any more.
 */
import http from 'node:http';
import { call, connect, request, until } from '../../runtime-image/router/testing/client.ts';
import { World } from '../../runtime-image/router/testing/world.ts';
import { holdHeader, Machine } from './machine.ts';

export interface Outcome {
  readonly what: string;
  /** The pod that has answered is another one. */
  readonly answered: boolean;
  readonly ms: number;
  /** Servers whose requests the router has ended. */
  readonly ended: number;
}

const path = '/v2/models/m/infer';
const hold = { [holdHeader]: '1' };
const world = await World.start({ threads: 1 });
const ended = () =>
  world.events.reduce((sum, event) => sum + (event.kind === 'silence' ? event.servers : 0), 0);
try {
  const other = await world.pod('5.0.0');
  const agent = new http.Agent({ keepAlive: true });
  const session = connect(world.address);
  /** @returns the pod that has answered */
  const ask = {
    REST: async (headers = {}) =>
      JSON.parse((await request(world.address, path, { body: '{}', headers, agent })).body).pod as string,
    gRPC: async (headers = {}) => (await call(session, headers)).trailers['x-pod'],
  };
  for (const [protocol, send] of Object.entries(ask)) {
    for (const way of ['held', 'kept'] as const) {
      const machine = await Machine.start();
      try {
        await world.split({ '5.0.0': 100 }, [machine.endpoint]);
        await Promise.all(Array.from({ length: 4 }, () => send()));
        const both = [machine.endpoint, other];
        let asked: Promise<unknown>;
        if (way === 'held') {
          asked = send(hold);
          await until(() => machine.held === 1, 'it has the request');
          await world.split({ '5.0.0': 100 }, both);
          machine.vanish();
        } else {
          machine.vanish();
          asked = send();
          await world.split({ '5.0.0': 100 }, both);
        }
        const began = performance.now();
        const before = ended();
        const answered = (await asked) === other.address;
        const outcome: Outcome = {
          what: `${protocol}, ${way}`,
          answered,
          ms: Math.round(performance.now() - began),
          ended: ended() - before,
        };
        console.log(JSON.stringify(outcome));
      } finally {
        await machine.stop();
      }
    }
  }
  session.destroy();
  agent.destroy();
} finally {
  await world.stop();
}
