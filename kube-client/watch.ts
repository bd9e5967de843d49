/** One watch: a long GET whose answer is a line of JSON per change. */
import type { KubeClient } from './client.ts';
import { KubeError, type KubeStatus } from './errors.ts';
import type { KubeObject } from './object.ts';
import { pathOf, type Resource } from './resources.ts';

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** Nothing changed up to this resource version. */
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject };

export interface WatchQuery {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Changes after this one are sent. */
  readonly resourceVersion: string;
  /** The server ends the watch after this time. */
  readonly timeoutSeconds: number;
  /** Silence, bookmarks included, after which the connection counts as dead. */
  readonly inactivityMs: number;
  readonly signal: AbortSignal;
}

/**
 * Changes in their order, until the server ends the watch.
 * @throws KubeError: what the server said, or `Network` when the connection broke or fell silent.
 */
export async function* watch<T>(
  client: KubeClient,
  r: Resource,
  q: WatchQuery,
): AsyncGenerator<WatchEvent<T>, void> {
  const path = pathOf(r, q.namespace);
  const silence = new AbortController();
  const signal = AbortSignal.any([q.signal, silence.signal]);
  const expire = () => silence.abort(new Error(`watch of ${path} was silent for ${q.inactivityMs} ms`));
  const timer = setTimeout(expire, q.inactivityMs);
  try {
    const response = await client.raw('GET', path, {
      query: {
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: q.resourceVersion,
        timeoutSeconds: q.timeoutSeconds,
        labelSelector: q.labelSelector,
        fieldSelector: q.fieldSelector,
      },
      signal,
      purpose: 'watch',
    });
    response.body.setEncoding('utf8');
    for await (const line of lines(response.body)) {
      timer.refresh();
      yield event<T>(line, path);
    }
  } catch (error) {
    if (silence.signal.aborted && !q.signal.aborted) throw KubeError.from(silence.signal.reason);
    throw KubeError.from(error);
  } finally {
    clearTimeout(timer);
  }
}

function event<T>(line: string, path: string): WatchEvent<T> {
  const parsed = JSON.parse(line) as { type: string; object: unknown };
  switch (parsed.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: parsed.type, object: parsed.object as T };
    case 'BOOKMARK':
      return { type: 'BOOKMARK', object: parsed.object as KubeObject };
    case 'ERROR':
      throw KubeError.fromStatus((parsed.object ?? {}) as KubeStatus, `watch ${path}`);
    default:
      throw new Error(`watch ${path} sent an event of unknown type ${JSON.stringify(parsed.type)}`);
  }
}

/** Whole lines of a text stream. What follows the last newline was cut off in transit and is dropped. */
async function* lines(chunks: AsyncIterable<string>): AsyncGenerator<string, void> {
  let parts: string[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      parts.push(chunk.slice(start, end));
      const line = parts.join('');
      parts = [];
      start = end + 1;
      if (line.trim() !== '') yield line;
    }
    if (start < chunk.length) parts.push(chunk.slice(start));
  }
}
