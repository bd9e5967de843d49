import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fuzz } from './fuzz.ts';

it('a short fuzzing of the decoders finds nothing, and reaches what lies behind the parsers', () => {
  const report = fuzz(20_000, 1);
  assert.ok(report.accepted > 500, `${report.accepted} accepted`);
});
