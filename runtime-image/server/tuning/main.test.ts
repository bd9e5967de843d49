/** Tuning, as a person asks for it. How fast anything is does not matter here. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { env, modelFile } from '#contract';
import { identityModel, perceptron } from '../../testing/onnx.ts';
import { ImageProcess, temporaryFolder } from '../../testing/process.ts';

function tune(model: Uint8Array, ...args: string[]): ImageProcess {
  const folder = temporaryFolder();
  writeFileSync(join(folder, modelFile), model);
  return new ImageProcess('tune', { [env.modelDir]: folder }, folder, ['--time', '50ms', ...args]);
}

const said = ({ log }: ImageProcess) => log.map((line) => String(line['text'])).join('\n');

describe('tune', { timeout: 120_000 }, () => {
  it('measures, and says what a ModelVersion has to ask for', async () => {
    await using run = tune(perceptron([16, 16, 4]), '--target', '1m');
    assert.equal(await run.exited, 0, said(run));
    assert.match(said(run), /workers {2}threads {2}batch {2}rows\/s {2}p50 ms {2}p99 ms/);
    assert.match(said(run), /^\* +\d+ +\d+ +\d+ +\d+/m);
    assert.match(said(run), /spec:\n {2}server:\n {4}workers: \d+\n {4}threads: \d+/);
  });

  it('tries no batches with a model that has none', async () => {
    await using run = tune(identityModel([{ name: 'x', type: 'FP32', shape: [4] }]), '--target', '1m');
    assert.equal(await run.exited, 0, said(run));
    assert.doesNotMatch(said(run), /batches of [^1]/);
  });

  it('says when nothing is quick enough', async () => {
    await using run = tune(perceptron([16, 16, 4]), '--target', '0.001ms');
    assert.equal(await run.exited, 1);
    assert.match(said(run), /Nothing has its p99 within 0\.001 ms/);
  });

  it('refuses a model that is none, by its reason', async () => {
    await using run = tune(Buffer.from('nothing'));
    assert.equal(await run.exited, 1);
    const { termination } = run;
    assert.ok(!termination.ok);
    assert.equal(termination.reason, 'ModelInvalid');
  });

  it('refuses a command line that is wrong', async () => {
    await using run = tune(Buffer.from(''), '--target', 'soon');
    assert.equal(await run.exited, 2);
    assert.match(said(run), /--target soon is no duration/);
  });
});
