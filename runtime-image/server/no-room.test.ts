/** An answer that finds no room is no success, though the model has run: over either protocol it is refused, and counted so. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import winston from 'winston';
import { grpcClient } from '../load/grpc-client.ts';
import { ByteBudget } from './byte-budget.ts';
import type { Engine } from './execution/engine.ts';
import { createGrpcServer } from './grpc/service.ts';
import { createHttpServer } from './http/server.ts';
import { Metrics } from './metrics.ts';
import { ServedModel } from './model.ts';

const elements = 64 * 1024;
const spec = {
  inputs: [{ name: 'x', datatype: 'UINT8', shape: [1] }],
  outputs: [{ name: 'y', datatype: 'UINT8', shape: [elements] }],
};

it('an answer without room is refused and counted as a failure', async (t) => {
  const now = () => performance.now();
  const model = new ServedModel({ name: 'm', version: '1' }, { now, wall: Date.now });
  const metrics = new Metrics({ model: 'm', version: '1' }, () => model.gauges, now);
  model.measureWith(metrics);
  const outputs = [{ ...spec.outputs[0], data: new Uint8Array(elements) }];
  const infer = async () => ({ outputs, queueMs: 0, computeMs: 0 });
  model.attach({ alive: true, spec, infer } as unknown as Engine);
  const logger = winston.createLogger({ silent: true });
  // A request fits, its answer does not.
  const budget = new ByteBudget(elements / 2);
  const common = { model, maxRequestBytes: 2 ** 20, budget, logger };
  const http = createHttpServer({ ...common, closing: () => false }).listen(0, '127.0.0.1');
  await once(http, 'listening');
  const grpc = createGrpcServer({ ...common, now });
  const { port } = await grpc.listen('127.0.0.1', 0);
  const client = grpcClient(`127.0.0.1:${port}`, 1);
  t.after(async () => {
    await client.close();
    grpc.destroy();
    await grpc.drain();
    http.close();
    http.closeAllConnections();
  });

  const rest = await fetch(`http://127.0.0.1:${(http.address() as AddressInfo).port}/v2/models/m/infer`, {
    method: 'POST',
    body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'UINT8', shape: [1], data: [1] }] }),
  });
  assert.equal(rest.status, 503);
  assert.match(await rest.text(), /over the limit/);
  const inputs = [{ name: 'x', datatype: 'UINT8' as const, shape: [1], raw: Buffer.of(1) }];
  const request = { model: 'm', version: undefined, id: '', inputs };
  await assert.rejects(client.infer(request, 60_000), /over the limit/);

  const text = await metrics.registry.metrics();
  const count = (name: string, label: string) =>
    Number(new RegExp(`^${name}{${label}[^}]*} (\\S+)`, 'm').exec(text)?.[1] ?? 0);
  assert.equal(count('nv_inference_request_failure', 'reason="REJECTED"'), 2);
  assert.equal(count('nv_inference_request_success', ''), 0);
  for (const protocol of ['rest', 'grpc'])
    assert.equal(count('sluice_requests_total', `protocol="${protocol}",outcome="Exhausted"`), 1);
  assert.equal(model.statistics.success.count, 0);
});
