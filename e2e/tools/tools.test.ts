import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { tools } from './tools.ts';

const run = promisify(execFile);

test('the tools run and say who they are', async () => {
  const { kubectl, helm, haproxy } = await tools();
  const [k, h, p] = await Promise.all([
    run(kubectl, ['version', '--client', '--output=json']),
    run(helm, ['version', '--short']),
    run(haproxy, ['-v']),
  ]);
  assert.match(k.stdout, /"gitVersion": "v1\.3\d/);
  assert.match(h.stdout, /^v4\./);
  assert.match(p.stdout, /^HAProxy version/);
});

test('a second call finds everything and reports no work', async () => {
  const lines: string[] = [];
  await tools();
  const first = await tools((line) => lines.push(line));
  assert.deepEqual(lines, []);
  assert.deepEqual(await tools(), first);
});
