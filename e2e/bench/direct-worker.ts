/** The yardstick: `session.run` in a loop in a worker thread, with nothing around it. */
import { parentPort, workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';

const { modelPath, rows, width } = workerData as { modelPath: string; rows: number; width: number };
const session = await ort.InferenceSession.create(modelPath, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
});
const data = new Float32Array(rows * width).fill(0.1);
const run = () => session.run({ x: new ort.Tensor('float32', data, [rows, width]) });
await run();

parentPort?.on('message', async (ms: number) => {
  let runs = 0;
  const before = process.threadCpuUsage();
  const began = performance.now();
  while (performance.now() - began < ms) {
    await run();
    runs += 1;
  }
  const perSecond = (runs * 1000) / (performance.now() - began);
  const { user, system } = process.threadCpuUsage(before);
  parentPort?.postMessage({ perSecond, cpuMicros: (user + system) / runs });
});
parentPort?.postMessage('ready');
