import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { answer } from '../../kube-client/testing/scripted-api.ts';
import { until } from '../../kube-client/testing/until.ts';
import { ManualClock } from '../engine/manual-clock.ts';
import { EventRecorder, type SentEvent } from './events.ts';
import { aModel, TestFence, TestWorld } from './testing.ts';

let world: TestWorld;
let fence: TestFence;
let clock: ManualClock;
let recorder: EventRecorder;
let outcomes: string[];

beforeEach(async () => {
  world = new TestWorld();
  fence = new TestFence();
  clock = new ManualClock(Date.parse('2026-01-02T03:04:05.678Z'));
  outcomes = [];
  recorder = new EventRecorder({
    client: await world.start(),
    fence,
    clock,
    logger: world.logger,
    instance: 'operator-0',
    observe: (outcome) => outcomes.push(outcome),
  });
});

afterEach(async () => {
  fence.close();
  await world.stop();
});

const event = (message: string, about = aModel()): SentEvent => ({
  about,
  type: 'Warning',
  reason: 'RolledBack',
  message,
});

type Stored = Record<string, unknown> & { series?: { count: number; lastObservedTime: string } };
const stored = () => [...world.api.objects.values()] as unknown as Stored[];

test('an event says what happened to which object, by whom and when', async () => {
  recorder.emit(event('5.0.0 failed'));
  await recorder.flush();
  assert.deepEqual(world.calls(), ['POST /apis/events.k8s.io/v1/namespaces/speech/events']);
  const { metadata, ...rest } = JSON.parse(world.api.requests[0]!.body) as { metadata: { name: string } };
  assert.match(metadata.name, /^vad\.[0-9a-f]{16}$/);
  assert.deepEqual(rest, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    eventTime: '2026-01-02T03:04:05.678000Z',
    reportingController: 'sluice.dev/operator',
    reportingInstance: 'operator-0',
    action: 'Reconcile',
    reason: 'RolledBack',
    type: 'Warning',
    note: '5.0.0 failed',
    regarding: {
      apiVersion: 'sluice.dev/v1alpha1',
      kind: 'Model',
      name: 'vad',
      namespace: 'speech',
      uid: 'uid-of-model',
      resourceVersion: '7',
    },
  });
});

test('the same again is counted in a series; something else, or much later, is a new event', async () => {
  recorder.emit(event('a'));
  recorder.emit(event('a'));
  recorder.emit(event('b'));
  await clock.advance(60_000);
  recorder.emit(event('a'));
  await recorder.flush();
  assert.equal(stored().length, 2);
  assert.deepEqual(stored()[0]!.series, { count: 3, lastObservedTime: '2026-01-02T03:05:05.678000Z' });
  assert.equal(stored()[1]!.series, undefined);
  await clock.advance(10 * 60_000);
  recorder.emit(event('a'));
  await recorder.flush();
  assert.equal(stored().length, 3);
});

test('events of cluster-scoped objects go to the default namespace', async () => {
  const { namespace: _, ...metadata } = aModel().metadata;
  recorder.emit(event('a', { ...aModel(), metadata }));
  await recorder.flush();
  assert.deepEqual(world.calls(), ['POST /apis/events.k8s.io/v1/namespaces/default/events']);
});

test('one object cannot flood the API, and does not take the budget of another', async () => {
  for (let i = 0; i < 100; i++) recorder.emit(event(`flap ${i}`));
  recorder.emit(event('quiet', aModel('other', { uid: 'another' })));
  await recorder.flush();
  assert.equal(stored().length, 26);
  assert.equal(outcomes.filter((outcome) => outcome === 'dropped').length, 75);
  await clock.advance(20_000);
  for (let i = 0; i < 100; i++) recorder.emit(event(`again ${i}`));
  await recorder.flush();
  assert.equal(stored().length, 28, 'the budget has come back for two');
});

test('a long message is cut to what the API takes, between characters', async () => {
  recorder.emit(event('é'.repeat(2_000)));
  await recorder.flush();
  const { note } = JSON.parse(world.api.requests[0]!.body) as { note: string };
  assert.ok(Buffer.byteLength(note) <= 1_024, `${Buffer.byteLength(note)} bytes`);
  assert.match(note, /^é+…$/);
});

test('a name that is very long still makes a valid name of an event', async () => {
  recorder.emit(event('a', aModel('n'.repeat(253))));
  await recorder.flush();
  const { metadata } = JSON.parse(world.api.requests[0]!.body) as { metadata: { name: string } };
  assert.ok(metadata.name.length <= 253);
});

test('a server that is away gets another try; one that refuses does not; neither stops what comes after', async () => {
  world.api.scripts.push((_, response) => {
    answer(response, 503, 'ServiceUnavailable');
    return true;
  });
  recorder.emit(event('tried again'));
  await until('the first try', () => clock.next !== undefined);
  await clock.advance(1_000);
  await recorder.flush();
  assert.deepEqual(outcomes, ['sent']);
  world.api.scripts.push((_, response) => {
    answer(response, 403, 'Forbidden');
    return true;
  });
  recorder.emit(event('refused'));
  recorder.emit(event('after it'));
  await recorder.flush();
  assert.deepEqual(outcomes, ['sent', 'failed', 'sent']);
  assert.match(world.warnings.join(), /cannot write event RolledBack of Model vad/);
});

test('without the lease no event is written', async () => {
  fence.close();
  recorder.emit(event('a'));
  await recorder.flush();
  assert.equal(world.api.requests.length, 0);
});
