/**
 * The one model and version that this process serves: what both protocols ask. Checks names, runs requests, keeps
 * the statistics, and says whether it is ready.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Engine, InferOptions } from './execution/engine.ts';
import type { Provider } from './execution/messages.ts';
import type { Metrics, Protocol } from './metrics.ts';
import { InferenceError, quote } from './protocol/errors.ts';
import type { InferAnswer, InferRequest, ModelSpec, Tensor } from './protocol/tensor.ts';
import { plan } from './protocol/validate.ts';
import { type Statistics, StatisticsRecorder } from './statistics.ts';
import type { TraceContext } from './tracing/trace-context.ts';
import type { Tracer } from './tracing/tracer.ts';

export interface Clock {
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
}

export interface RequestOptions extends InferOptions {
  /** The caller's trace, if it has one. */
  readonly trace?: TraceContext | undefined;
}

/** What a protocol does at either end of a run. */
export interface Exchange {
  readonly decode: () => InferRequest;
  /** Sends the answer; throws, and has sent nothing, when that cannot be. */
  readonly answer: (answer: InferAnswer, request: InferRequest) => void;
}

/** What a model does whose weights are bad, or whose GPU is. */
export type Misbehaviour = 'wrong' | 'fail' | 'fail-late' | 'slow';

/** What a slow answer takes longer. */
const slowMs = 300;

/** As the protocol's metadata calls it. */
export const platform = 'onnxruntime_onnx';

export class ServedModel {
  readonly name: string;
  readonly version: string;
  readonly #clock: Clock;
  readonly #statistics = new StatisticsRecorder();
  #metrics: Metrics | undefined;
  #tracer: Tracer | undefined;
  #engine: Engine | undefined;
  /** Why it is not ready although the engine is up, when there is a reason. */
  #held: string | undefined;
  #misbehaviour: Misbehaviour | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(about: { readonly name: string; readonly version: string }, clock: Clock) {
    this.name = about.name;
    this.version = about.version;
    this.#clock = clock;
  }

  /** Where runs and requests are counted, besides the protocol's own statistics. */
  measureWith(metrics: Metrics): void {
    this.#metrics = metrics;
  }

  /** Where requests leave spans. */
  traceWith(tracer: Tracer | undefined): void {
    this.#tracer = tracer;
  }

  attach(engine: Engine): void {
    this.#engine = engine;
    this.changed();
  }

  /** Tells those who watch readiness that it may have changed. */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
    listener();
  }

  /** Readiness is denied from now on; requests are still answered. */
  hold(why: string): void {
    this.#held = why;
    this.changed();
  }

  /** Every answer is wrong, fails or is slow from now on; `fail-late` is for those over gRPC. */
  misbehave(how: Misbehaviour): void {
    this.#misbehaviour = how;
  }

  /** What fails over gRPC says so after its answer has begun, as a server does that streams it: no router sees that. */
  get failsLate(): boolean {
    return this.#misbehaviour === 'fail-late';
  }

  get ready(): boolean {
    return this.#held === undefined && (this.#engine?.alive ?? false);
  }

  /** Why it is not ready, in a sentence for a probe's answer. */
  get notReadyBecause(): string | undefined {
    if (this.ready) return undefined;
    return this.#held ?? (this.#engine === undefined ? 'the model is loading' : 'no inference worker is up');
  }

  get statistics(): Statistics {
    return this.#statistics.read();
  }

  get gauges() {
    const engine = this.#engine;
    return {
      queued: engine?.queued ?? 0,
      running: engine?.running ?? 0,
      workers: engine?.workers ?? 0,
      ready: this.ready,
    };
  }

  recordRun(rows: number, computeMs: number): void {
    this.#statistics.recordRun(rows, computeMs);
    this.#metrics?.recordRun(rows, computeMs);
  }

  /**
   * Whether a request means this model. An empty or absent version means the one that is here.
   * @throws InferenceError NotFound naming what is here
   */
  check(model: string, version: string | undefined): void {
    if (model !== this.name) {
      throw new InferenceError(
        'NotFound',
        `model ${quote(model)} is unknown; this server has ${quote(this.name)}`,
      );
    }
    if (version !== undefined && version !== '' && version !== this.version) {
      throw new InferenceError(
        'NotFound',
        `model ${quote(model)} has no version ${quote(version)} here; this server has ${quote(this.version)}`,
      );
    }
  }

  /** @throws InferenceError Unavailable while the model is loading */
  get spec(): ModelSpec {
    return this.#loaded().spec;
  }

  /** What computes. @throws InferenceError Unavailable while the model is loading */
  get provider(): Provider {
    return this.#loaded().report.provider;
  }

  /** Counts a request for inference that was refused before it had come as a whole. */
  refused(protocol: Protocol, error: InferenceError): void {
    this.#statistics.recordFailure(0);
    this.#metrics?.recordFailure(protocol, error.fault);
  }

  /**
   * Decodes, checks, runs and hands the answer over, by the given functions. Whatever happens is counted, also an answer that
   * cannot be handed over, and what is thrown is an InferenceError.
   */
  async infer(protocol: Protocol, { decode, answer }: Exchange, options: RequestOptions): Promise<void> {
    const began = this.#clock.now();
    const span = this.#tracer?.start(protocol, options.trace);
    try {
      const engine = this.#loaded();
      const request = decode();
      const planned = plan(request, engine.spec);
      const limits = { ...options, timeoutMs: shorter(options.timeoutMs, request.timeoutMs) };
      const { outputs, queueMs, computeMs } = await engine.infer(planned, limits);
      if (this.#misbehaviour === 'slow') await pause(slowMs);
      if (this.#misbehaviour === 'fail' || (this.failsLate && protocol === 'grpc'))
        throw new InferenceError('Internal', 'a fire drill lets it fail');
      answer(
        { id: request.id, outputs: this.#misbehaviour === 'wrong' ? outputs.map(spoilt) : outputs },
        request,
      );
      const totalMs = this.#clock.now() - began;
      this.#statistics.recordSuccess(totalMs, queueMs, computeMs, this.#clock.wall());
      this.#metrics?.recordSuccess(protocol, totalMs, queueMs);
      span?.answered({ queueMs, computeMs });
    } catch (thrown) {
      const error = InferenceError.from(thrown);
      this.#statistics.recordFailure(this.#clock.now() - began);
      this.#metrics?.recordFailure(protocol, error.fault);
      span?.failed(error);
      throw error;
    }
  }

  #loaded(): Engine {
    if (this.#engine === undefined) throw new InferenceError('Unavailable', 'the model is loading');
    return this.#engine;
  }
}

/** Of two time limits, of which 0 and undefined are none. */
function shorter(one = 0, other = 0): number {
  return one > 0 && other > 0 ? Math.min(one, other) : Math.max(one, other);
}

/** The same tensor with other values: large ones, since many a right answer is near zero. */
function spoilt(tensor: Tensor): Tensor {
  return tensor.datatype === 'BYTES'
    ? { ...tensor, data: tensor.data.map(() => new Uint8Array()) }
    : { ...tensor, data: new Uint8Array(tensor.data.length).fill(0x7f) };
}
