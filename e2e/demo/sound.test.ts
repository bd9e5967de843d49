import assert from 'node:assert/strict';
import { test } from 'node:test';
import { speech, waveform } from './sound.ts';

test('loudness is relative to the loudest moment', () => {
  assert.equal(waveform(Int16Array.from([0, 0, 100, -50, -400, 3]), 3), ' ▂█');
  assert.equal(waveform(Int16Array.from([0, 0]), 2), '  ');
});

test('speech is where the probability is above one half on average', () => {
  assert.equal(speech([0, 0, 0.9, 0.8, 0.9, 0.2], 3), '·━━');
  assert.equal(speech([0.9], 4), '━━━━');
});
