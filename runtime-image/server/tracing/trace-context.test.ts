import assert from 'node:assert/strict';
import { it } from 'node:test';
import { traceContextOf, traceFields } from './trace-context.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

it('reads the context of the caller', () => {
  const traceparent = `00-${traceId}-${spanId}-01`;
  const context = { traceId, spanId, flags: 1, state: undefined };
  assert.deepEqual(traceContextOf({ traceparent }), context);
  assert.deepEqual(traceContextOf({ traceparent, tracestate: 'a=b' }), { ...context, state: 'a=b' });
  assert.deepEqual(traceContextOf({ traceparent: `01-${traceId}-${spanId}-01-more` }), context);
  assert.deepEqual(traceFields(context), { trace_id: traceId, span_id: spanId });
});

for (const traceparent of [
  '',
  `00-${traceId}-${spanId}`,
  `00-${traceId}-${spanId}-01-more`,
  `ff-${traceId}-${spanId}-01`,
  `00-${'0'.repeat(32)}-${spanId}-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId.toUpperCase()}-${spanId}-01`,
]) {
  it(`passes over ${JSON.stringify(traceparent)}`, () => {
    assert.equal(traceContextOf({ traceparent }), undefined);
  });
}
