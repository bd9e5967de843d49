import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Progress } from './progress.ts';

describe('progress', () => {
  it('has a size as soon as all is known that is to come, and not before', () => {
    const progress = new Progress();
    const seen = () => [progress.fetchedBytes, progress.sizeBytes];
    assert.deepEqual(seen(), [0, undefined]);
    const model: { bytes: number; expected: number | undefined } = { bytes: 0, expected: undefined };
    progress.begin(model, {}, [{}]);
    Object.assign(model, { bytes: 10, expected: 30 });
    assert.deepEqual(seen(), [10, undefined], 'what lies beside the model has not said how large it is');
    model.bytes = 30;
    progress.end();
    const weights: typeof model = { bytes: 0, expected: 400 };
    progress.begin(weights, {}, []);
    assert.deepEqual(seen(), [30, 430]);
    weights.bytes = 400;
    progress.end();
    assert.deepEqual(seen(), [430, 430]);
  });

  it('believes what a manifest announces until the source itself says', () => {
    const progress = new Progress();
    const layer: { bytes: number; expected: number | undefined } = { bytes: 5, expected: undefined };
    progress.begin(layer, { bytes: 50 }, [{ bytes: 7 }]);
    assert.deepEqual([progress.fetchedBytes, progress.sizeBytes], [5, 57]);
    layer.expected = 60;
    assert.equal(progress.sizeBytes, 67);
    layer.bytes = 0;
    assert.equal(progress.fetchedBytes, 0, 'a source that cannot continue begins again');
  });
});
