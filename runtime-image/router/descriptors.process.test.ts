/** How many connections open files are enough for, and that HAProxy starts with as many as that takes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { routerPorts } from '#contract';
import { connectionsFor } from './config.ts';
import { emptyState, type Server, type State } from './state.ts';
import { httpLoad, until } from './testing/client.ts';
import { World } from './testing/world.ts';

const stateOf = (servers: number): State => ({
  ...emptyState,
  pool: 2048,
  servers: Array<Server>(servers).fill({ slot: 1, kind: 'http', address: '10.0.0.1', port: 80 }),
});

describe('open files', () => {
  it('are two for each connection, beside one for each port and server', () => {
    assert.equal(connectionsFor(stateOf(0), 200_000), 20_000);
    assert.equal(connectionsFor(stateOf(1), 10_025), (10_025 - routerPorts.maxModels - 1 - 1024) / 2);
    // 500 models of three versions with four pods each.
    assert.equal(connectionsFor(stateOf(12_000), 20_000), 3_238);
  });

  it('that do not suffice are told of', () => {
    const wanted = routerPorts.maxModels + 12_000 + 1024 + 512;
    assert.throws(
      () => connectionsFor(stateOf(12_000), wanted - 1),
      new Error(
        `HAProxy may have ${wanted - 1} files open, and wants ${wanted} for 12000 servers: ` +
          "raise the hard limit of the router's container (ulimit -Hn)",
      ),
    );
    assert.equal(connectionsFor(stateOf(12_000), wanted), 256);
  });

  it('are not asked for by places in which there is no server', async () => {
    // By HAProxy's own count its places alone want 2,048.
    const world = await World.start({ threads: 1, descriptors: 2_600 });
    try {
      await world.pod('5.0.0');
      await world.split({ '5.0.0': 100 });
      const load = httpLoad(world.address, 8);
      await until(() => load.count > 100, 'load', 20_000);
      assert.deepEqual(Object.keys(await load.stop()), ['200 5.0.0']);
      await world.agent.reload('it starts again beside its former process');
    } finally {
      await world.stop();
    }
  });
});
