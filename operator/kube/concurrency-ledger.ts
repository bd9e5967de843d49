/** How many requests of each model were in flight at once of late, over all routers. */
import type { Report } from './router-streams.ts';

/** Peaks are kept for windows of this length, and for so many of them. */
const windowMs = 5_000;
const windows = 6;

interface Peak {
  readonly window: number;
  readonly most: number;
}

export class ConcurrencyLedger {
  /** In flight at each router pod, by `namespace/pod` and then by uid. */
  readonly #now = new Map<string, ReadonlyMap<string, number>>();
  /** By `namespace/uid`, latest last. */
  readonly #peaks = new Map<string, Peak[]>();

  /** @param now milliseconds */
  take(namespace: string, key: string, { models }: Report, now: number): void {
    const window = Math.floor(now / windowMs);
    const counted = models.map(({ uid, versions }): [string, number] => [
      uid,
      versions.reduce((sum, version) => sum + version.inFlight, 0),
    ]);
    this.#now.set(key, new Map(counted));
    for (const [uid] of counted) this.#note(namespace, uid, window);
    this.#forget(window);
  }

  /** The pod is no router any more. */
  close(key: string): void {
    this.#now.delete(key);
  }

  /** The most that were in flight at once within the last half minute; undefined while no router has said. */
  peak(namespace: string, uid: string, now: number): number | undefined {
    const oldest = Math.floor(now / windowMs) - windows;
    const recent = (this.#peaks.get(`${namespace}/${uid}`) ?? []).filter(({ window }) => window > oldest);
    return recent.length === 0 ? undefined : Math.max(...recent.map(({ most }) => most));
  }

  #note(namespace: string, uid: string, window: number): void {
    const prefix = `${namespace}/`;
    let total = 0;
    for (const [key, inFlight] of this.#now) if (key.startsWith(prefix)) total += inFlight.get(uid) ?? 0;
    const id = `${namespace}/${uid}`;
    const peaks = this.#peaks.get(id) ?? [];
    const last = peaks.at(-1);
    if (last?.window === window) peaks[peaks.length - 1] = { window, most: Math.max(last.most, total) };
    else peaks.push({ window, most: total });
    this.#peaks.set(id, peaks.slice(-windows));
  }

  #forget(window: number): void {
    for (const [id, peaks] of this.#peaks)
      if (peaks.at(-1)!.window <= window - windows) this.#peaks.delete(id);
  }
}
