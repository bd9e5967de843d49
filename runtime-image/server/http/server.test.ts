/** What the server does with a client that does not take its answer. The rest is asked of it as a process, in serve.test.ts. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { it, mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import winston from 'winston';
import { ByteBudget } from '../byte-budget.ts';
import type { ServedModel } from '../model.ts';
import { transferTimeoutMs } from '../time-limits.ts';
import { createHttpServer } from './server.ts';

const mega = 2 ** 20;

it('an answer that is not read is held for a while, and no longer', { timeout: 60_000 }, async () => {
  const budget = new ByteBudget(128 * mega);
  const output = {
    name: 'y',
    datatype: 'UINT8',
    shape: [64 * mega],
    data: new Uint8Array(64 * mega),
  } as const;
  const model = {
    name: 'm',
    version: '1',
    check: () => undefined,
    infer: async (_: string, decode: () => unknown) => {
      decode();
      return { outputs: [output] };
    },
  } as unknown as ServedModel;
  const logger = winston.createLogger({ silent: true });
  const options = { model, maxRequestBytes: mega, budget, logger, closing: () => false };
  const server = createHttpServer(options).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const body = JSON.stringify({
    inputs: [{ name: 'x', datatype: 'UINT8', shape: [1], data: [1] }],
    parameters: { binary_data_output: true },
  });
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1').pause();
  socket.on('error', () => undefined);
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    socket.write(
      `POST /v2/models/m/infer HTTP/1.1\r\nHost: m\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    while (budget.held < 64 * mega) await turn();
    mock.timers.tick(transferTimeoutMs - 1);
    await turn();
    assert.ok(budget.held >= 64 * mega);
    mock.timers.tick(1);
    while (budget.held > 0) await turn();
  } finally {
    mock.timers.reset();
    socket.destroy();
    server.close();
    server.closeAllConnections();
  }
});
