import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clock, Timeline } from './timeline.ts';

test('entries come in order of time, with the gap to what caused them', () => {
  const timeline = new Timeline(1000);
  timeline.add(62_345 + 1000, 'routers follow', 62_301 + 1000);
  timeline.add(1000, 'applied');
  timeline.add(5000, 'promoted', 1000);
  assert.deepEqual(timeline.lines(), [
    '00:00.0  applied',
    '00:04.0  promoted  +4.0 s',
    '01:02.3  routers follow  +44 ms',
  ]);
});

test('a clock never shows sixty seconds', () => {
  assert.deepEqual([59_949, 59_999, 60_000].map(clock), ['00:59.9', '00:59.9', '01:00.0']);
});
