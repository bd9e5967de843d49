/** What all routers have counted, added up so that it only grows: routers come, go and begin again from zero. */
import { difference, noTotals, noTraffic, plus, type Totals, type Traffic } from '../api/traffic.ts';
import type { Report } from './router-streams.ts';

export class TrafficLedger {
  /** By `namespace/uid`. */
  readonly #totals = new Map<string, { boundsMs: readonly number[]; versions: Map<string, Totals> }>();
  /** The last report of each router pod, by `namespace/pod`. */
  readonly #last = new Map<string, Report>();

  take(namespace: string, key: string, report: Report): void {
    const last = this.#last.get(key);
    const before = last?.epoch === report.epoch ? last : undefined;
    this.#last.set(key, report);
    for (const { uid, versions } of report.models) {
      const id = `${namespace}/${uid}`;
      const known = this.#totals.get(id)?.versions ?? new Map<string, Totals>();
      const counted = before?.models.find((model) => model.uid === uid)?.versions;
      for (const version of versions) {
        const former = counted?.find((entry) => entry.version === version.version) ?? noTotals;
        const total = known.get(version.version) ?? noTotals;
        known.set(version.version, plus(total, difference(former, version)));
      }
      this.#totals.set(id, { boundsMs: report.latencyBoundsMs, versions: known });
    }
    this.#forgetModels(namespace);
  }

  /** The pod is gone; what it counted stays. */
  close(key: string): void {
    this.#last.delete(key);
  }

  /** A copy, which later reports do not change. */
  of(namespace: string, uid: string): Traffic {
    const found = this.#totals.get(`${namespace}/${uid}`);
    return found === undefined ? noTraffic : { boundsMs: found.boundsMs, versions: new Map(found.versions) };
  }

  /** Models that no router of the namespace speaks of any more are gone. */
  #forgetModels(namespace: string): void {
    const prefix = `${namespace}/`;
    const reports = [...this.#last].filter(([key]) => key.startsWith(prefix)).map(([, report]) => report);
    for (const id of this.#totals.keys()) {
      if (!id.startsWith(prefix)) continue;
      const uid = id.slice(prefix.length);
      if (!reports.some(({ models }) => models.some((model) => model.uid === uid))) this.#totals.delete(id);
    }
  }
}
