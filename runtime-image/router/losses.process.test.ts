/** What pods and networks do to connections, and what no client may see of it. */
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { parseStat } from './counters.ts';
import type { EndpointInput } from './state.ts';
import { call, connect, grpcLoad, httpLoad, request, until } from './testing/client.ts';
import { type Pod, podPorts } from './testing/pod.ts';
import { UnreachablePort } from './testing/unreachable.ts';
import { firstPort, World } from './testing/world.ts';

let world: World;

before(async () => {
  world = await World.start();
});
after(() => world.stop());

/** Pods of this test; those of earlier ones stay out. */
let pods: Pod[];
beforeEach(() => {
  pods = [];
});

async function pod(version: string): Promise<Pod> {
  const started = await world.pod(version);
  pods.push(started);
  return started;
}

describe('a pod that dies', () => {
  it('takes no request with it, however many connections were kept to it', async () => {
    await pod('5.0.0');
    for (let round = 0; round < 8; round++) {
      const victim = await pod('6.0.0');
      await world.split({ '5.0.0': 20, '6.0.0': 80 }, [pods[0]!, victim]);
      const loads = [httpLoad(world.address, 48), grpcLoad(world.address, 16)];
      const stop = async () => Object.assign({}, ...(await Promise.all(loads.map((load) => load.stop()))));
      let outcome: Record<string, number>;
      try {
        await until(() => loads.every((load) => load.count > 200) && victim.answered > 200, 'load', 20_000);
        await victim.kill();
        const counts = loads.map((load) => load.count);
        await until(
          () => loads.every((load, index) => load.count > counts[index]! + 100),
          'load afterwards',
          20_000,
        );
      } finally {
        outcome = await stop();
      }
      assert.deepEqual(Object.keys(outcome).sort(), ['0 5.0.0', '0 6.0.0', '200 5.0.0', '200 6.0.0']);
    }
  });

  it('is replaced by another though the request came in two pieces', async () => {
    const [victim, other] = [await pod('5.0.0'), await pod('5.0.0')];
    await world.split({ '5.0.0': 100 }, pods);
    victim.hangsUp = true;
    for (let i = 0; i < 10; i++) {
      assert.equal(JSON.parse(await inTwoPieces('/v2/models/m/infer')).pod, other.address);
      const session = connect(world.address);
      const stream = session.request({
        ':method': 'POST',
        ':path': '/inference.GRPCInferenceService/ModelInfer',
        'content-type': 'application/grpc',
      });
      const trailers = new Promise<Record<string, unknown>>((resolve) => stream.once('trailers', resolve));
      await new Promise<void>((resolve) => stream.once('ready', resolve));
      await new Promise((resolve) => session.ping(resolve));
      stream.end(Buffer.from([0, 0, 0, 0, 1, 42]));
      stream.resume();
      assert.equal((await trailers)['x-pod'], other.address);
      session.destroy();
    }
  });
});

describe('a pod whose network loses connections', () => {
  /** Its HTTP port, which checks ask, is a pod's own; the gRPC port loses connections. */
  async function halfReachable(version: string) {
    const healthy = await pod(version);
    const address = world.nextAddress();
    const port = await UnreachablePort.start('grpc', healthy.address, podPorts.grpc + 1);
    const endpoint: EndpointInput = {
      ...healthy.endpoint,
      ports: { http: podPorts.http, grpc: podPorts.grpc + 1 },
    };
    return { address, port, endpoint };
  }

  it('keeps its version’s share when it is the only one: the connection is tried again', async () => {
    await pod('5.0.0');
    // Three tries that fail take it out, which is right; on a machine that is short of time they fail before the thaw.
    // And a port that was filled while the machine stood still may have room for the connection.
    for (let attempt = 0; attempt < 5; attempt++) {
      const { port, endpoint } = await halfReachable('6.0.0');
      try {
        await world.split({ '5.0.0': 0, '6.0.0': 100 }, [pods[0]!, endpoint]);
        const before = await retries();
        const session = connect(world.address);
        const began = performance.now();
        const answer = call(session);
        const triedAgain = await until(
          async () => (await retries()) > before,
          'the connection is tried again',
        ).then(
          () => true,
          () => false,
        );
        port.thaw();
        const thawedAfter = performance.now() - began;
        const version = (await answer).headers['sluice-version'];
        session.destroy();
        if (!triedAgain) {
          assert.equal(version, '6.0.0', 'it was not tried again, and its pod had not taken it either');
          continue;
        }
        if (version === '6.0.0') return;
        assert.ok(thawedAfter > 500, `${version} answered though it took only ${thawedAfter} ms to thaw`);
      } finally {
        await port.stop();
      }
    }
    assert.fail('not tried again, or not thawed in time, in five attempts');
  });

  it('is left for another pod of its version', async () => {
    await pod('6.0.0');
    const { port, endpoint } = await halfReachable('6.0.0');
    try {
      await world.split({ '6.0.0': 100 }, [pods[0]!, endpoint]);
      const session = connect(world.address);
      const answers = await Promise.all(Array.from({ length: 20 }, () => call(session)));
      session.destroy();
      assert.deepEqual(
        new Set(answers.map((answer) => answer.trailers['x-pod'])),
        new Set([pods[0]!.address]),
      );
    } finally {
      await port.stop();
    }
  });

  it('loses its share to stable when nothing of it can be reached, and has it back when it can', async () => {
    await pod('5.0.0');
    const address = world.nextAddress();
    const port = await UnreachablePort.start('http', address, podPorts.http);
    const endpoint: EndpointInput = {
      model: 'm',
      version: '6.0.0',
      address,
      ports: { http: podPorts.http },
      state: 'ready',
    };
    try {
      await world.split({ '5.0.0': 0, '6.0.0': 100 }, [pods[0]!, endpoint]);
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => request(world.address, '/v2/models/m/infer', { body: '{}' })),
      );
      for (const { status, body } of answers)
        assert.deepEqual([status, JSON.parse(body).pod], [200, pods[0]!.address]);
      port.thaw();
      await until(
        async () => (await request(world.address, '/')).body === `{"pod":"${address}"}`,
        'its share is back',
      );
    } finally {
      await port.stop();
    }
  });
});

/** Connections to gRPC servers that were tried again. */
async function retries(): Promise<number> {
  const session = await world.agent.session();
  try {
    const rows = parseStat(await session.run('show stat -1 4 -1', /^#/), ['pxname', 'wretr']);
    return rows.reduce((sum, row) => sum + (row.pxname?.startsWith('g') ? Number(row.wretr) : 0), 0);
  } finally {
    session.close();
  }
}

/** Sends the head of a request and its body in two segments. @returns the JSON that is answered */
function inTwoPieces(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(firstPort, world.address);
    let received = '';
    socket.setEncoding('latin1').on('data', (text) => {
      received += text;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(/\{.*\}/.exec(received)?.[0] ?? received));
    socket.on('connect', () => {
      socket.setNoDelay(true);
      socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n`, () =>
        setTimeout(() => socket.write('{}'), 50),
      );
    });
  });
}
