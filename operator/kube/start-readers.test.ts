import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { artifactMetrics, startMetrics } from '#contract';
import { silent } from '../../kube-client/logger.ts';
import { ManualClock } from '../engine/manual-clock.ts';
import type { StartingPod } from '../reconcile/ports.ts';
import { StartReaders } from './start-readers.ts';

const key = 'speech/vad';
const pod = (uid: string, stage: StartingPod['stage'], run = 0): StartingPod => ({
  version: '5.0.0',
  uid,
  address: '127.0.0.1',
  port: 1,
  stage,
  run,
});
const fetched = (bytes: number, size = 1_000) =>
  `${artifactMetrics.fetched} ${bytes}\n${artifactMetrics.size} ${size}\n`;
const loaded = (provider: string) =>
  `${startMetrics.loadSeconds} 1.5\n${startMetrics.provider}{provider="${provider}",wanted="cuda"} 1\n`;

let ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends) await end();
  ends = [];
});

function reading(said: (uid: string, now: number) => string | undefined) {
  const clock = new ManualClock();
  /** Times at which a pod was asked, and at which the model was said to have changed. */
  const asked: number[] = [];
  const changes: number[] = [];
  const starts = new StartReaders({
    clock,
    logger: silent,
    read: async ({ uid }) => {
      asked.push(clock.now());
      const text = said(uid, clock.now());
      if (text === undefined) throw new Error('connection refused');
      return text;
    },
    onChange: (model) => {
      assert.equal(model, key);
      changes.push(clock.now());
    },
  });
  ends.push(() => starts.stop());
  return { clock, asked, changes, starts };
}

describe('how pods start', () => {
  it('is read again and again while they fetch, and told when it has changed', async () => {
    const { clock, asked, changes, starts } = reading((_, now) => fetched(now < 12_000 ? 10 : 20));
    const pods = [pod('a', 'fetching')];
    assert.equal(starts.of(key, pods).size, 0);
    await clock.advance(20_000);
    assert.deepEqual(asked, [0, 5_000, 10_000, 15_000, 20_000]);
    assert.deepEqual(changes, [0, 15_000], 'a fetch that stands still makes no visits');
    assert.deepEqual(starts.of(key, pods).get('a'), { fetching: { fetchedBytes: 20, sizeBytes: 1_000 } });
    assert.equal(starts.of(key, []).size, 0);
    await clock.advance(600_000);
    assert.equal(asked.length, 5, 'nobody asks when no pod fetches');
  });

  it('is read once of pods that serve, and once more when their containers start again', async () => {
    const { clock, asked, starts } = reading(() => loaded('cpu'));
    starts.of(key, [pod('a', 'serving')]);
    await clock.advance(600_000);
    for (let visit = 0; visit < 10; visit += 1) starts.of(key, [pod('a', 'serving')]);
    await clock.advance(600_000);
    assert.equal(asked.length, 1);
    assert.deepEqual(starts.of(key, [pod('a', 'serving')]).get('a'), {
      started: { loadSeconds: 1.5, provider: 'cpu', wantedProvider: 'cuda' },
    });
    starts.of(key, [pod('a', 'serving', 1)]);
    await clock.advance(600_000);
    assert.equal(asked.length, 2);
  });

  it('is not known of pods that refuse or say something else, which are asked ever more seldom', async () => {
    const { clock, asked, changes, starts } = reading((uid) => (uid === 'a' ? undefined : '<html>'));
    const pods = [pod('a', 'serving'), pod('b', 'serving'), pod('c', 'fetching')];
    starts.of(key, pods);
    await clock.advance(3_600_000);
    assert.ok(asked.length < 100, `${asked.length} readings in an hour`);
    assert.deepEqual(changes, []);
    assert.equal(starts.of(key, pods).size, 0);
    const before = asked.length;
    await clock.advance(3_600_000);
    assert.equal(asked.length, before, 'containers that say nothing are not asked for ever');
    starts.of(key, [pod('c', 'fetching', 1)]);
    await clock.advance(0);
    assert.equal(asked.length, before + 1, 'the next run of one may be of another mind');
  });

  it('is read at a bounded rate, however many pods fetch and however often somebody asks', async () => {
    const { clock, asked, starts } = reading((_, now) => fetched(now, 10 ** 9));
    const many = Array.from({ length: 1_000 }, (_, index) => ({
      ...pod(`pod-${index}`, 'fetching'),
      version: `${Math.floor(index / 10)}`,
    }));
    const readings: number[] = [];
    for (let second = 1; second <= 240; second += 1) {
      starts.of(key, many);
      await clock.advance(1_000);
      if (second % 80 === 0) readings.push(asked.length);
    }
    assert.deepEqual(readings, [1_000, 2_000, 3_000], 'ten readings a second');
  });

  it('is told of many pods at once, and not before one of them has gone on by a hundredth or a minute is over', async () => {
    const size = 100_000;
    let speed = 250;
    const { clock, changes, starts } = reading((uid, now) =>
      fetched((speed * now) / 1_000 + Number(uid), size),
    );
    const pods = Array.from({ length: 16 }, (_, index) => pod(`${index}`, 'fetching'));
    for (let second = 0; second < 60; second += 1) {
      // They begin one after the other, and somebody visits all the time.
      starts.of(key, pods.slice(0, second + 1));
      await clock.advance(1_000);
    }
    const gaps = changes.slice(1).map((at, index) => at - changes[index]!);
    assert.ok(gaps.length > 8 && gaps.every((gap) => gap >= 5_000), `between two tellings: ${gaps}`);

    speed = 1;
    await clock.advance(120_000);
    const before = changes.length;
    await clock.advance(600_000);
    const tellings = changes.length - before;
    assert.ok(tellings >= 8 && tellings <= 10, `${tellings} tellings in ten minutes of a slow fetch`);
  });

  it('is heard in time of those that say so, however many others are silent', async () => {
    const clock = new ManualClock();
    const asked: number[] = [];
    let reading = 0;
    let most = 0;
    const starts = new StartReaders({
      clock,
      logger: silent,
      read: async ({ uid }) => {
        if (uid === 'a') {
          asked.push(clock.now());
          return fetched(clock.now());
        }
        most = Math.max(most, ++reading);
        await new Promise<void>((resolve) => clock.setTimer(1_500, resolve));
        reading -= 1;
        throw new Error('timeout');
      },
      onChange: () => {},
    });
    ends.push(() => starts.stop());
    const silentOnes = Array.from({ length: 2_000 }, (_, index) => ({
      ...pod(`silent-${index}`, 'serving'),
      version: `${Math.floor(index / 10)}`,
    }));
    starts.of('speech/other', silentOnes);
    await clock.advance(2_000);
    starts.of(key, [pod('a', 'fetching')]);
    await clock.advance(60_000);
    const gaps = asked.slice(1).map((at, index) => at - asked[index]!);
    assert.ok(asked[0]! <= 5_000, `asked for the first time at ${asked[0]}`);
    assert.ok(gaps.length >= 8 && gaps.every((gap) => gap <= 8_000), `${gaps}`);
    assert.ok(most <= 64, `${most} at once`);
  });

  it('is heard of a pod though somebody asks while it is read, and of nobody when the reading has stopped', async () => {
    const clock = new ManualClock();
    const changes: string[] = [];
    let answer = Promise.withResolvers<string>();
    const onChange = (model: string) => void changes.push(model);
    const starts = new StartReaders({ clock, logger: silent, read: () => answer.promise, onChange });
    starts.of(key, [pod('a', 'serving')]);
    await clock.advance(0);
    starts.of(key, [pod('a', 'serving')]);
    answer.resolve(loaded('cuda'));
    await clock.advance(0);
    assert.deepEqual(changes, [key]);
    assert.equal(starts.of(key, [pod('a', 'serving')]).get('a')?.started?.provider, 'cuda');

    answer = Promise.withResolvers();
    starts.of(key, [pod('a', 'serving', 1)]);
    await clock.advance(2_000);
    await starts.stop();
    answer.resolve(loaded('cpu'));
    await clock.advance(60_000);
    assert.deepEqual(changes, [key]);
  });

  it('is not read of a model that is gone', async () => {
    const { clock, changes, starts } = reading(() => fetched(1));
    starts.of(key, [pod('a', 'fetching')]);
    starts.of(key, []);
    await clock.advance(60_000);
    assert.deepEqual(changes, []);
  });
});
