/** The engine by itself, without any protocol: what batching is worth where nothing else takes time. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../server/execution/engine.ts';
import type { BatchLimits } from '../server/execution/queue.ts';
import { temporaryFolder } from './process.ts';

export interface EngineLoad {
  /** Requests a second, each of one row, with so many of them under way. */
  measure(ms: number): Promise<number>;
  /** Processor time of this process for each of them, in microseconds, when it was measured last. */
  readonly cpuMicros: number;
  close(): Promise<void>;
}

/** @param model one input `x` [batch, width] of FP32, one output `y` */
export async function engineLoad(
  model: Uint8Array,
  width: number,
  batching: BatchLimits,
  concurrency: number,
): Promise<EngineLoad> {
  const folder = temporaryFolder();
  const modelPath = join(folder, 'model.onnx');
  writeFileSync(modelPath, model);
  const now = () => performance.now();
  const engine = await Engine.start({
    worker: { modelPath, threads: 1, provider: 'cpu' },
    workers: 1,
    maxQueue: concurrency,
    batching,
    now,
  });
  const data = new Uint8Array(new Float32Array(width).fill(0.1).buffer);
  const request = {
    inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [1, width], data }],
    outputs: ['y'],
  };
  let cpuMicros = 0;
  return {
    get cpuMicros() {
      return cpuMicros;
    },
    measure: async (ms) => {
      const before = process.cpuUsage();
      let answers = 0;
      const began = now();
      const loop = async () => {
        while (now() - began < ms) {
          await engine.infer(request);
          answers += 1;
        }
      };
      await Promise.all(Array.from({ length: concurrency }, loop));
      const seconds = (now() - began) / 1000;
      const { user, system } = process.cpuUsage(before);
      cpuMicros = (user + system) / answers;
      return answers / seconds;
    },
    close: async () => {
      await engine.close();
      rmSync(folder, { recursive: true });
    },
  };
}
