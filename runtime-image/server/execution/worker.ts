/** An inference worker: one thread, one session, one run at a time. Everything it says is in messages.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import type { FromWorker, OutputTensor, RunMessage, WorkerOptions } from './messages.ts';
import { explain, load, type Session } from './session.ts';
import { warmUpInputs } from './warm-up.ts';

if (parentPort === null) throw new Error('this file runs as a worker thread');
const port = parentPort;

function say(message: FromWorker, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** Whether any run has succeeded. Until one has, a failure is the model's own fault. */
let hasRun = false;

async function start(options: WorkerOptions): Promise<Session | undefined> {
  const began = performance.now();
  try {
    const { session, provider, notes } = await load(options);
    const loadMs = performance.now() - began;
    const { warmUpMs, note } = await warmUp(session);
    hasRun = warmUpMs !== undefined;
    const told = note === undefined ? notes : [...notes, note];
    say({ kind: 'ready', spec: session.spec, provider, notes: told, loadMs, warmUpMs });
    return session;
  } catch (thrown) {
    say({ kind: 'refused', message: explain(thrown) });
    return undefined;
  }
}

async function warmUp(session: Session): Promise<{ warmUpMs: number | undefined; note?: string }> {
  const outputs = session.spec.outputs.map((output) => output.name);
  let failure = 'the inputs would be too large to make up';
  for (const { buffer, inputs } of warmUpInputs(session.spec)) {
    const began = performance.now();
    try {
      await session.run(inputs, buffer, outputs);
      return { warmUpMs: performance.now() - began };
    } catch (thrown) {
      failure = explain(thrown);
    }
  }
  return {
    warmUpMs: undefined,
    note: `no synthetic input satisfied the model, so it is not warm: ${failure}`,
  };
}

/** Failures that no other input would have avoided. */
const ours = /bad_alloc|out of memory|failed to allocate|cuda|cudnn|cublas|tensorrt|webgpu/i;

async function run(session: Session, message: RunMessage): Promise<void> {
  const began = performance.now();
  const { id, buffer } = message;
  try {
    const outputs = await session.run(message.inputs, buffer, message.outputs);
    const computeMs = performance.now() - began;
    hasRun = true;
    const moved = buffersOf(outputs);
    moved.add(buffer);
    say({ kind: 'done', id, outputs, buffer, computeMs }, [...moved]);
  } catch (thrown) {
    const text = explain(thrown);
    const blameInputs = hasRun && !ours.test(text);
    const computeMs = performance.now() - began;
    say({ kind: 'failed', id, message: text, blameInputs, buffer, computeMs }, [buffer]);
  }
}

/** Moved, not copied. Two outputs may share a buffer, and one may be moved only once. */
function buffersOf(outputs: readonly OutputTensor[]): Set<ArrayBuffer> {
  return new Set(outputs.flatMap(({ data }) => (data instanceof Uint8Array ? [data.buffer] : [])));
}

const session = await start(workerData as WorkerOptions);
if (session !== undefined) {
  port.on('message', (message: RunMessage) => void run(session, message));
}
