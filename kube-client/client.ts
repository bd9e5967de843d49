/** Calls of the Kubernetes API as raw JSON: no typed decoding, one pool of connections, one class of errors. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { Connection } from './connection.ts';
import { isGone, KubeError } from './errors.ts';
import type { KubeObject, ObjectMeta } from './object.ts';
import { apiVersionOf, pathOf, type Resource } from './resources.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** What may end a call early. */
export interface CallLimits {
  readonly signal?: AbortSignal;
  /**
   * Asked at the moment when the request is written to its connection, which is later than the call where one has to be
   * made first. What it throws ends the call, and nothing is sent.
   */
  readonly guard?: () => void;
}

export interface RawOptions extends CallLimits {
  readonly query?: Query;
  /** A string or bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** `watch`: the answer may be silent for ever. Default `request`. */
  readonly purpose?: 'request' | 'watch';
}

export interface RawResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The answer as it arrives. Read it to the end or destroy it, else its connection stays taken. */
  readonly body: Readable;
  text(): Promise<string>;
  json(): Promise<unknown>;
}

export interface ListQuery {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Objects of a page, not of the result, which is always whole. Default 500. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DeleteOptions extends CallLimits {
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

/** One finished call, for metrics. `code` is 0 when no answer came. */
export interface Call {
  readonly method: Method;
  readonly path: string;
  readonly purpose: 'request' | 'watch';
  readonly code: number;
  /** Until the headers of the answer. */
  readonly seconds: number;
}

export interface ClientOptions {
  readonly userAgent?: string;
  readonly observe?: (call: Call) => void;
}

const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

/** Times that a paged list starts again after a 410 before it asks for everything in one page. */
const listRestarts = 3;

/** All calls throw `KubeError` and nothing else. */
export class KubeClient {
  readonly #connection: Connection;
  readonly #origin: string;
  readonly #prefix: string;
  readonly #options: ClientOptions;

  constructor(connection: Connection, options: ClientOptions = {}) {
    const url = new URL(connection.server);
    this.#connection = connection;
    this.#origin = url.origin;
    this.#prefix = url.pathname.replace(/\/+$/, '');
    this.#options = options;
  }

  async get<T>(
    r: Resource,
    namespace: string | undefined,
    name: string,
    o: { signal?: AbortSignal } = {},
  ): Promise<T> {
    return this.#json<T>('GET', pathOf(r, namespace, name), o);
  }

  /** All objects, page by page. A page's token that has expired starts the list again. Items carry kind and apiVersion. */
  async list<T>(r: Resource, q: ListQuery = {}): Promise<{ items: T[]; resourceVersion: string }> {
    for (let restart = 0; ; restart++) {
      try {
        return await this.#pages<T>(r, q, restart < listRestarts ? (q.limit ?? 500) : undefined);
      } catch (error) {
        if (!isGone(error) || restart >= listRestarts) throw error;
      }
    }
  }

  async create<T>(
    r: Resource,
    namespace: string | undefined,
    object: unknown,
    o: CallLimits & { subresource?: string; name?: string } = {},
  ): Promise<T> {
    if (r.namespaced && !namespace)
      throw KubeError.from(new TypeError(`creating a ${r.kind} needs a namespace`));
    return this.#json<T>('POST', pathOf(r, namespace, o.name, o.subresource), {
      body: object,
      ...pickLimits(o),
    });
  }

  async replace<T>(
    r: Resource,
    namespace: string | undefined,
    name: string,
    object: unknown,
    o: CallLimits & { subresource?: string } = {},
  ): Promise<T> {
    return this.#json<T>('PUT', pathOf(r, namespace, name, o.subresource), {
      body: object,
      ...pickLimits(o),
    });
  }

  async patch<T>(
    r: Resource,
    namespace: string | undefined,
    name: string,
    body: unknown,
    o: CallLimits & { type: 'merge' | 'json' | 'strategic'; subresource?: string },
  ): Promise<T> {
    const path = pathOf(r, namespace, name, o.subresource);
    return this.#json<T>('PATCH', path, { body, contentType: patchTypes[o.type], ...pickLimits(o) });
  }

  /** Server-side apply: `object` holds exactly the fields that `fieldManager` wants to own. */
  async apply<T>(
    r: Resource,
    namespace: string | undefined,
    name: string,
    object: unknown,
    o: CallLimits & { fieldManager: string; force?: boolean; subresource?: string },
  ): Promise<T> {
    return this.#json<T>('PATCH', pathOf(r, namespace, name, o.subresource), {
      body: object,
      contentType: 'application/apply-patch+yaml',
      query: { fieldManager: o.fieldManager, force: o.force },
      ...pickLimits(o),
    });
  }

  /** Resolves when the server has accepted it, which with finalizers or grace is before the object is gone. */
  async delete(
    r: Resource,
    namespace: string | undefined,
    name: string,
    o: DeleteOptions = {},
  ): Promise<void> {
    const { signal, guard, ...options } = o;
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', ...options };
    await this.#json('DELETE', pathOf(r, namespace, name), { body, ...pickLimits(o) });
  }

  /**
   * One call, for what the methods above do not cover: logs, discovery, watches.
   * After 401 or a certificate that is not trusted, credentials are read again and the call is repeated once; so is a GET
   * whose connection broke.
   * @throws KubeError for every status from 400 up.
   */
  async raw(method: Method, path: string, o: RawOptions = {}): Promise<RawResponse> {
    try {
      return await this.#once(method, path, o);
    } catch (thrown) {
      const error = KubeError.from(thrown);
      // Credentials may have been renewed since we read them.
      if (error.code === 401 || untrusted(error)) this.#connection.refresh?.();
      // A pooled connection may be closed by the server in the very moment we write to it.
      else if (method !== 'GET' || !brokenConnection(error)) throw error;
      if (o.signal?.aborted) throw error;
      return await this.#once(method, path, o);
    }
  }

  async #once(method: Method, path: string, o: RawOptions): Promise<RawResponse> {
    const started = performance.now();
    const purpose = o.purpose ?? 'request';
    let code = 0;
    try {
      const headers = await this.#connection.headers();
      headers['accept'] = o.accept ?? 'application/json';
      headers['user-agent'] = this.#options.userAgent ?? 'sluice';
      const body = bodyOf(o.body);
      if (body !== undefined) headers['content-type'] = o.contentType ?? 'application/json';
      const dispatcher = this.#connection.dispatcher(purpose);
      const { guard } = o;
      const response = await (guard ? dispatcher.compose(guarded(guard)) : dispatcher).request({
        origin: this.#origin,
        path: `${this.#prefix}${path}${queryString(o.query)}`,
        method,
        headers,
        ...(body === undefined ? {} : { body }),
        ...(o.signal ? { signal: o.signal } : {}),
      });
      code = response.statusCode;
      if (code >= 400) {
        const text = await response.body.text();
        const retryAfter = response.headers['retry-after'];
        throw KubeError.fromResponse(
          code,
          text,
          typeof retryAfter === 'string' ? retryAfter : undefined,
          `${method} ${path}`,
        );
      }
      const { body: stream } = response;
      return {
        status: code,
        headers: response.headers,
        body: stream,
        text: () => stream.text(),
        json: () => stream.json(),
      };
    } catch (error) {
      throw error instanceof KubeError ? error : wrap(error, `${method} ${path}`);
    } finally {
      // A caller that gave up is no failure of the server.
      if (!o.signal?.aborted) {
        this.#options.observe?.({
          method,
          path,
          purpose,
          code,
          seconds: (performance.now() - started) / 1000,
        });
      }
    }
  }

  async #json<T>(method: Method, path: string, o: RawOptions): Promise<T> {
    const response = await this.raw(method, path, o);
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw wrap(error, `${method} ${path}`);
    }
  }

  async #pages<T>(
    r: Resource,
    q: ListQuery,
    limit: number | undefined,
  ): Promise<{ items: T[]; resourceVersion: string }> {
    const items: T[] = [];
    const path = pathOf(r, q.namespace);
    const type = { apiVersion: apiVersionOf(r), kind: r.kind };
    let next: string | undefined;
    for (;;) {
      const page = await this.#json<RawList>('GET', path, {
        query: { labelSelector: q.labelSelector, fieldSelector: q.fieldSelector, limit, continue: next },
        ...(q.signal ? { signal: q.signal } : {}),
      });
      // Items of a list come without their type; those of a Table or of an aggregated server may not.
      for (const item of page.items ?? []) items.push({ ...type, ...item } as T);
      next = page.metadata?.continue || undefined;
      if (next === undefined) return { items, resourceVersion: page.metadata?.resourceVersion ?? '' };
    }
  }
}

interface RawList {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly (Partial<KubeObject> & { metadata: ObjectMeta })[];
}

function bodyOf(body: unknown): string | Uint8Array | undefined {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return body;
  return JSON.stringify(body);
}

function queryString(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== '') parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}

function pickLimits({ signal, guard }: CallLimits): CallLimits {
  return { ...(signal ? { signal } : {}), ...(guard ? { guard } : {}) };
}

function wrap(thrown: unknown, what: string): KubeError {
  const { reason, message } = KubeError.from(thrown);
  return new KubeError({ code: 0, reason, message: `${what}: ${message}`, cause: thrown });
}

/** The handshake failed, so the request was never sent. */
function untrusted(error: KubeError): boolean {
  return /CERT|UNABLE_TO_|ERR_SSL|ERR_TLS/.test(causeCode(error));
}

function brokenConnection(error: KubeError): boolean {
  const code = causeCode(error);
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

function causeCode(error: KubeError): string {
  return error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : '';
}

/** Has every request ask `guard` when it is written. */
function guarded(guard: () => void): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart(controller, context) {
        handler.onRequestStart?.(controller, context);
        try {
          guard();
        } catch (error) {
          controller.abort(error as Error);
        }
      },
      onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
      onResponseStart: (...args) => handler.onResponseStart?.(...args),
      onResponseData: (...args) => handler.onResponseData?.(...args),
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    });
}
