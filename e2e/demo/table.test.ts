import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summary, table, time } from './table.ts';

const plain = { head: String, good: String, bad: String, busy: String, faint: String };
const row = { version: '6.0.0', phase: 'Canary', weight: 25, ready: 2, pods: 2, requests: 1234, errors: 0 };

test('columns stand under their headers', () => {
  const [header = '', line = ''] = table([{ ...row, p50: 2.13, p99: 15.6 }], plain);
  assert.equal(
    line,
    '  6.0.0    Canary          25 %  █████···············  2/2        1,234       0   2.1 ms    16 ms',
  );
  assert.equal(header.length, line.length);
  for (const [name, value] of [
    ['REQUESTS', '1,234'],
    ['ERRORS', '0'],
    ['P50', '2.1 ms'],
    ['P99', '16 ms'],
  ] as const) {
    assert.equal(header.indexOf(name) + name.length, line.lastIndexOf(value) + value.length, name);
  }
});

test('colours say how a version is', () => {
  const named = {
    head: (text: string) => text,
    good: (text: string) => `<good>${text}`,
    bad: (text: string) => `<bad>${text}`,
    busy: (text: string) => `<busy>${text}`,
    faint: (text: string) => `<faint>${text}`,
  };
  const toneOf = (fields: object) => /<(\w+)>/.exec(table([{ ...row, ...fields }], named)[1] ?? '')?.[1];
  assert.equal(toneOf({}), 'good');
  assert.equal(toneOf({ ready: 1 }), 'busy');
  assert.equal(toneOf({ weight: 0 }), 'faint');
  assert.equal(toneOf({ phase: 'Failed', weight: 0 }), 'bad');
  assert.match(table([{ ...row, errors: 3 }], named)[1] ?? '', /<bad> +3/);
});

test('the summary holds everything on one line', () => {
  assert.equal(
    summary([row, { ...row, version: '5.0.0', weight: 0.01 }]),
    '6.0.0 Canary 25 % 2/2 ready, 1,234 requests, 0 errors | 5.0.0 Canary 0.01 % 2/2 ready, 1,234 requests, 0 errors',
  );
});

test('times are short', () => {
  assert.deepEqual([undefined, 0.04, 9.96, 10, 12_345].map(time), [
    '–',
    '0.0 ms',
    '10.0 ms',
    '10 ms',
    '12.3 s',
  ]);
});
