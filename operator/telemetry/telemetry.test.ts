import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { createLogger, inVisit, messageOf } from './logs.ts';
import { Metrics } from './metrics.ts';
import { serveTelemetry } from './server.ts';

test('lines are JSON, carry the visit they belong to, and keep concurrent visits apart', async () => {
  const stream = new PassThrough();
  const logger = createLogger('info', stream);
  const gate = Promise.withResolvers<void>();
  const visit = (object: string) =>
    inVisit('model', object, async () => {
      logger.info('begun');
      await gate.promise;
      logger.warn('ended', { extra: 1 });
    });
  const both = Promise.all([visit('ns/a'), visit('ns/b')]);
  gate.resolve();
  await both;
  logger.info('outside');
  logger.debug('not shown');
  await new Promise((resolve) => setImmediate(resolve));
  const lines = String(stream.read())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    lines.map(({ level, message, controller, object, extra }) => [level, message, controller, object, extra]),
    [
      ['info', 'begun', 'model', 'ns/a', undefined],
      ['info', 'begun', 'model', 'ns/b', undefined],
      ['warn', 'ended', 'model', 'ns/a', 1],
      ['warn', 'ended', 'model', 'ns/b', 1],
      ['info', 'outside', undefined, undefined, undefined],
    ],
  );
  assert.equal(lines[0]!['reconcileID'], lines[2]!['reconcileID']);
  assert.notEqual(lines[0]!['reconcileID'], lines[1]!['reconcileID']);
  for (const { timestamp } of lines) assert.ok(!Number.isNaN(Date.parse(String(timestamp))));
});

test('an error is told with its causes, once', () => {
  const cause = new Error('refused');
  assert.equal(messageOf(new Error('cannot apply', { cause })), 'cannot apply: refused');
  assert.equal(messageOf(new Error('cannot apply: refused', { cause })), 'cannot apply: refused');
  assert.equal(messageOf('plain'), 'plain');
});

test('metrics tell what controllers, calls and caches did', async () => {
  const metrics = new Metrics('1.2.3');
  const observe = metrics.controller('model');
  observe({ type: 'added', depth: 2 });
  observe({ type: 'taken', depth: 1, waitedMs: 20, active: 1 });
  observe({ type: 'retried' });
  observe({
    type: 'finished',
    key: 'a',
    outcome: 'error',
    tookMs: 5,
    active: 0,
    error: new Error('x'),
    againMs: 9,
  });
  metrics.call({ method: 'GET', purpose: 'watch', code: 200, seconds: 0.1 });
  metrics.call({ method: 'PATCH', purpose: 'request', code: 0, seconds: 0.1 });
  metrics.informer('pods', 'failure');
  metrics.event('sent');
  metrics.leader(true);
  metrics.routers(() => ({ wanted: 2, open: 1 }));
  const text = await metrics.registry.metrics();
  for (const line of [
    'sluice_reconcile_total{controller="model",result="error"} 1',
    'sluice_reconcile_total{controller="model",result="success"} 0',
    'sluice_reconcile_time_seconds_count{controller="model"} 1',
    'sluice_workqueue_depth{controller="model"} 1',
    'sluice_workqueue_adds_total{controller="model"} 1',
    'sluice_workqueue_retries_total{controller="model"} 1',
    'sluice_workqueue_queue_duration_seconds_sum{controller="model"} 0.02',
    'sluice_active_workers{controller="model"} 0',
    'sluice_api_requests_total{verb="WATCH",code="200"} 1',
    'sluice_api_requests_total{verb="PATCH",code="0"} 1',
    'sluice_informer_activity_total{resource="pods",activity="failure"} 1',
    'sluice_events_total{outcome="sent"} 1',
    'sluice_leader 1',
    'sluice_router_streams{state="open"} 1',
    `sluice_build_info{version="1.2.3",node_version="${process.version}"} 1`,
  ]) {
    assert.ok(text.includes(`${line}\n`), `${line} is missing`);
  }
  assert.match(text, /^process_resident_memory_bytes \d+/m);
});

test('health follows readiness, metrics are text, and a closed server is gone', async () => {
  const metrics = new Metrics('1');
  let state: true | string = 'caches are not filled yet';
  const server = await serveTelemetry({
    address: '127.0.0.1',
    metricsPort: 0,
    healthPort: 0,
    registry: metrics.registry,
    ready: () => state,
  });
  const get = async (port: number, path: string, init: RequestInit = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
    return [response.status, (await response.text()).trim()];
  };
  try {
    const { metrics: metricsPort, health } = server.ports;
    assert.deepEqual(await get(health, '/healthz'), [200, 'ok']);
    assert.deepEqual(await get(health, '/readyz'), [503, 'caches are not filled yet']);
    state = true;
    assert.deepEqual(await get(health, '/readyz?verbose'), [200, 'ok']);
    assert.deepEqual(await get(health, '/metrics'), [404, 'not found']);
    assert.deepEqual(await get(metricsPort, '/metrics', { method: 'POST' }), [405, 'only GET']);
    const [status, text] = await get(metricsPort, '/metrics');
    assert.equal(status, 200);
    assert.match(String(text), /# TYPE sluice_leader gauge/);
    await assert.rejects(
      serveTelemetry({
        address: '127.0.0.1',
        metricsPort,
        healthPort: 0,
        registry: metrics.registry,
        ready: () => true,
      }),
      { code: 'EADDRINUSE' },
    );
  } finally {
    await server.close();
  }
  await assert.rejects(fetch(`http://127.0.0.1:${server.ports.health}/healthz`));
});
