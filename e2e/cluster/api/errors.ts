/**
 * Failures as the API reports them: a `Status` object with a code, a reason and, for invalid objects, the causes by
 * field. Handlers throw `StatusError`; the HTTP edge turns anything else into a 500.
 */
import type { Json, JsonObject } from './json.ts';

export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}
export interface GroupKind {
  readonly group: string;
  readonly kind: string;
}

export interface Cause extends JsonObject {
  reason?: string;
  message?: string;
  field?: string;
}

interface Details {
  name?: string | undefined;
  group?: string | undefined;
  kind?: string | undefined;
  uid?: string | undefined;
  causes?: Cause[] | undefined;
  retryAfterSeconds?: number | undefined;
}

export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: Details | undefined;

  constructor(code: number, reason: string, message: string, details?: Details) {
    super(message);
    this.name = 'StatusError';
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  /** The `Status` object that goes over the wire. */
  toStatus(): JsonObject {
    const status: JsonObject = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
    };
    if (this.reason) status['reason'] = this.reason;
    if (this.details) status['details'] = present({ ...this.details });
    status['code'] = this.code;
    return status;
  }
}

function present(details: Details): JsonObject {
  return Object.fromEntries(
    Object.entries(details).filter(([, value]) => value !== undefined && value !== ''),
  ) as JsonObject;
}

/** `deployments.apps "x"`, or `pods "x"` in the core group. */
export function qualified(resource: GroupResource): string {
  return resource.group ? `${resource.resource}.${resource.group}` : resource.resource;
}

function about(resource: GroupResource, name: string): Details {
  return { name, group: resource.group, kind: resource.resource };
}

export function notFound(resource: GroupResource, name: string): StatusError {
  return new StatusError(
    404,
    'NotFound',
    `${qualified(resource)} "${name}" not found`,
    about(resource, name),
  );
}

export function pathNotFound(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function alreadyExists(resource: GroupResource, name: string): StatusError {
  const message = `${qualified(resource)} "${name}" already exists`;
  return new StatusError(409, 'AlreadyExists', message, about(resource, name));
}

export function conflict(resource: GroupResource, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`;
  return new StatusError(409, 'Conflict', message, about(resource, name));
}

/** The conflict of a write that carried an older resourceVersion. */
export function modified(resource: GroupResource, name: string): StatusError {
  const why = 'the object has been modified; please apply your changes to the latest version and try again';
  return conflict(resource, name, why);
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

export function unauthorized(): StatusError {
  return new StatusError(401, 'Unauthorized', 'Unauthorized');
}

export function forbidden(resource: GroupResource, name: string, why: string): StatusError {
  const subject = name ? `${qualified(resource)} "${name}"` : qualified(resource);
  return new StatusError(403, 'Forbidden', `${subject} is forbidden: ${why}`, about(resource, name));
}

export function methodNotAllowed(): StatusError {
  const message = 'the server does not allow this method on the requested resource';
  return new StatusError(405, 'MethodNotAllowed', message, {});
}

export function notAcceptable(accepted: string): StatusError {
  const message = `only the following media types are accepted: ${accepted}`;
  return new StatusError(406, 'NotAcceptable', message);
}

export function unsupportedMediaType(supported: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${supported.join(', ')}`;
  return new StatusError(415, 'UnsupportedMediaType', message);
}

export function expired(message: string): StatusError {
  return new StatusError(410, 'Expired', message);
}

export function tooManyRequests(message: string, retryAfterSeconds: number, causes?: Cause[]): StatusError {
  return new StatusError(429, 'TooManyRequests', message, { retryAfterSeconds, causes });
}

export function internalError(error: unknown): StatusError {
  const message = error instanceof Error ? error.message : String(error);
  return new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, {
    causes: [{ message }],
  });
}

export function invalid(kind: GroupKind, name: string, errors: readonly FieldError[]): StatusError {
  const list = errors.map((error) => error.text());
  const text = list.length === 1 ? list[0] : `[${list.join(', ')}]`;
  const qualifiedKind = kind.group ? `${kind.kind}.${kind.group}` : kind.kind;
  return new StatusError(422, 'Invalid', `${qualifiedKind} "${name}" is invalid: ${text}`, {
    name,
    group: kind.group,
    kind: kind.kind,
    causes: errors.map((error) => ({ reason: error.type, message: error.message(), field: error.field })),
  });
}

export type FieldErrorType =
  | 'FieldValueInvalid'
  | 'FieldValueRequired'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueDuplicate'
  | 'FieldValueNotFound'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTypeInvalid';

const titles: Record<FieldErrorType, string> = {
  FieldValueInvalid: 'Invalid value',
  FieldValueRequired: 'Required value',
  FieldValueNotSupported: 'Unsupported value',
  FieldValueForbidden: 'Forbidden',
  FieldValueDuplicate: 'Duplicate value',
  FieldValueNotFound: 'Not found',
  FieldValueTooLong: 'Too long',
  FieldValueTooMany: 'Too many',
  FieldValueTypeInvalid: 'Invalid value',
};

/** Types whose message does not repeat the value. */
const withoutValue: ReadonlySet<FieldErrorType> = new Set<FieldErrorType>([
  'FieldValueRequired',
  'FieldValueForbidden',
  'FieldValueTooLong',
  'FieldValueTooMany',
]);

/** One field that is wrong, worded as Kubernetes words it. A value that is undefined is left out of the words. */
export class FieldError {
  readonly type: FieldErrorType;
  readonly field: string;
  readonly value: Json | undefined;
  readonly detail: string;

  constructor(type: FieldErrorType, field: string, value: Json | undefined, detail: string) {
    this.type = type;
    this.field = field;
    this.value = value;
    this.detail = detail;
  }

  /** `Invalid value: "x": must be …` */
  message(): string {
    const title = titles[this.type];
    const bare = withoutValue.has(this.type) || this.value === undefined;
    const head = bare ? title : `${title}: ${JSON.stringify(this.value)}`;
    return this.detail ? `${head}: ${this.detail}` : head;
  }

  /** The message with the field in front. */
  text(): string {
    return `${this.field}: ${this.message()}`;
  }
}

export const field = {
  invalid: (path: string, value: Json | undefined, detail: string) =>
    new FieldError('FieldValueInvalid', path, value, detail),
  required: (path: string, detail = '') => new FieldError('FieldValueRequired', path, undefined, detail),
  forbidden: (path: string, detail: string) => new FieldError('FieldValueForbidden', path, undefined, detail),
  duplicate: (path: string, value: Json) => new FieldError('FieldValueDuplicate', path, value, ''),
  notFound: (path: string, value: Json) => new FieldError('FieldValueNotFound', path, value, ''),
  tooLong: (path: string, most: number) =>
    new FieldError('FieldValueTooLong', path, undefined, `may not be more than ${most} bytes`),
  notSupported: (path: string, value: Json | undefined, supported: readonly string[]) =>
    new FieldError(
      'FieldValueNotSupported',
      path,
      value ?? '',
      `supported values: ${supported.map((each) => JSON.stringify(each)).join(', ')}`,
    ),
};
