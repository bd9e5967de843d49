/**
 * What the routers of each namespace say together: requests since this ledger began, as numbers that only grow though
 * routers come, go and begin again from zero; and how many requests were in flight at once of late.
 */
import { difference, noTotals, noTraffic, plus, type Totals, type Traffic } from '../api/traffic.ts';
import type { ModelReport, Report } from './router-report.ts';

/** Peaks are kept for windows of this length, and for so many of them. */
const windowMs = 5_000;
const windows = 6;

interface Peak {
  readonly window: number;
  readonly most: number;
}

interface Router {
  readonly report: Report;
  /** Whether what it has in flight counts: nobody knows that of a router that says nothing. */
  readonly speaks: boolean;
}

interface Account {
  boundsMs: readonly number[];
  readonly versions: Map<string, Totals>;
  /** At all routers that speak. */
  inFlight: number;
  /** Latest last. */
  readonly peaks: Peak[];
  /** Routers whose last report names the model. */
  routers: number;
}

class Namespace {
  /** By pod. */
  readonly routers = new Map<string, Router>();
  /** By uid of the model. */
  readonly accounts = new Map<string, Account>();
  /** Routers that should report, and have not yet. */
  readonly awaited = new Set<string>();
  /** Whether there was a time when all had reported: before that, sums are of a part only. */
  complete = false;
}

export class RouterLedger {
  readonly #namespaces = new Map<string, Namespace>();

  /** From now on the router should report. */
  expect(namespace: string, pod: string): void {
    const known = this.#namespaces.get(namespace) ?? new Namespace();
    this.#namespaces.set(namespace, known);
    if (known.routers.get(pod)?.speaks !== true) known.awaited.add(pod);
  }

  /**
   * Takes a report. A router's first one only says where its counters stand: they reach back to times that nobody here
   * knows of, and to other tries of the same versions.
   * @param now milliseconds
   */
  take(namespace: string, pod: string, report: Report, now: number): void {
    const known = this.#namespaces.get(namespace) ?? new Namespace();
    this.#namespaces.set(namespace, known);
    const before = known.routers.get(pod);
    const former = new Map(before?.report.models.map((model) => [model.uid, model]));
    known.routers.set(pod, { report, speaks: true });
    for (const model of report.models) {
      const account = known.accounts.get(model.uid) ?? emptyAccount();
      known.accounts.set(model.uid, account);
      account.boundsMs = report.latencyBoundsMs;
      const counted = former.get(model.uid);
      if (counted === undefined) account.routers += 1;
      const from = before?.report.epoch === report.epoch ? counted : undefined;
      add(account.versions, model, before === undefined ? model : from);
      account.inFlight += inFlight(model) - (before?.speaks === true ? inFlight(counted) : 0);
      notePeak(account, Math.floor(now / windowMs));
    }
    const named = new Set(report.models.map(({ uid }) => uid));
    for (const [uid, model] of former)
      if (!named.has(uid)) leave(known, uid, before?.speaks === true ? model : undefined);
    known.awaited.delete(pod);
    known.complete ||= known.awaited.size === 0;
  }

  /** The router's stream has ended; what it counted stays, and goes on where it stopped when it speaks again. */
  silence(namespace: string, pod: string): void {
    const known = this.#namespaces.get(namespace);
    const router = known?.routers.get(pod);
    if (known === undefined || router?.speaks !== true) return;
    known.routers.set(pod, { ...router, speaks: false });
    for (const model of router.report.models) known.accounts.get(model.uid)!.inFlight -= inFlight(model);
  }

  /** No report is waited for any more: the router is not ready, or has been silent for long. */
  excuse(namespace: string, pod: string): void {
    this.silence(namespace, pod);
    const known = this.#namespaces.get(namespace);
    if (known === undefined || !known.awaited.delete(pod)) return;
    known.complete ||= known.awaited.size === 0 && known.routers.size > 0;
  }

  /** The pod is gone; what it counted stays where other routers name the model too. */
  forget(namespace: string, pod: string): void {
    this.excuse(namespace, pod);
    const known = this.#namespaces.get(namespace);
    if (known === undefined) return;
    for (const { uid } of known.routers.get(pod)?.report.models ?? []) leave(known, uid, undefined);
    known.routers.delete(pod);
    if (known.routers.size === 0 && known.awaited.size === 0) this.#namespaces.delete(namespace);
  }

  /** What has been counted of a model. A copy, which later reports do not change. */
  traffic(namespace: string, uid: string): Traffic {
    const found = this.#namespaces.get(namespace)?.accounts.get(uid);
    return found === undefined ? noTraffic : { boundsMs: found.boundsMs, versions: new Map(found.versions) };
  }

  /**
   * The most requests of a model that were in flight at once within the last half minute; undefined while not all
   * routers have said.
   * @param now milliseconds
   */
  peak(namespace: string, uid: string, now: number): number | undefined {
    const known = this.#namespaces.get(namespace);
    if (known?.complete !== true) return undefined;
    const oldest = Math.floor(now / windowMs) - windows;
    const recent = (known.accounts.get(uid)?.peaks ?? []).filter(({ window }) => window > oldest);
    return recent.length === 0 ? undefined : Math.max(...recent.map(({ most }) => most));
  }
}

const emptyAccount = (): Account => ({
  boundsMs: [],
  versions: new Map(),
  inFlight: 0,
  peaks: [],
  routers: 0,
});

const inFlight = (model: ModelReport | undefined): number =>
  (model?.versions ?? []).reduce((sum, version) => sum + version.inFlight, 0);

/** Adds what a router counted between two of its reports. */
function add(totals: Map<string, Totals>, now: ModelReport, before: ModelReport | undefined): void {
  const former = new Map(before?.versions.map((version) => [version.version, version]));
  for (const version of now.versions) {
    const counted = difference(former.get(version.version) ?? noTotals, version);
    totals.set(version.version, plus(totals.get(version.version) ?? noTotals, counted));
  }
}

function notePeak({ peaks, inFlight: total }: Account, window: number): void {
  const last = peaks.at(-1);
  if (last?.window === window) peaks[peaks.length - 1] = { window, most: Math.max(last.most, total) };
  else peaks.push({ window, most: total });
  if (peaks.length > windows) peaks.shift();
}

/** A router does not name a model any more; one that no router names is gone. `speaking`: what counts as in flight. */
function leave({ accounts }: Namespace, uid: string, speaking: ModelReport | undefined): void {
  const account = accounts.get(uid)!;
  account.inFlight -= inFlight(speaking);
  account.routers -= 1;
  if (account.routers === 0) accounts.delete(uid);
}
