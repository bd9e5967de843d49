/**
 * The engine: a bounded queue in front of inference workers. Restarts a worker that is lost, batches rows when that
 * is configured and the model allows it, and answers everything it accepted.
 *
 * Knows tensors and threads; knows no protocol, no metrics and no model names.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { InferenceError } from '../protocol/errors.ts';
import type { ModelSpec } from '../protocol/tensor.ts';
import type { PlannedRequest } from '../protocol/validate.ts';
import { batchKey, isBatchable, pack, packInPlace, rowsOf, split, unpack } from './batch.ts';
import { BufferPool } from './buffer-pool.ts';
import type { Cancellation } from './cancellation.ts';
import type { LoadReport, WorkerOptions } from './messages.ts';
import { type BatchLimits, type Outcome, RequestQueue, type Waiting } from './queue.ts';
import { ModelRefused, type RunResult, WorkerHandle } from './worker-handle.ts';

export interface EngineOptions {
  readonly worker: Omit<WorkerOptions, 'device'>;
  /** GPUs that workers are spread over, in turn. */
  readonly devices?: number;
  readonly workers: number;
  readonly maxQueue: number;
  readonly batching: BatchLimits;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** A batch has run, well or not. */
  readonly onRun?: (run: {
    readonly rows: number;
    readonly requests: number;
    readonly computeMs: number;
  }) => void;
  readonly onNote?: (note: string) => void;
  /** A worker is up, or one was lost. */
  readonly onWorker?: () => void;
  /** A lost worker could not be replaced: the model no longer loads. Nothing will ever be answered again. */
  readonly onDead?: (error: Error) => void;
}

export interface InferOptions {
  readonly cancellation?: Cancellation;
  /** Milliseconds until the request is not worth running; absent or 0 means no limit. */
  readonly timeoutMs?: number;
}

/** Runs that a worker holds at once: one that computes, one that waits, so that it never idles between two. */
const depth = 2;
const restartDelayMs = { first: 100, longest: 5000 } as const;

export class Engine {
  readonly report: LoadReport;
  readonly #options: EngineOptions;
  readonly #queue: RequestQueue;
  readonly #workers = new Set<WorkerHandle>();
  readonly #buffers = new BufferPool();
  #batching: BatchLimits | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #running = 0;

  /** @throws ModelRefused when the model cannot be loaded */
  static async start(options: EngineOptions): Promise<Engine> {
    // One first: a model that cannot be loaded should fail once, and peak memory is that of one load.
    const first = new WorkerHandle({ ...options.worker, device: 0 });
    const report = await first.loaded.catch(async (thrown) => {
      await first.stop();
      throw thrown;
    });
    const engine = new Engine(options, report);
    engine.#adopt(first, 0);
    const devices = Math.max(1, options.devices ?? 1);
    const others = Array.from({ length: options.workers - 1 }, (_, index) => (index + 1) % devices);
    await Promise.all(others.map((device) => engine.#startWorker(device)));
    return engine;
  }

  private constructor(options: EngineOptions, report: LoadReport) {
    this.#options = options;
    this.report = report;
    this.#queue = new RequestQueue(options.maxQueue);
    this.setBatching(options.batching);
  }

  /** From now on rows of different requests run together within these limits, if the model allows it. */
  setBatching(limits: BatchLimits): void {
    this.#batching = undefined;
    if (limits.maxSize <= 1) return;
    if (isBatchable(this.report.spec)) this.#batching = limits;
    else {
      this.#options.onNote?.(
        'batching is configured, and not every input and output has a free leading dimension: off',
      );
    }
  }

  get spec(): ModelSpec {
    return this.report.spec;
  }

  /** Whether a worker is there to run requests. */
  get alive(): boolean {
    return this.#workers.size > 0;
  }

  get workers(): number {
    return this.#workers.size;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Requests that workers hold. */
  get running(): number {
    return this.#running;
  }

  /**
   * @returns the outputs in the order of `request.outputs`
   * @throws InferenceError Exhausted, DeadlineExceeded, Cancelled, InvalidArgument, Unavailable or Internal
   */
  infer(request: PlannedRequest, options: InferOptions = {}): Promise<Outcome> {
    if (this.#closed) return Promise.reject(new InferenceError('Unavailable', 'the server is shutting down'));
    if (options.cancellation?.cancelled) return Promise.reject(cancelled());
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const rows = this.#batching === undefined ? 0 : rowsOf(request);
    const timeoutMs = options.timeoutMs || Number.POSITIVE_INFINITY;
    const settle: { timer?: NodeJS.Timeout } = {};
    const finish = () => {
      clearTimeout(settle.timer);
      options.cancellation?.onCancel(undefined);
    };
    const item: Waiting = {
      request,
      rows,
      key: rows > 0 ? batchKey(request) : undefined,
      since: this.#options.now(),
      timeoutMs,
      resolve: (outcome) => {
        finish();
        resolve(outcome);
      },
      reject: (error) => {
        finish();
        reject(error);
      },
    };
    try {
      this.#queue.push(item);
    } catch (thrown) {
      return Promise.reject(thrown);
    }
    options.cancellation?.onCancel(() => {
      if (this.#queue.remove(item)) item.reject(cancelled());
    });
    if (timeoutMs < Number.POSITIVE_INFINITY) {
      settle.timer = setTimeout(
        () => {
          if (this.#queue.remove(item)) item.reject(late(item));
        },
        Math.min(timeoutMs, 2 ** 31 - 1),
      );
    }
    this.#pump();
    return promise;
  }

  /** Ends one worker as a crash would, for tests and drills; another takes its place. */
  async loseWorker(): Promise<void> {
    const [worker] = this.#workers;
    await worker?.stop();
  }

  /** Stops the workers. What still waits or runs is answered with Unavailable. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const workers = [...this.#workers];
    this.#workers.clear();
    for (const item of this.#queue.drain())
      item.reject(new InferenceError('Unavailable', 'the server is shutting down'));
    await Promise.all(workers.map((worker) => worker.stop()));
  }

  #adopt(worker: WorkerHandle, device: number): void {
    this.#workers.add(worker);
    this.#options.onWorker?.();
    void worker.ended.then((reason) => {
      if (this.#closed) return;
      this.#workers.delete(worker);
      this.#options.onWorker?.();
      this.#options.onNote?.(`an inference worker was lost and is started again: ${reason}`);
      void this.#replace(device);
    });
    this.#pump();
  }

  async #startWorker(device: number): Promise<void> {
    const worker = new WorkerHandle({ ...this.#options.worker, device });
    const { notes } = await worker.loaded.catch(async (thrown) => {
      await worker.stop();
      throw thrown;
    });
    // A worker may find another GPU than the first did, or none any more.
    for (const note of notes) if (!this.report.notes.includes(note)) this.#options.onNote?.(note);
    if (this.#closed) await worker.stop();
    else this.#adopt(worker, device);
  }

  async #replace(device: number): Promise<void> {
    for (
      let delay: number = restartDelayMs.first;
      !this.#closed;
      delay = Math.min(delay * 2, restartDelayMs.longest)
    ) {
      try {
        return await this.#startWorker(device);
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        if (thrown instanceof ModelRefused) return this.#options.onDead?.(error);
        this.#options.onNote?.(`an inference worker could not be started: ${error.message}`);
        await sleep(delay, undefined, { ref: false });
      }
    }
  }

  #pump(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (;;) {
      const worker = this.#freest();
      if (worker === undefined) return;
      const now = this.#options.now();
      for (const item of this.#queue.expired(now)) item.reject(late(item));
      const next = this.#queue.next(this.#batching ?? { maxSize: 1, maxDelayMs: 0 }, now);
      if (next === undefined) return;
      if (typeof next === 'number') {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(next));
        return;
      }
      this.#send(worker, next);
    }
  }

  #freest(): WorkerHandle | undefined {
    let freest: WorkerHandle | undefined;
    for (const worker of this.#workers) {
      if (worker.inFlight < (freest?.inFlight ?? depth)) freest = worker;
    }
    return freest;
  }

  #send(worker: WorkerHandle, items: readonly Waiting[]): void {
    const requests = items.map((item) => item.request);
    const [only] = requests;
    const { buffer, inputs } =
      (requests.length === 1 && only !== undefined ? packInPlace(only) : undefined) ??
      pack(requests, (bytes) => this.#buffers.take(bytes));
    const outputs = items[0]?.request.outputs ?? [];
    this.#running += items.length;
    worker.run({ buffer, inputs, outputs }, (result) => {
      this.#running -= items.length;
      this.#settle(items, result);
      this.#pump();
    });
  }

  #settle(items: readonly Waiting[], result: RunResult): void {
    if (result.ok === 'lost') {
      const error = `the inference worker was lost while it ran this request: ${result.message}`;
      for (const item of items) item.reject(new InferenceError('Unavailable', error));
      return;
    }
    this.#takeBack(result);
    const { computeMs } = result;
    const rows = items.reduce((sum, item) => sum + Math.max(item.rows, 1), 0);
    this.#options.onRun?.({ rows, requests: items.length, computeMs });
    if (!result.ok) return this.#fail(items, result);
    const parts =
      items.length === 1
        ? [unpack(result.outputs)]
        : split(
            result.outputs,
            items.map((item) => item.rows),
          );
    if (parts === undefined) {
      this.#batching = undefined;
      this.#options.onNote?.('the model does not give one row of output per row of input: batching is off');
      return this.#queue.pushFront(alone(items));
    }
    const queuedMs = items.map((item) => Math.max(0, this.#options.now() - item.since - computeMs));
    inSlices(items, (item, index) =>
      item.resolve({ outputs: parts[index] ?? [], queueMs: queuedMs[index] ?? 0, computeMs }),
    );
  }

  /** The buffer of a run, to be used again, unless an output lies in it. */
  #takeBack(result: RunResult & { readonly ok: boolean }): void {
    const { buffer } = result;
    const outputs = result.ok ? result.outputs : [];
    const shared = outputs.some(({ data }) => data instanceof Uint8Array && data.buffer === buffer);
    if (!shared) this.#buffers.give(buffer);
  }

  #fail(items: readonly Waiting[], result: RunResult & { readonly ok: false }): void {
    // One bad request must not fail those that happened to share its batch.
    if (items.length > 1) return this.#queue.pushFront(alone(items));
    const [item] = items;
    item?.reject(
      result.blameInputs
        ? new InferenceError('InvalidArgument', `the model cannot run these inputs: ${result.message}`)
        : new InferenceError('Internal', `the model failed: ${result.message}`),
    );
  }
}

/** Answers that are given in one turn of the event loop: a batch of 64 at once would keep it from all else for milliseconds. */
const sliceSize = 8;

function inSlices<T>(items: readonly T[], each: (item: T, index: number) => void, from = 0): void {
  const to = Math.min(from + sliceSize, items.length);
  for (let index = from; index < to; index++) each(items[index] as T, index);
  if (to < items.length) setImmediate(() => inSlices(items, each, to));
}

/** The same requests, each to be run by itself. */
function alone(items: readonly Waiting[]): readonly Waiting[] {
  for (const item of items) item.key = undefined;
  return items;
}

function late({ timeoutMs }: Waiting): InferenceError {
  return new InferenceError('DeadlineExceeded', `the request waited ${timeoutMs} ms, its time limit`);
}

function cancelled(): InferenceError {
  return new InferenceError('Cancelled', 'the client cancelled the request');
}
