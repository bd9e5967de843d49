/** What the server does with a client that does not send its request, or take its answer. The rest is asked of it as a process, in serve.test.ts. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import winston from 'winston';
import { ByteBudget } from '../byte-budget.ts';
import type { Exchange, ServedModel } from '../model.ts';
import type { InferenceError } from '../protocol/errors.ts';
import { transferTimeoutMs } from '../time-limits.ts';
import { createHttpServer } from './server.ts';

const mega = 2 ** 20;

/** A connection to a server of a model that answers with 64 MiB; no time passes but by ticks. */
async function connected(t: TestContext) {
  const budget = new ByteBudget(128 * mega);
  const data = new Uint8Array(64 * mega);
  const output = { name: 'y', datatype: 'UINT8', shape: [64 * mega], data } as const;
  const refused: string[] = [];
  const model = {
    name: 'm',
    version: '1',
    check: () => undefined,
    infer: async (_: string, { decode, answer }: Exchange) => {
      answer({ id: '', outputs: [output] }, decode());
    },
    refused: (protocol: string, { fault }: InferenceError) => refused.push(`${protocol} ${fault}`),
  } as unknown as ServedModel;
  const logger = winston.createLogger({ silent: true });
  const options = { model, maxRequestBytes: mega, budget, logger, closing: () => false };
  const server = createHttpServer(options).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1').pause();
  socket.on('error', () => undefined);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => {
    socket.destroy();
    server.close();
    server.closeAllConnections();
  });
  return { budget, refused, socket, timers: t.mock.timers };
}

const body = JSON.stringify({
  inputs: [{ name: 'x', datatype: 'UINT8', shape: [1], data: [1] }],
  parameters: { binary_data_output: true },
});
const request = `POST /v2/models/m/infer HTTP/1.1\r\nHost: m\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

it('an answer that is not read is held for a while, and no longer', { timeout: 60_000 }, async (t) => {
  const { budget, socket, timers } = await connected(t);
  socket.write(request);
  while (budget.held < 64 * mega) await turn();
  timers.tick(transferTimeoutMs - 1);
  await turn();
  assert.ok(budget.held >= 64 * mega);
  timers.tick(1);
  while (budget.held > 0) await turn();
});

it('a request that does not come in time is told so, and holds nothing', { timeout: 60_000 }, async (t) => {
  const { budget, refused, socket, timers } = await connected(t);
  socket.write(request.slice(0, -1));
  while (budget.held === 0) await turn();
  timers.tick(transferTimeoutMs - 1);
  await turn();
  assert.deepEqual(refused, []);
  timers.tick(1);
  let said = '';
  socket.on('data', (chunk) => {
    said += chunk;
  });
  socket.resume();
  while (!said.endsWith('}')) await turn();
  assert.match(said, /^HTTP\/1\.1 408 Request Timeout\r\n/);
  assert.match(said, /\r\nConnection: close\r\n/);
  assert.match(said, /\{"error":"the body did not come within 300 s"\}$/);
  assert.deepEqual(refused, ['rest TooSlow']);
  // What is left of the body is thrown away for a moment, then the connection ends.
  timers.tick(2000);
  while (budget.held > 0) await turn();
});
