/** Why preemption comes to nothing: the pod may not preempt, or no node would be helped (one reason each). */
export type Failure =
  | { readonly kind: 'ineligible'; readonly reason: string }
  | { readonly kind: 'fruitless'; readonly reasons: readonly string[] };

/** How many nodes said what, in Kubernetes' words: `0/3 nodes are available: 2 Insufficient cpu, 1 Too many pods.` */
export function tally(nodes: number, reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  const head = `0/${nodes} nodes are available`;
  return parts.length === 0 ? `${head}.` : `${head}: ${parts.join(', ')}.`;
}

/**
 * The message of a pod that fits nowhere. `preemption` says why no room can be made for it; `undefined`: it is being made.
 */
export function unschedulableMessage(
  nodes: number,
  reasons: readonly string[],
  preemption: Failure | undefined,
): string {
  if (nodes === 0) return 'no nodes available to schedule pods';
  if (preemption === undefined) return tally(nodes, reasons);
  const outcome = preemption.kind === 'ineligible' ? preemption.reason : tally(nodes, preemption.reasons);
  return `${tally(nodes, reasons)} no new claims to deallocate, preemption: ${outcome}`;
}
