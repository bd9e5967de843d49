/** Spans, as a collector gets them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { it } from 'node:test';
import { env, modelFile } from '#contract';
import { identityModel } from '../../testing/onnx.ts';
import { ImageProcess, temporaryFolder } from '../../testing/process.ts';
import { openTracer } from './tracer.ts';

const about = { model: 'm', version: '1' };

it('is not there when nobody collects spans', async () => {
  assert.equal(await openTracer({}, about), undefined);
  const off = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_SDK_DISABLED: 'true' };
  assert.equal(await openTracer(off, about), undefined);
});

it('sends the spans of a request in the trace of its caller', { timeout: 60_000 }, async () => {
  const received: Buffer[] = [];
  const collector = createServer((request, response) => {
    void request.toArray().then((chunks) => {
      received.push(Buffer.concat(chunks));
      response.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end();
    });
  });
  await once(collector.listen(0, '127.0.0.1'), 'listening');
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const folder = temporaryFolder();
  writeFileSync(join(folder, modelFile), identityModel([{ name: 'x', type: 'FP32', shape: [1] }]));
  await using server = new ImageProcess(
    'serve',
    {
      ...{
        [env.model]: 'tone',
        [env.version]: '7.1',
        [env.modelDir]: folder,
        [env.bindAddress]: '127.0.0.1',
      },
      ...{ [env.httpPort]: '0', [env.grpcPort]: '0', [env.metricsPort]: '0', [env.gracePeriod]: '4' },
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' },
    },
    folder,
  );
  await server.logged('serving');
  const { http } = await server.logged('listening');
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const ask = (data: unknown) =>
    fetch(`http://${http}/v2/models/tone/infer`, {
      method: 'POST',
      headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
      body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data }] }),
    });
  assert.equal((await ask([1])).status, 200);
  assert.equal((await ask(['one'])).status, 400);
  server.signal('SIGTERM');
  assert.equal(await server.exited, 0);
  collector.close();

  const all = Buffer.concat(received);
  assert.ok(all.includes(Buffer.from(traceId, 'hex')), 'the trace of the caller');
  for (const text of ['infer', 'queue', 'compute', 'tone', '7.1', 'InvalidArgument']) {
    assert.ok(all.includes(text), text);
  }
});
