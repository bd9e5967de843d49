/** The engine with real sessions in real worker threads. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { encodeModel, identityModel, perceptron, type Value } from '../../testing/onnx.ts';
import { temporaryFolder } from '../../testing/process.ts';
import { fromValues } from '../protocol/elements.ts';
import { arrayOf, type FixedTensor, type Tensor } from '../protocol/tensor.ts';
import type { PlannedRequest } from '../protocol/validate.ts';
import { Cancellation } from './cancellation.ts';
import { Engine, type EngineOptions } from './engine.ts';
import { ModelRefused } from './worker-handle.ts';

const folder = temporaryFolder();
after(() => rmSync(folder, { recursive: true }));
let files = 0;

interface Started extends AsyncDisposable {
  readonly engine: Engine;
  readonly runs: { rows: number; requests: number }[];
  readonly notes: string[];
}

async function start(model: Uint8Array, options: Partial<EngineOptions> = {}): Promise<Started> {
  const modelPath = join(folder, `${files++}.onnx`);
  writeFileSync(modelPath, model);
  const runs: { rows: number; requests: number }[] = [];
  const notes: string[] = [];
  const engine = await Engine.start({
    worker: { modelPath, threads: 1, provider: 'cpu' },
    workers: 1,
    maxQueue: 100,
    batching: { maxSize: 1, maxDelayMs: 0 },
    now: () => performance.now(),
    onRun: ({ rows, requests }) => runs.push({ rows, requests }),
    onNote: (note) => notes.push(note),
    ...options,
  });
  return { engine, runs, notes, [Symbol.asyncDispose]: () => engine.close() };
}

const x: Value = { name: 'x', type: 'FP32', shape: ['n', 2] };
const rows = (...values: number[]): PlannedRequest => ({
  inputs: [fromValues('x', 'FP32', [values.length / 2, 2], values)],
  outputs: ['out_x'],
});
const numbers = (outputs: readonly Tensor[]) => [...arrayOf(outputs[0] as FixedTensor)];

describe('Engine', { timeout: 240_000 }, () => {
  it('gives each request its own rows of a batch', async () => {
    await using started = await start(identityModel([x]), { batching: { maxSize: 8, maxDelayMs: 50 } });
    const outcomes = await Promise.all(
      [rows(1, 2), rows(3, 4, 5, 6), rows(7, 8)].map((one) => started.engine.infer(one)),
    );
    assert.deepEqual(
      outcomes.map(({ outputs }) => numbers(outputs)),
      [
        [1, 2],
        [3, 4, 5, 6],
        [7, 8],
      ],
    );
    assert.deepEqual(started.runs, [{ rows: 4, requests: 3 }]);
  });

  it('runs a batch of a model that cannot be batched again, one by one, and never batches it again', async () => {
    // Gives the positive elements, however many: the declared shape hides that rows are not kept.
    const model = encodeModel({
      inputs: [x],
      outputs: [{ name: 'out_x', type: 'FP32', shape: ['k'] }],
      nodes: [
        { op: 'Reshape', inputs: ['x', 'flat'], outputs: ['elements'] },
        { op: 'Greater', inputs: ['elements', 'zero'], outputs: ['positive'] },
        { op: 'Compress', inputs: ['elements', 'positive'], outputs: ['out_x'] },
      ],
      constants: [
        { name: 'flat', type: 'INT64', shape: [1], data: new Uint8Array(BigInt64Array.of(-1n).buffer) },
        { name: 'zero', type: 'FP32', shape: [], data: new Uint8Array(4) },
      ],
    });
    await using started = await start(model, { batching: { maxSize: 8, maxDelayMs: 50 } });
    const both = await Promise.all([
      started.engine.infer(rows(1, 2, 3, 4)),
      started.engine.infer(rows(5, 6)),
    ]);
    assert.deepEqual(
      both.map(({ outputs }) => numbers(outputs)),
      [
        [1, 2, 3, 4],
        [5, 6],
      ],
    );
    assert.match(started.notes.join(), /batching is off/);
    await Promise.all([started.engine.infer(rows(1, 2)), started.engine.infer(rows(5, 6))]);
    assert.deepEqual(
      started.runs.map((run) => run.requests),
      [2, 1, 1, 1, 1],
    );
  });

  it('lets no bad request fail those that share its batch', async () => {
    const model = encodeModel({
      inputs: [{ name: 'x', type: 'INT64', shape: ['n'] }],
      outputs: [{ name: 'out_x', type: 'FP32', shape: ['n'] }],
      nodes: [{ op: 'Gather', inputs: ['table', 'x'], outputs: ['out_x'] }],
      constants: [
        { name: 'table', type: 'FP32', shape: [3], data: new Uint8Array(Float32Array.of(10, 20, 30).buffer) },
      ],
    });
    await using started = await start(model, { batching: { maxSize: 8, maxDelayMs: 50 } });
    const at = (index: number) =>
      started.engine.infer({ inputs: [fromValues('x', 'INT64', [1], [index])], outputs: ['out_x'] });
    const [first, bad, last] = await Promise.allSettled([at(0), at(99), at(2)]);
    assert.deepEqual(first.status === 'fulfilled' && numbers(first.value.outputs), [10]);
    assert.deepEqual(last.status === 'fulfilled' && numbers(last.value.outputs), [30]);
    assert.ok(bad.status === 'rejected');
    assert.equal(bad.reason.fault, 'InvalidArgument');
    assert.match(bad.reason.message, /^the model cannot run these inputs: .*out of data bounds/);
  });

  it('takes no more than the queue holds, and drops what nobody waits for', async () => {
    await using started = await start(perceptron([64, 1024, 1024, 64]), { maxQueue: 2 });
    const one = (): PlannedRequest => ({
      inputs: [fromValues('x', 'FP32', [64, 64], new Float32Array(4096))],
      outputs: ['y'],
    });
    const gone = new Cancellation();
    const held = [started.engine.infer(one()), started.engine.infer(one())]; // With the worker.
    const cancelled = started.engine.infer(one(), { cancellation: gone });
    const late = started.engine.infer(one(), { timeoutMs: 0.01 });
    await assert.rejects(started.engine.infer(one()), { fault: 'Exhausted' });
    gone.cancel();
    await assert.rejects(cancelled, { fault: 'Cancelled' });
    await assert.rejects(late, {
      fault: 'DeadlineExceeded',
      message: 'the request waited 0.01 ms, its time limit',
    });
    await Promise.all(held);
    assert.equal(started.runs.length, 2);
    await assert.rejects(started.engine.infer(one(), { cancellation: gone }), { fault: 'Cancelled' });
  });

  it('starts another worker in place of a lost one, and answers what it held', async () => {
    await using started = await start(identityModel([x]), { workers: 2 });
    const { engine } = started;
    assert.equal(engine.workers, 2);
    const answers = Array.from({ length: 4 }, () => engine.infer(rows(1, 2)).catch((error) => error));
    await engine.loseWorker();
    const faults = (await Promise.all(answers)).map((answer) => ('fault' in answer ? answer.fault : 'none'));
    assert.ok(
      faults.every((fault) => fault === 'none' || fault === 'Unavailable'),
      faults.join(),
    );
    assert.deepEqual(numbers((await engine.infer(rows(3, 4))).outputs), [3, 4]);
    for (const deadline = Date.now() + 10_000; engine.workers < 2 && Date.now() < deadline; ) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(engine.workers, 2);
    assert.match(started.notes.join(), /a worker was lost|worker was lost and is started again/);
  });

  it('answers everything when it is closed', async () => {
    const started = await start(identityModel([x]));
    const answers = Array.from({ length: 5 }, () =>
      started.engine.infer(rows(1, 2)).then(
        () => 'answered',
        (error) => error.fault,
      ),
    );
    await started.engine.close();
    assert.ok((await Promise.all(answers)).every((fault) => fault === 'answered' || fault === 'Unavailable'));
    await assert.rejects(started.engine.infer(rows(1, 2)), { fault: 'Unavailable' });
  });

  it('refuses a model with weights outside its folder', async () => {
    writeFileSync(join(folder, 'inside.bin'), new Uint8Array(8));
    const model = (file: string) =>
      encodeModel({
        inputs: [x],
        outputs: [{ name: 'out_x', type: 'FP32', shape: ['n', 2] }],
        nodes: [{ op: 'Add', inputs: ['x', 'w'], outputs: ['out_x'] }],
        constants: [{ name: 'w', type: 'FP32', shape: [2], data: { file } }],
      });
    await using inside = await start(model('inside.bin'));
    assert.deepEqual(numbers((await inside.engine.infer(rows(1, 2))).outputs), [1, 2]);
    for (const file of ['/etc/hostname', '../../etc/hostname', '/proc/self/environ', 'nope.bin']) {
      await assert.rejects(start(model(file)), ModelRefused, file);
    }
  });
});
