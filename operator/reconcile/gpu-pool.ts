/** A pool: gather, decide, report. It has no children. */

import { isTerminating } from '../api/kubernetes.ts';
import { decidePool } from '../decide/pool.ts';
import { byNode } from './indexes.ts';
import type { Ports } from './ports.ts';

/** Reconciles the GPUPool of a key `name`. */
export function poolReconciler({ views, writer, now }: Ports): (key: string) => Promise<object> {
  return async (key) => {
    const pool = views.pools.get(key);
    if (pool === undefined || isTerminating(pool)) return {};
    const podsOn = (node: string) => views.pods.by(byNode, node);
    await writer.writeStatus(pool, decidePool({ pool, nodes: views.nodes.list(), podsOn }, now()));
    return {};
  };
}
