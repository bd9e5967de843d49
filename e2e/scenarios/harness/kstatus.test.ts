import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KStatus, kstatus, type Readable } from './kstatus.ts';

const condition = (type: string, status: string) => ({ type, status });
const cases: readonly [string, Readable, KStatus][] = [
  ['nothing said yet', { metadata: { generation: 1 } }, 'Current'],
  ['deleted', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, 'Terminating'],
  [
    'ready, but of an older generation',
    {
      metadata: { generation: 2 },
      status: { observedGeneration: 1, conditions: [condition('Ready', 'True')] },
    },
    'InProgress',
  ],
  [
    'stalled',
    { metadata: {}, status: { conditions: [condition('Ready', 'False'), condition('Stalled', 'True')] } },
    'Failed',
  ],
  [
    'reconciling',
    { metadata: {}, status: { conditions: [condition('Reconciling', 'True'), condition('Ready', 'True')] } },
    'InProgress',
  ],
  ['not ready', { metadata: {}, status: { conditions: [condition('Ready', 'Unknown')] } }, 'InProgress'],
  [
    'ready',
    {
      metadata: { generation: 3 },
      status: {
        observedGeneration: 3,
        conditions: [
          condition('Ready', 'True'),
          condition('Stalled', 'False'),
          condition('Reconciling', 'False'),
        ],
      },
    },
    'Current',
  ],
];

test('objects are read as kstatus reads them', () => {
  for (const [name, object, expected] of cases) assert.equal(kstatus(object), expected, name);
  assert.throws(() => kstatus({ metadata: {}, status: { observedGeneration: '1' } }), TypeError);
});
