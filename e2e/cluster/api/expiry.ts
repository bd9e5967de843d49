/** Events are kept for an hour after they last changed, so that memory stays bounded. */
import { type ApiObject, asString, at } from './json.ts';
import type { Store } from './store/store.ts';

const keepMs = 60 * 60 * 1000;
const checkEveryMs = 60 * 1000;

function lastChange(event: ApiObject): number {
  const times = [
    asString(event.metadata.creationTimestamp),
    asString(event['lastTimestamp']),
    asString(event['eventTime']),
    asString(at(event, 'series', 'lastObservedTime')),
  ];
  return Math.max(...times.map((time) => (time ? Date.parse(time) : 0)));
}

/** Deletes the events that are older than an hour at `now`, in milliseconds. */
export function expireEvents(store: Store, now: number): void {
  const events = store.bucket('/events');
  for (const [key, event] of [...events.items]) {
    if (now - lastChange(event) > keepMs) events.delete(key);
  }
}

/** Expires events from time to time. Returns the way to stop. */
export function keepEventsShort(store: Store): () => void {
  const timer = setInterval(() => expireEvents(store, Date.now()), checkEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}
