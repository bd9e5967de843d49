/** How many nodes said what, in Kubernetes' words: `0/3 nodes are available: 2 Insufficient cpu, 1 Too many pods.` */
export function tally(nodes: number, reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  const head = `0/${nodes} nodes are available`;
  return parts.length === 0 ? `${head}.` : `${head}: ${parts.join(', ')}.`;
}

/** The message of a pod that fits nowhere, with what came of trying to make room for it. */
export function unschedulableMessage(
  nodes: number,
  reasons: readonly string[],
  preemption: readonly string[],
): string {
  if (nodes === 0) return 'no nodes available to schedule pods';
  const [only] = preemption;
  const outcome = only?.startsWith('not eligible') === true ? only : tally(nodes, preemption);
  return `${tally(nodes, reasons)} preemption: ${outcome}`;
}
