/** One inference worker seen from the event loop: starts it, sends it runs, and says when it is lost. */
import './no-telemetry.ts';
import { Worker } from 'node:worker_threads';
import type { FromWorker, LoadReport, OutputTensor, RunMessage, WorkerOptions } from './messages.ts';

export type RunResult =
  | {
      readonly ok: true;
      readonly outputs: readonly OutputTensor[];
      /** That the run was sent in. An output may be a view of it. */
      readonly buffer: ArrayBuffer;
      readonly computeMs: number;
    }
  | {
      readonly ok: false;
      readonly message: string;
      readonly blameInputs: boolean;
      readonly buffer: ArrayBuffer;
      readonly computeMs: number;
    }
  /** The thread ended while it held the run. */
  | { readonly ok: 'lost'; readonly message: string };

/** The model cannot be loaded; another try would end the same way. */
export class ModelRefused extends Error {
  override readonly name = 'ModelRefused';
}

export class WorkerHandle {
  /** Runs sent and not answered. */
  get inFlight(): number {
    return this.#runs.size;
  }

  readonly #worker: Worker;
  readonly #runs = new Map<number, (result: RunResult) => void>();
  readonly #loaded = Promise.withResolvers<LoadReport>();
  readonly #ended = Promise.withResolvers<string>();
  #nextId = 1;
  #lastError: string | undefined;

  constructor(options: WorkerOptions) {
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: options,
      name: 'inference',
    });
    this.#worker.on('message', (message: FromWorker) => this.#hear(message));
    this.#worker.on('error', (error) => {
      this.#lastError = error instanceof Error ? error.message : String(error);
    });
    this.#worker.on('exit', (code) => this.#end(this.#lastError ?? `exit code ${code}`));
    // Whoever does not wait for the load still must not see an unhandled rejection.
    this.#loaded.promise.catch(() => undefined);
  }

  /** Resolves when the session is loaded and warm. @throws ModelRefused, or Error when the thread ended first */
  get loaded(): Promise<LoadReport> {
    return this.#loaded.promise;
  }

  /** Resolves with the reason once the thread has ended, for whatever reason. */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  /** Moves the buffer to the thread; it cannot be used here afterwards. */
  run(message: Omit<RunMessage, 'id'>, done: (result: RunResult) => void): void {
    const id = this.#nextId++;
    this.#runs.set(id, done);
    this.#worker.postMessage({ ...message, id } satisfies RunMessage, [message.buffer]);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.#loaded.resolve(message);
        break;
      case 'refused':
        this.#loaded.reject(new ModelRefused(message.message));
        break;
      case 'done': {
        const { id, outputs, buffer, computeMs } = message;
        this.#answer(id, { ok: true, outputs, buffer, computeMs });
        break;
      }
      case 'failed': {
        const { id, message: text, blameInputs, buffer, computeMs } = message;
        this.#answer(id, { ok: false, message: text, blameInputs, buffer, computeMs });
        break;
      }
    }
  }

  #answer(id: number, result: RunResult): void {
    const done = this.#runs.get(id);
    this.#runs.delete(id);
    done?.(result);
  }

  #end(reason: string): void {
    this.#loaded.reject(new Error(`the inference worker ended while it loaded the model: ${reason}`));
    const waiting = [...this.#runs.values()];
    this.#runs.clear();
    this.#ended.resolve(reason);
    for (const done of waiting) done({ ok: 'lost', message: reason });
  }
}
