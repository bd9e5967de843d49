import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSlice } from './read.ts';

describe('an EndpointSlice', () => {
  const slice = (label?: string) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'vad-6.0.0-abc',
      labels: {
        'sluice.dev/model': 'vad',
        'sluice.dev/version': '6.0.0',
        ...(label === undefined ? {} : { 'sluice.dev/target-concurrency': label }),
      },
    },
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
  });

  it('says what each of its pods can carry', () => {
    assert.deepEqual(readSlice(slice('8')), [
      {
        model: 'vad',
        version: '6.0.0',
        address: '10.0.0.1',
        ports: { http: 8080 },
        state: 'ready',
        targetConcurrency: 8,
      },
    ]);
  });

  for (const label of [undefined, '', '0', '-1', '1.5', '8 x', '99999999', 'NaN']) {
    it(`says nothing of it with the label ${JSON.stringify(label)}`, () => {
      assert.equal(readSlice(slice(label))[0]!.targetConcurrency, undefined);
    });
  }
});
