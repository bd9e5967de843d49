import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { env } from '#contract';
import { temporaryFolder } from '../testing/process.ts';
import { cpuLimit, readConfig } from './config.ts';

const minimal = { [env.model]: 'm', [env.version]: '1' };

describe('readConfig', () => {
  it('has a default for everything but the names', () => {
    assert.deepEqual(readConfig(minimal, { cpus: 2.5, memoryBytes: 2 ** 30 }), {
      model: 'm',
      version: '1',
      modelPath: '/var/lib/sluice/model/model.onnx',
      sha256: undefined,
      bindAddress: undefined,
      ports: { http: 8080, grpc: 8081, metrics: 8082 },
      threads: 2,
      workers: 1,
      provider: 'cpu',
      providerNamed: false,
      gpus: 0,
      maxRequestBytes: 67_108_864,
      maxHeldBytes: 268_435_456,
      maxQueue: 512,
      batching: { maxSize: 1, maxDelayMs: 0 },
      tuneMs: undefined,
      graceMs: 30_000,
      drill: undefined,
    });
    assert.equal(readConfig(minimal, { cpus: 0.25, memoryBytes: 2 ** 30 }).threads, 1);
  });

  it('spreads workers over the GPUs, unless it is told how many there are', () => {
    const read = (more: Record<string, string>) => readConfig({ ...minimal, ...more });
    const gpu = { [env.gpus]: '4', [env.provider]: 'cuda' };
    assert.equal(read(gpu).workers, 4);
    assert.equal(read({ ...gpu, [env.workers]: '8' }).workers, 8);
    assert.equal(read({ [env.gpus]: '4', [env.provider]: 'cpu' }).workers, 1);
    assert.equal(read({ [env.gpus]: '4', [env.provider]: 'webgpu' }).workers, 1);
    assert.throws(() => read({ [env.workers]: '2', [env.provider]: 'webgpu' }), {
      reason: 'ConfigurationInvalid',
      message: /="2" must be 1 with provider webgpu/,
    });
    const { provider, providerNamed } = read({ [env.provider]: 'tensorrt' });
    assert.deepEqual({ provider, providerNamed }, { provider: 'tensorrt', providerNamed: true });
  });

  it('reads drills', () => {
    assert.deepEqual(readConfig({ ...minimal, [env.drill]: 'unready-after=20s' }).drill, {
      action: 'unready',
      afterMs: 20_000,
    });
    assert.deepEqual(readConfig({ ...minimal, [env.drill]: 'wrong-after=2s' }).drill, {
      action: 'wrong',
      afterMs: 2_000,
    });
    assert.deepEqual(readConfig({ ...minimal, [env.drill]: 'exit-after=500ms' }).drill, {
      action: 'exit',
      afterMs: 500,
    });
  });

  const wrong: readonly [name: string, value: string, message: RegExp][] = [
    [
      env.drill,
      'unready-after=',
      /is not ACTION-after=DURATION, where ACTION is one of unready, wrong, fail, fail-late, slow, exit/,
    ],
    [env.drill, 'explode', /is not ACTION-after/],
    [env.artifactSha256, 'abc', /is not 64 hexadecimal digits/],
    [env.batchDelay, '2', /is no duration such as 2ms/],
    [env.provider, 'tpu', /is none of auto, cpu, cuda/],
    [env.httpPort, '65536', /is not a whole number from 0 to 65535/],
  ];
  for (const [name, value, message] of wrong) {
    it(`refuses ${name}=${value}`, () => {
      assert.throws(() => readConfig({ ...minimal, [name]: value }), {
        reason: 'ConfigurationInvalid',
        message,
      });
    });
  }
});

describe('cpuLimit', () => {
  const cores = availableParallelism();
  const cases: readonly [what: string, files: Record<string, string>, limit: number][] = [
    ['half a core, version 2', { 'cpu.max': '50000 100000\n' }, 0.5],
    ['no limit, version 2', { 'cpu.max': 'max 100000\n' }, cores],
    ['more than there is', { 'cpu.max': '99999900000 100000\n' }, cores],
    ['one core, version 1', { 'cpu/cpu.cfs_quota_us': '100000\n', 'cpu/cpu.cfs_period_us': '100000\n' }, 1],
    ['no limit, version 1', { 'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n' }, cores],
    ['no control group', {}, cores],
  ];
  for (const [what, files, limit] of cases) {
    it(`reads ${what}`, () => {
      const root = temporaryFolder();
      try {
        mkdirSync(join(root, 'cpu'));
        for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
        assert.equal(cpuLimit(root), limit);
      } finally {
        rmSync(root, { recursive: true });
      }
    });
  }
});
