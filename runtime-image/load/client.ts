/** The two ways to reach a server of the Open Inference Protocol, as one. */
import type { Tensor } from './tensor.ts';

export interface InferRequest {
  readonly model: string;
  /** Version to pin; absent means whichever the model's traffic policy picks. */
  readonly version: string | undefined;
  readonly id: string;
  readonly inputs: readonly Tensor[];
}

export interface Answer {
  /** Version that answered, as the `sluice-version` header or metadata says. */
  readonly version: string | undefined;
  readonly outputs: readonly Tensor[];
}

export interface Client {
  /** One inference. Rejects with `RequestFailed`. */
  infer(request: InferRequest, timeoutMs: number): Promise<Answer>;
  close(): Promise<void>;
}

/** A request without a usable answer. */
export class RequestFailed extends Error {
  /** A word to count by: `connect`, `timeout`, `http-503`, `grpc-UNAVAILABLE`, `malformed`. */
  readonly kind: string;
  /** Version that answered, when one did. */
  readonly version: string | undefined;

  constructor(
    kind: string,
    message: string,
    options: { cause?: unknown; version?: string | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RequestFailed';
    this.kind = kind;
    this.version = options.version;
  }
}
