/** `https:` (and, where allowed, `http:`) artifacts: redirects one by one, resumed after a break, bounded in everything. */
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { Failure } from '../termination.ts';
import { AddressRefused } from './connector.ts';
import type { Partial } from './store.ts';

export interface HttpSourceOptions {
  readonly dispatcher: Dispatcher;
  /** Whether clear-text HTTP is allowed. */
  readonly http: boolean;
  /** Sent to the URI's own origin, never along a redirect to another. */
  readonly authorization: string | undefined;
  readonly maxBytes: number;
  /** Bytes expected in total, once known. */
  readonly onTotal?: (bytes: number) => void;
  /** A try has failed and another follows. */
  readonly onRetry?: (why: string) => void;
  /** Milliseconds before the first retry; doubles. For tests. */
  readonly retryDelayMs?: number;
}

const maxRedirects = 5;
/** Tries that brought nothing. A try that brought bytes starts the count again: progress is being made. */
const maxFruitlessTries = 4;

/** A failure that another try may not meet. */
class Transient extends Error {
  override readonly name = 'Transient';
}

/** Progress of one download over its tries. */
interface Download {
  readonly into: Partial;
  /** Of the content so far; a change means that the rest would not fit to it. */
  validator: string | undefined;
  total: number | undefined;
}

/** @throws Failure with the reason of the last try */
export async function fetchHttp(uri: string, into: Partial, options: HttpSourceOptions): Promise<void> {
  const download: Download = { into, validator: undefined, total: undefined };
  for (let fruitless = 0, delay = options.retryDelayMs ?? 250; ; delay *= 2) {
    const before = into.bytes;
    try {
      return await attempt(uri, download, options);
    } catch (thrown) {
      const failure = translate(uri, thrown);
      fruitless = into.bytes > before ? 1 : fruitless + 1;
      if (failure.reason !== 'ArtifactUnreachable' || fruitless >= maxFruitlessTries) throw failure;
      options.onRetry?.(failure.message);
      await sleep(delay);
      if (into.bytes > before) delay = options.retryDelayMs ?? 250;
    }
  }
}

async function attempt(uri: string, download: Download, options: HttpSourceOptions): Promise<void> {
  const { into } = download;
  const answer = await follow(uri, download, options);
  const body: Readable = answer.body;
  // A body that is given up reports that as an error, and what matters has been thrown already.
  body.on('error', () => undefined);
  try {
    if (answer.statusCode === 206) {
      checkRange(answer, into.bytes);
    } else if (into.bytes > 0) {
      // The server has no ranges, or the content has changed.
      await into.restart();
      download.total = undefined;
    }
    const encoding = header(answer, 'content-encoding') ?? 'identity';
    if (encoding !== 'identity')
      throw new Failure('ArtifactCorrupt', `${plain(uri)} answers with content encoding ${encoding}`);
    expectTotal(answer, download, options);
    for await (const chunk of body) await into.write(chunk as Buffer);
    if (download.total !== undefined && into.bytes !== download.total) {
      throw new Transient(`the body ended after ${into.bytes} of ${download.total} bytes`);
    }
  } finally {
    body.destroy();
  }
}

function expectTotal(answer: Dispatcher.ResponseData, download: Download, options: HttpSourceOptions): void {
  const length = header(answer, 'content-length');
  if (length !== undefined) {
    const total = download.into.bytes + Number(length);
    if (total > options.maxBytes) {
      throw new Failure(
        'ArtifactTooLarge',
        `the artifact has ${total} bytes; at most ${options.maxBytes} are taken`,
      );
    }
    download.total = total;
    options.onTotal?.(total);
  }
  const etag = header(answer, 'etag');
  // A weak validator does not promise equal bytes.
  download.validator = etag !== undefined && !etag.startsWith('W/') ? etag : header(answer, 'last-modified');
}

function checkRange(answer: Dispatcher.ResponseData, from: number): void {
  const range = /^bytes (\d+)-(\d+)\//.exec(header(answer, 'content-range') ?? '');
  if (Number(range?.[1] ?? Number.NaN) !== from) {
    throw new Failure(
      'ArtifactCorrupt',
      `asked to continue at byte ${from}, the server sent ${header(answer, 'content-range')}`,
    );
  }
}

/** Asks, and follows redirects, each of which has to obey all the rules again. */
async function follow(
  uri: string,
  download: Download,
  options: HttpSourceOptions,
): Promise<Dispatcher.ResponseData> {
  let url = parse(uri, options);
  const { origin } = url;
  for (let hops = 0; hops <= maxRedirects; hops++) {
    const answer = await request(url, {
      dispatcher: options.dispatcher,
      method: 'GET',
      headers: headersFor(url.origin === origin, download, options),
    });
    const location = header(answer, 'location');
    if (answer.statusCode === 200 || answer.statusCode === 206) return answer;
    await answer.body.dump({ limit: 64 * 1024 }).catch(() => undefined);
    if (location !== undefined && [301, 302, 303, 307, 308].includes(answer.statusCode)) {
      url = parse(resolve(location, url), options);
      continue;
    }
    if (answer.statusCode === 416 && download.into.bytes > 0) {
      // The content has become shorter than what is here.
      await download.into.restart();
      throw new Transient('the content has changed while it was fetched');
    }
    throw refusedStatus(url, answer.statusCode);
  }
  throw new Failure('ArtifactRefused', `${plain(uri)} redirects more than ${maxRedirects} times`);
}

function headersFor(
  sameOrigin: boolean,
  download: Download,
  options: HttpSourceOptions,
): Record<string, string> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity', 'user-agent': 'sluice-fetch' };
  if (sameOrigin && options.authorization !== undefined) headers['authorization'] = options.authorization;
  if (download.into.bytes > 0 && download.validator !== undefined) {
    headers['range'] = `bytes=${download.into.bytes}-`;
    headers['if-range'] = download.validator;
  }
  return headers;
}

function resolve(location: string, base: URL): string {
  try {
    return new URL(location, base).href;
  } catch {
    throw new Failure('ArtifactRefused', `${plain(base.href)} redirects to an invalid URI`);
  }
}

/** @throws Failure ArtifactRefused */
function parse(uri: string, options: HttpSourceOptions): URL {
  const url = URL.parse(uri);
  if (url === null)
    throw new Failure('ArtifactRefused', `${JSON.stringify(uri.slice(0, 200))} is not a valid URI`);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && options.http)) {
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

function refusedStatus(url: URL, status: number): Error {
  const text = `${plain(url.href)} answered with status ${status}`;
  if (status === 401 || status === 403 || status === 407) return new Failure('ArtifactUnauthorized', text);
  if (status === 404 || status === 410) return new Failure('ArtifactNotFound', text);
  if (status === 408 || status === 429 || status >= 500) return new Transient(text);
  return new Failure('ArtifactRefused', text);
}

/** Without the query: pre-signed URIs carry secrets there. */
function plain(uri: string): string {
  const url = URL.parse(uri);
  return url === null ? 'the URI' : `${url.protocol}//${url.host}${url.pathname}`;
}

function header(answer: Dispatcher.ResponseData, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function translate(uri: string, thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof AddressRefused)
    return new Failure('ArtifactRefused', thrown.message, { cause: thrown });
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (error.cause instanceof AddressRefused) return translate(uri, error.cause);
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : '';
  const why =
    error instanceof Transient ? error.message : `${plain(uri)} cannot be reached: ${code}${error.message}`;
  return new Failure('ArtifactUnreachable', why, { cause: thrown });
}
