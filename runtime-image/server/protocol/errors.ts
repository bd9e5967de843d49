/** The one error of the protocol core, and what it is called over HTTP and over gRPC. */

/** What went wrong, as the client should understand it. */
export type Fault =
  /** The request contradicts the protocol or the model's metadata. */
  | 'InvalidArgument'
  /** Another model, version or path than this server has. */
  | 'NotFound'
  /** The body or a tensor is larger than this server takes. */
  | 'TooLarge'
  /** The request took longer to come than this server waits. */
  | 'TooSlow'
  /** A part of the protocol that this server leaves out. */
  | 'Unimplemented'
  /** The queue is full; try again soon. */
  | 'Exhausted'
  /** The request's own deadline passed before it ran. */
  | 'DeadlineExceeded'
  /** The client went away. */
  | 'Cancelled'
  /** Not loaded yet, shutting down, or the worker was lost. */
  | 'Unavailable'
  /** Ours or the model's. */
  | 'Internal';

const httpStatus: Readonly<Record<Fault, number>> = {
  InvalidArgument: 400,
  NotFound: 404,
  TooLarge: 413,
  TooSlow: 408,
  Unimplemented: 501,
  Exhausted: 503,
  DeadlineExceeded: 504,
  Cancelled: 499,
  Unavailable: 503,
  Internal: 500,
};

/** Numbers of google.rpc.Code. */
const grpcCode: Readonly<Record<Fault, number>> = {
  Cancelled: 1,
  InvalidArgument: 3,
  TooSlow: 4,
  DeadlineExceeded: 4,
  NotFound: 5,
  Exhausted: 8,
  TooLarge: 8,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
};

export class InferenceError extends Error {
  readonly fault: Fault;

  constructor(fault: Fault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'InferenceError';
    this.fault = fault;
  }

  /** HTTP status code. */
  get status(): number {
    return httpStatus[this.fault];
  }

  /** gRPC status code. */
  get code(): number {
    return grpcCode[this.fault];
  }

  static from(thrown: unknown): InferenceError {
    if (thrown instanceof InferenceError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new InferenceError('Internal', message, { cause: thrown });
  }
}

/** For the many checks of the core: a client's mistake. */
export function invalid(message: string): InferenceError {
  return new InferenceError('InvalidArgument', message);
}

/** A name from outside, quoted and cut, fit for a message. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 128 ? `${name.slice(0, 128)}…` : name);
}
