/** A machine that is gone without a word takes no request with it, neither those that it had nor those that are sent after it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { insideNamespace } from '../cluster/assets/network.ts';
import type { Outcome } from './silence.ts';

/** Kernels give up by themselves after eleven seconds, or after a quarter of an hour. Here it takes about one second. */
const soonMs = 6_000;

test('requests at a machine that is gone are answered by another', { timeout: 180_000 }, async (t) => {
  const [program = '', ...args] = insideNamespace([
    process.execPath,
    join(import.meta.dirname, 'silence.ts'),
  ]);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], signal: t.signal });
  const outcomes: Outcome[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    t.diagnostic(line);
    outcomes.push(JSON.parse(line));
  });
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  assert.equal(code, 0);
  assert.deepEqual(
    outcomes.map(({ what, answered, ms, ended }) => ({ what, answered, soon: ms < soonMs && ended > 0 })),
    ['REST, held', 'REST, kept', 'gRPC, held', 'gRPC, kept'].map((what) => ({
      what,
      answered: true,
      soon: true,
    })),
  );
});
