/** What can go wrong between us and the API server, as one class. */

/** The `Status` object that the API server answers failures with. */
export interface KubeStatus {
  readonly kind?: string;
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly {
      readonly reason?: string;
      readonly message?: string;
      readonly field?: string;
    }[];
    readonly retryAfterSeconds?: number;
  };
}

interface Facts {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs?: number | undefined;
  readonly status?: KubeStatus | undefined;
  readonly cause?: unknown;
}

/**
 * A failed call. `code` is the HTTP status, or 0 when no answer came: then `reason` is `Network`, `Timeout` or `Aborted`
 * and the call may or may not have taken effect.
 */
export class KubeError extends Error {
  readonly code: number;
  /** The API server's word (`NotFound`, `Conflict`, `Invalid`, …). */
  readonly reason: string;
  /** How long the server asks us to stay away, in milliseconds. */
  readonly retryAfterMs?: number;
  readonly status?: KubeStatus;

  constructor(facts: Facts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'KubeError';
    this.code = facts.code;
    this.reason = facts.reason;
    if (facts.retryAfterMs !== undefined) this.retryAfterMs = facts.retryAfterMs;
    if (facts.status !== undefined) this.status = facts.status;
  }

  /** Any thrown value as a KubeError; one that is already is returned as it is. */
  static from(thrown: unknown): KubeError {
    if (thrown instanceof KubeError) return thrown;
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    return new KubeError({ code: 0, reason: networkReason(error), message: describe(error), cause: thrown });
  }

  /**
   * The error that an answer stands for.
   * @param body the answer's text: a `Status` as JSON, or whatever a proxy on the way wrote.
   * @param retryAfter the `Retry-After` header, in seconds or as a date.
   */
  static fromResponse(code: number, body: string, retryAfter: string | undefined, what: string): KubeError {
    const status = parseStatus(body);
    const reason = status?.reason || defaultReasons[code] || 'Unknown';
    const detail = status?.message || body.slice(0, 300).trim() || reason;
    return new KubeError({
      code,
      reason,
      message: `${what}: ${code} ${detail}`,
      retryAfterMs: parseRetryAfter(retryAfter) ?? secondsToMs(status?.details?.retryAfterSeconds),
      status,
    });
  }

  /** The error that an `ERROR` event of a watch stands for. */
  static fromStatus(status: KubeStatus, what: string): KubeError {
    const code = status.code ?? 500;
    return new KubeError({
      code,
      reason: status.reason || defaultReasons[code] || 'Unknown',
      message: `${what}: ${code} ${status.message ?? 'error without a message'}`,
      retryAfterMs: secondsToMs(status.details?.retryAfterSeconds),
      status,
    });
  }
}

const defaultReasons: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  406: 'NotAcceptable',
  409: 'Conflict',
  410: 'Gone',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function has(thrown: unknown, code: number): thrown is KubeError {
  return thrown instanceof KubeError && thrown.code === code;
}

export const isNotFound = (thrown: unknown): thrown is KubeError => has(thrown, 404);
/** The precondition failed, or another field manager owns a field. */
export const isConflict = (thrown: unknown): thrown is KubeError =>
  has(thrown, 409) && thrown.reason !== 'AlreadyExists';
export const isAlreadyExists = (thrown: unknown): thrown is KubeError =>
  has(thrown, 409) && thrown.reason === 'AlreadyExists';
/** A resource version or a page's token is too old. */
export const isGone = (thrown: unknown): thrown is KubeError =>
  has(thrown, 410) || (thrown instanceof KubeError && thrown.reason === 'Expired');
export const isUnauthorized = (thrown: unknown): thrown is KubeError => has(thrown, 401);
export const isForbidden = (thrown: unknown): thrown is KubeError => has(thrown, 403);
export const isInvalid = (thrown: unknown): thrown is KubeError => has(thrown, 422);
export const isTooManyRequests = (thrown: unknown): thrown is KubeError => has(thrown, 429);
export const isNetwork = (thrown: unknown): thrown is KubeError => has(thrown, 0);

function parseStatus(body: string): KubeStatus | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Status'
      ? (value as KubeStatus)
      : undefined;
  } catch {
    return undefined;
  }
}

function parseRetryAfter(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '') return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function secondsToMs(seconds: number | undefined): number | undefined {
  return typeof seconds === 'number' ? seconds * 1000 : undefined;
}

function networkReason(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  if (error.name === 'AbortError' || code === 'UND_ERR_ABORTED') return 'Aborted';
  if (error.name === 'TimeoutError' || code.endsWith('TIMEOUT') || code === 'ETIMEDOUT') return 'Timeout';
  return 'Network';
}

function describe(error: Error): string {
  if (error.message) return error.message;
  // Node's AggregateError of a failed connection has an empty message.
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  return inner instanceof Error ? inner.message : error.name;
}
