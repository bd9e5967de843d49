/** Answers: JSON with the headers that clients expect. */
import type { ServerResponse } from 'node:http';
import type { StatusError } from '../errors.ts';
import type { Json } from '../json.ts';

function warningHeaders(warnings: readonly string[]): string[] {
  return [...new Set(warnings)].map((text) => `299 - ${JSON.stringify(text)}`);
}

export function sendText(
  response: ServerResponse,
  code: number,
  text: string,
  options: { type?: string; warnings?: readonly string[]; headers?: Record<string, string> } = {},
): void {
  const body = Buffer.from(text);
  response.statusCode = code;
  response.setHeader('content-type', options.type ?? 'application/json');
  response.setHeader('cache-control', 'no-cache, private');
  response.setHeader('content-length', body.length);
  for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value);
  if (options.warnings && options.warnings.length > 0)
    response.setHeader('warning', warningHeaders(options.warnings));
  response.end(body);
}

export function sendJson(
  response: ServerResponse,
  code: number,
  value: Json,
  warnings: readonly string[] = [],
): void {
  sendText(response, code, JSON.stringify(value), { warnings });
}

export function sendStatus(
  response: ServerResponse,
  error: StatusError,
  warnings: readonly string[] = [],
): void {
  const headers: Record<string, string> = {};
  if (error.details?.retryAfterSeconds) headers['retry-after'] = String(error.details.retryAfterSeconds);
  sendText(response, error.code, JSON.stringify(error.toStatus()), { warnings, headers });
}

/** The answer to paths that nothing is served under; it is no `Status`. */
export function sendPageNotFound(response: ServerResponse): void {
  sendText(response, 404, '404 page not found\n', { type: 'text/plain; charset=utf-8' });
}
