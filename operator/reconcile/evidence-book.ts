import type { Model } from '../api/generated/model.ts';
import {
  difference,
  noTotals,
  type ServerCounts,
  type ServerTotals,
  type Totals,
  type Traffic,
} from '../api/traffic.ts';
import type { Counts } from '../decide/analysis/e-process.ts';
import { type AnalysisPolicy, type Evidence, freshEvidence, weigh } from '../decide/analysis/evidence.ts';

/** A comparison: it begins anew when any of these changes. */
export interface Comparison {
  readonly stable: string;
  readonly candidate: string;
  /** Tells a candidate from the same version tried before. */
  readonly startedAt: string;
}

/** What is compared: the candidate with stable, from its first step on. */
export function comparisonOf(model: Model | undefined): Comparison | undefined {
  const { stable, candidate } = model?.status ?? {};
  if (stable === undefined || candidate === undefined || candidate.step === 0) return undefined;
  return { stable, candidate: candidate.version, startedAt: candidate.startedAt };
}

/** What was counted until now, by routers and by the servers themselves. */
export interface Counted {
  readonly traffic: Traffic;
  readonly servers: ServerCounts;
}

interface Page {
  readonly comparison: string;
  readonly read: Counted;
  readonly evidence: Evidence;
}

/**
 * Evidence for and against candidates, by key of their model. It lives in memory: an operator that starts anew
 * begins to look anew, which delays a verdict and never makes one up.
 */
export class EvidenceBook {
  readonly #pages = new Map<string, Page>();

  /** Takes in what was counted since the last reading; without a comparison nothing is kept. */
  read(key: string, comparison: Comparison | undefined, read: Counted, policy: AnalysisPolicy): Evidence {
    if (comparison === undefined) {
      this.#pages.delete(key);
      return freshEvidence;
    }
    const name = JSON.stringify(comparison);
    const page = this.#pages.get(key);
    const known = page?.comparison === name ? page : undefined;
    const counted = (version: string): Totals =>
      known === undefined
        ? noTotals
        : difference(
            known.read.traffic.versions.get(version) ?? noTotals,
            read.traffic.versions.get(version) ?? noTotals,
          );
    const served = (version: string) =>
      servedSince(known?.read.servers.get(version), read.servers.get(version));
    const block = {
      stable: counted(comparison.stable),
      candidate: counted(comparison.candidate),
      servers: { stable: served(comparison.stable), candidate: served(comparison.candidate) },
    };
    const evidence = weigh(known?.evidence ?? freshEvidence, block, read.traffic.boundsMs, policy);
    this.#pages.set(key, { comparison: name, read, evidence });
    return evidence;
  }

  forget(key: string): void {
    this.#pages.delete(key);
  }
}

/** What servers counted between two readings; the first reading, and one that went back, only say where they stand. */
function servedSince(before: ServerTotals | undefined, now: ServerTotals | undefined): Counts {
  if (before === undefined || now === undefined || now.requests < before.requests)
    return { hits: 0, total: 0 };
  const total = now.requests - before.requests;
  return { hits: Math.min(total, Math.max(0, now.failures - before.failures)), total };
}
