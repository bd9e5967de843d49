/**
 * Requests of every source go through here: redirects one by one, each of which has to obey all the rules again;
 * credentials to the first origin only; every answer that is not the content has a typed reason.
 */
import type { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import { Failure } from '../termination.ts';
import type { PrivateHosts } from './address-policy.ts';
import { AddressRefused } from './connector.ts';

export type Answer = Dispatcher.ResponseData;
export type Headers = Readonly<Record<string, string>>;

/** Something to GET. */
export interface Resource {
  readonly url: string;
  readonly headers?: Headers;
  /** Headers that prove who asks. Sent to the URL's own origin, never along a redirect to another. */
  readonly authorize?: (url: URL) => Promise<Headers> | Headers;
  /** What to ask instead, when an answer that refuses says so in the store's own way. Asked at most once. */
  readonly instead?: (answer: Answer, url: URL) => Promise<Resource | undefined> | Resource | undefined;
}

export interface HttpClientOptions {
  readonly dispatcher: Dispatcher;
  readonly privateHosts: PrivateHosts;
  /** Whether clear-text HTTP is allowed to every host, and not only to those that the administrator names so. */
  readonly http: boolean;
}

const maxRedirects = 5;
/** Of a refusal, for its reason. */
const maxRefusalBytes = 64 * 1024;

/** A failure that another try may not meet. */
export class Transient extends Error {
  override readonly name = 'Transient';
}

/** The content has become shorter than what was asked for, or the server cannot do ranges after all. */
export class RangeRefused extends Transient {}

export class HttpClient {
  readonly #options: HttpClientOptions;

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /** An answer that has the content, all of it or a part. @throws Failure, Transient, or what the connection threw */
  async open(resource: Resource, headers: Headers = {}): Promise<Answer> {
    const { answer, url } = await this.send(resource, headers);
    const asksForPart = headers['range'] !== undefined;
    if (answer.statusCode === 200 || (answer.statusCode === 206 && asksForPart)) return answer;
    await discard(answer);
    const other = await resource.instead?.(answer, url);
    if (other !== undefined) {
      const { instead: _, ...once } = other;
      return this.open(once, headers);
    }
    throw refusedStatus(url, answer.statusCode);
  }

  /** The first answer that is no redirect, whatever it says. */
  async send(
    resource: Resource,
    headers: Headers = {},
    body?: { readonly method: 'POST'; readonly content: string },
  ): Promise<{ answer: Answer; url: URL }> {
    let url = this.#check(resource.url);
    const { origin } = url;
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const proof = url.origin === origin ? await resource.authorize?.(url) : undefined;
      const answer = await request(url, {
        dispatcher: this.#options.dispatcher,
        method: body?.method ?? 'GET',
        ...(body === undefined ? {} : { body: body.content }),
        headers: {
          'accept-encoding': 'identity',
          'user-agent': 'sluice-fetch',
          ...resource.headers,
          ...headers,
          ...proof,
        },
      });
      const location = header(answer, 'location');
      if (location === undefined || ![301, 302, 303, 307, 308].includes(answer.statusCode))
        return { answer, url };
      // What is sent in a body is a secret, and goes where it was meant to go.
      if (body !== undefined) {
        await discard(answer);
        throw new Failure('ArtifactRefused', `${plain(url.href)} redirects, which it must not`);
      }
      await discard(answer);
      url = this.#check(resolve(location, url));
    }
    throw new Failure('ArtifactRefused', `${plain(resource.url)} redirects more than ${maxRedirects} times`);
  }

  /** A small document, whole. @throws Failure ArtifactCorrupt when it is larger than it may be */
  async document(answer: Answer, maxBytes: number, what: string): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const body: Readable = answer.body;
    body.on('error', () => undefined);
    try {
      for await (const chunk of body) {
        bytes += (chunk as Buffer).byteLength;
        if (bytes > maxBytes)
          throw new Failure('ArtifactCorrupt', `${what} is larger than ${maxBytes} bytes`);
        chunks.push(chunk as Buffer);
      }
    } finally {
      body.destroy();
    }
    return Buffer.concat(chunks);
  }

  /** @throws Failure ArtifactRefused */
  #check(uri: string): URL {
    const url = URL.parse(uri);
    if (url === null)
      throw new Failure('ArtifactRefused', `${JSON.stringify(uri.slice(0, 200))} is not a valid URI`);
    const { http, privateHosts } = this.#options;
    const clear = url.protocol === 'http:' && (http || privateHosts.allowsClearText(url));
    if (url.protocol !== 'https:' && !clear) {
      throw new Failure('ArtifactRefused', `${plain(uri)}: ${url.protocol.slice(0, -1)} is not allowed here`);
    }
    if (url.username !== '' || url.password !== '') {
      throw new Failure(
        'ArtifactRefused',
        `${url.host}: a URI must not hold credentials; put them into a Secret`,
      );
    }
    return url;
  }
}

export async function discard(answer: Answer): Promise<void> {
  await answer.body.dump({ limit: maxRefusalBytes }).catch(() => undefined);
}

function resolve(location: string, base: URL): string {
  const url = URL.parse(location, base.href);
  if (url === null) throw new Failure('ArtifactRefused', `${plain(base.href)} redirects to an invalid URI`);
  return url.href;
}

export function refusedStatus(url: URL, status: number): Error {
  const text = `${plain(url.href)} answered with status ${status}`;
  if (status === 401 || status === 403 || status === 407) return new Failure('ArtifactUnauthorized', text);
  if (status === 404 || status === 410) return new Failure('ArtifactNotFound', text);
  if (status === 206) return new Failure('ArtifactCorrupt', `${text}, a part that was not asked for`);
  if (status === 416) return new RangeRefused(text);
  if (status === 408 || status === 429 || status >= 500) return new Transient(text);
  return new Failure('ArtifactRefused', text);
}

/** Without the query: pre-signed URIs carry secrets there. */
export function plain(uri: string): string {
  const url = URL.parse(uri);
  return url === null ? 'the URI' : `${url.protocol}//${url.host}${url.pathname}`;
}

export function header(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** Whatever a request threw, with its reason. */
export function explain(uri: string, thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof AddressRefused)
    return new Failure('ArtifactRefused', thrown.message, { cause: thrown });
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (error.cause instanceof AddressRefused) return explain(uri, error.cause);
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : '';
  const why =
    error instanceof Transient ? error.message : `${plain(uri)} cannot be reached: ${code}${error.message}`;
  return new Failure('ArtifactUnreachable', why, { cause: thrown });
}
