/** The sidecar as a process beside a real server with a real model, and what it makes of answers. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { env, goldenPort, modelFile } from '#contract';
import { type Client, RequestFailed } from '../load/client.ts';
import { encode } from '../load/tensor.ts';
import { ImageProcess, sileroFolder, temporaryFolder } from '../testing/process.ts';
import { check, readGolden } from './check.ts';

/** Silence through Silero VAD v5: no speech. */
const silence = {
  inputs: [
    { name: 'input', datatype: 'FP32', shape: [1, 512], fill: 0 },
    { name: 'state', datatype: 'FP32', shape: [2, 1, 128], fill: 0 },
    { name: 'sr', datatype: 'INT64', shape: [], data: [16_000] },
  ],
};
const right = { ...silence, expect: [{ name: 'output', min: 0, max: 0.3 }] };
const wrong = { ...silence, expect: [{ name: 'output', data: [0.9], tolerance: 0.01 }] };

describe('golden requests', () => {
  const plan = async () =>
    await readGolden(
      JSON.stringify([
        {
          inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }],
          expect: [{ name: 'y', data: [2] }],
        },
      ]),
    );
  const clientThat = (infer: Client['infer']): Client => ({ infer, close: async () => {} });
  const answering = (value: number) =>
    clientThat(async () => ({
      version: '1',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1], raw: encode('FP32', [value]) }],
    }));

  it('are right, or wrong with the value and what it should be', async () => {
    assert.deepEqual(await check(answering(2), 'm', await plan(), 100), { kind: 'right' });
    assert.deepEqual(await check(answering(3), 'm', await plan(), 100), {
      kind: 'wrong',
      message: 'golden[0]: y[0] is 3, not 2 (within 0)',
    });
  });

  for (const [kind, outcome] of [
    ['connect', 'silent'],
    ['timeout', 'silent'],
    ['http-503', 'silent'],
    ['grpc-UNAVAILABLE', 'silent'],
    ['http-400', 'wrong'],
    ['grpc-INVALID_ARGUMENT', 'wrong'],
    ['malformed', 'wrong'],
  ] as const) {
    it(`are ${outcome} after ${kind}`, async () => {
      const client = clientThat(async () => {
        throw new RequestFailed(kind, 'because');
      });
      assert.equal((await check(client, 'm', await plan(), 100)).kind, outcome);
    });
  }

  for (const [text, message] of [
    ['{', /golden requests: /],
    ['[]', /it is no list of requests/],
    ['[{"inputs":[]}]', /\[0\]\.inputs is empty/],
    [
      '[{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1]}]}]',
      /inputs\[0\]\.data has 1 values/,
    ],
    [
      '[{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"wav":{"file":"/etc/passwd","samples":2}}]}]',
      /open no files/,
    ],
  ] as const) {
    it(`are refused when they are ${text}`, async () => {
      await assert.rejects(readGolden(text), message);
    });
  }
});

describe('the golden sidecar', { concurrency: false }, () => {
  const address = '127.63.1.1';
  const model = { [env.model]: 'vad', [env.version]: '5.0.0', [env.bindAddress]: address };
  const golden = (requests: unknown, protocol: string) =>
    new ImageProcess('golden', {
      ...model,
      [env.goldenRequests]: JSON.stringify(requests),
      [env.goldenPeriod]: '200ms',
      [env.goldenProtocol]: protocol,
    });
  const isReady = async (): Promise<boolean> =>
    (await fetch(`http://${address}:${goldenPort}/readyz`)).status === 200;
  let server: ImageProcess;

  before(() => {
    const folder = temporaryFolder();
    copyFileSync(join(sileroFolder, 'silero_vad_v5.onnx'), join(folder, modelFile));
    server = new ImageProcess('serve', { ...model, [env.modelDir]: folder }, folder);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  for (const protocol of ['HTTP', 'GRPC']) {
    it(`is ready over ${protocol} once the server answers rightly, and goes when told`, async () => {
      await using sidecar = golden([right], protocol);
      await sidecar.logged('golden requests are answered rightly');
      assert.ok(await isReady());
      sidecar.signal('SIGTERM');
      assert.equal(await sidecar.exited, 0);
    });
  }

  it('ends with a typed reason when an answer is wrong', async () => {
    await using sidecar = golden([right, wrong], 'HTTP');
    assert.equal(await sidecar.exited, 1);
    const told = sidecar.termination;
    assert.ok(!told.ok);
    assert.equal(told.reason, 'GoldenMismatch');
    assert.match(told.message, /^golden\[1\]: output\[0\] is 0\.\d+, not 0\.9 \(within 0\.01\)$/);
  });
});
