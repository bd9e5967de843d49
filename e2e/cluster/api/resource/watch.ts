/** Watches: a stream of JSON lines, from the beginning or from a revision, with bookmarks. */
import type { ServerResponse } from 'node:http';
import { field, invalid, StatusError } from '../errors.ts';
import type { ApiObject, JsonObject } from '../json.ts';
import { apiVersion, present } from '../kinds/kind.ts';
import type { Matcher } from '../store/selectors.ts';
import type { Change, ChangeType } from '../store/store.ts';
import type { Call } from './call.ts';
import { matcherOf, prefixOf } from './reads.ts';
import { type Form, formatEvent } from './wire.ts';
import { bucketOf } from './writes.ts';

const bookmarkInterval = 60_000;
/** A client that lets this much pile up is cut off, so that it cannot exhaust the server's memory. */
const backlogLimit = 64 * 1024 * 1024;

/** A running watch, as fault injection sees it. */
export interface WatchHandle {
  readonly user: string;
  readonly group: string;
  readonly resource: string;
  readonly namespace: string | undefined;
  /** Ends the stream; `abrupt` cuts the connection in the middle. */
  close(abrupt: boolean): void;
  /** Holds events back until `thaw`. */
  freeze(): void;
  thaw(): void;
}

export class Watches {
  readonly running = new Set<WatchHandle>();
}

function change(
  type: ChangeType,
  object: ApiObject,
  before: boolean,
  after: boolean,
): ChangeType | undefined {
  if (type === 'DELETED') return before ? 'DELETED' : undefined;
  if (after) return before ? 'MODIFIED' : 'ADDED';
  return before && object ? 'DELETED' : undefined;
}

export function serveWatch(call: Call, response: ServerResponse, form: Form, watches: Watches): void {
  const { query, kind } = call;
  const store = call.core.store;
  const bucket = bucketOf(call);
  const matches: Matcher = matcherOf(call);
  const prefix = prefixOf(call);
  const bookmarks = query.get('allowWatchBookmarks') === 'true' || query.get('allowWatchBookmarks') === '1';
  const initial = query.get('sendInitialEvents') === 'true';
  const asked = query.get('resourceVersion') ?? '';
  if (initial && query.get('resourceVersionMatch') !== 'NotOlderThan') {
    const why = 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
    throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
      field.forbidden('resourceVersionMatch', why),
    ]);
  }
  const start = asked ? store.parse(asked) : 0;
  const fromBeginning = query.get('sendInitialEvents') === null ? start === 0 : initial;
  const timeout = Number(query.get('timeoutSeconds') ?? 0) || 1800 + Math.random() * 1800;

  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
  response.flushHeaders();
  let first = true;
  let frozen: string[] | undefined;
  const write = (line: string): void => {
    if (frozen) {
      frozen.push(line);
      return;
    }
    // Between the end of the answer and that of its connection changes still arrive.
    if (response.writableEnded || response.destroyed) return;
    response.write(line);
    if (response.writableLength > backlogLimit) response.destroy();
  };
  const send = (type: string, object: ApiObject): void => {
    write(`{"type":"${type}","object":${formatEvent(kind, present(kind, object), form, first)}}\n`);
    first = false;
  };
  const bookmark = (annotations?: JsonObject): void => {
    const metadata: JsonObject = { resourceVersion: String(store.revision) };
    if (annotations) metadata['annotations'] = annotations;
    const object = { kind: kind.kind, apiVersion: apiVersion(kind), metadata } as unknown as ApiObject;
    if (form.type === 'object') write(`{"type":"BOOKMARK","object":${JSON.stringify(object)}}\n`);
    else write(`{"type":"BOOKMARK","object":${formatEvent(kind, object, form, first)}}\n`);
  };
  const deliver = ({ type, object, previous, key }: Change): void => {
    if (!key.startsWith(prefix)) return;
    const kept = change(
      type,
      object,
      previous !== undefined && matches(previous),
      type !== 'DELETED' && matches(object),
    );
    if (kept) send(kept, kept === 'DELETED' && type === 'MODIFIED' ? lastSeen(previous!, object) : object);
  };

  let unsubscribe = (): void => {};
  try {
    if (fromBeginning) {
      for (const object of bucket.list(prefix)) if (matches(object)) send('ADDED', object);
      if (initial && bookmarks) bookmark({ 'k8s.io/initial-events-end': 'true' });
    } else {
      for (const missed of start === 0 ? [] : bucket.since(start)) deliver(missed);
    }
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    response.end(`{"type":"ERROR","object":${JSON.stringify(error.toStatus())}}\n`);
    return;
  }
  unsubscribe = bucket.subscribe(deliver);
  const handle: WatchHandle = {
    user: call.user.name,
    group: kind.group,
    resource: kind.resource,
    namespace: call.namespace,
    close: (abrupt) => (abrupt ? response.destroy() : response.end()),
    freeze: () => {
      frozen ??= [];
    },
    thaw: () => {
      const held = frozen ?? [];
      frozen = undefined;
      for (const line of held) write(line);
    },
  };
  watches.running.add(handle);
  const beat = bookmarks ? setInterval(() => bookmark(), bookmarkInterval) : undefined;
  const end = setTimeout(() => {
    if (bookmarks && !frozen) bookmark();
    response.end();
  }, timeout * 1000);
  response.on('close', () => {
    unsubscribe();
    clearInterval(beat);
    clearTimeout(end);
    watches.running.delete(handle);
  });
}

/** An object that left the selection is reported as it last was in it, at the revision of its leaving. */
function lastSeen(previous: ApiObject, object: ApiObject): ApiObject {
  return {
    ...previous,
    metadata: { ...previous.metadata, resourceVersion: object.metadata.resourceVersion! },
  };
}
