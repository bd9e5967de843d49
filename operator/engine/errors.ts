/** Errors by what the engine does about them. Every other error is retried with back-off. */

/** Trying again changes nothing until somebody changes an object: the key rests until it is enqueued again. */
export class TerminalError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TerminalError';
  }
}

/** Worth another try, not before `afterMs` milliseconds. */
export class RetryError extends Error {
  readonly afterMs: number;

  constructor(message: string, options: ErrorOptions & { afterMs?: number } = {}) {
    super(message, options);
    this.name = 'RetryError';
    this.afterMs = options.afterMs ?? 0;
  }
}
