import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Failure, renderTermination } from './termination.ts';

describe('renderTermination', () => {
  it('is one line of JSON of at most 4 KiB, whatever the message', () => {
    const texts = fc.string({ unit: 'binary', maxLength: 9000, size: 'max' });
    fc.assert(
      fc.property(texts, (message) => {
        const line = renderTermination({ ok: false, reason: 'ModelInvalid', message });
        assert.ok(Buffer.byteLength(line) <= 4096);
        assert.ok(!line.includes('\n'));
        assert.equal(JSON.parse(line).reason, 'ModelInvalid');
      }),
    );
  });

  it('keeps short messages whole', () => {
    const message = { ok: false, reason: 'ModelInvalid', message: 'no "graph"\n' } as const;
    assert.deepEqual(JSON.parse(renderTermination(message)), message);
  });
});

describe('Failure', () => {
  it('takes anything that was thrown', () => {
    const known = new Failure('ModelInvalid', 'x');
    assert.equal(Failure.from(known), known);
    assert.equal(Failure.from(new TypeError('x')).reason, 'InternalError');
    assert.equal(Failure.from('x').message, 'x');
  });
});
