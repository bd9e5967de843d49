/** The pods bound to a node: one worker each, from the moment they appear until nothing of them is left. */
import { refusal } from './admission.ts';
import type { NodeContext } from './context.ts';
import { memoryOfGroups } from './memory.ts';
import type { Pod } from './pod.ts';
import { removePod } from './pod-removal.ts';
import { PodWorker } from './pod-worker.ts';
import type { View } from './ports.ts';

export class Pods {
  readonly #node: NodeContext;
  readonly #workers = new Map<string, PodWorker>();
  /** Pods that ended in an earlier life of the node, and are being deleted. */
  readonly #removing = new Set<string>();
  #unsubscribe: (() => void) | undefined;
  #cancelMeasure: (() => void) | undefined;
  #stopped = false;

  constructor(node: NodeContext) {
    this.#node = node;
  }

  start(view: View<Pod>): void {
    this.#unsubscribe = view.subscribe(({ now, before }) => {
      if (this.#stopped) return;
      if (before && before.metadata.uid !== now?.metadata.uid) this.#workers.get(before.metadata.uid)?.gone();
      if (now) this.#see(now);
    });
    this.#measureLater();
  }

  /** Ends every process, and resolves when all are gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#cancelMeasure?.();
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()));
  }

  find(namespace: string, name: string): PodWorker | undefined {
    const workers = [...this.#workers.values()].filter(
      ({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name,
    );
    return workers.at(-1);
  }

  list(): readonly Pod[] {
    return [...this.#workers.values()].map(({ pod }) => pod);
  }

  #see(pod: Pod): void {
    const { uid } = pod.metadata;
    const worker = this.#workers.get(uid);
    if (worker) return worker.update(pod);
    const { phase } = pod.status ?? {};
    if (phase === 'Succeeded' || phase === 'Failed') {
      // It ended before this process began; all that is left to do is to let it be deleted.
      if (pod.metadata.deletionTimestamp !== undefined) void this.#remove(pod);
      return;
    }
    const others = [...this.#workers.values()]
      .filter((other) => other.holdsResources)
      .map((other) => other.pod);
    const rejection = refusal(pod, others, this.#node.allocatable);
    this.#workers.set(uid, new PodWorker(this.#node, pod, rejection, () => this.#workers.delete(uid)));
  }

  async #remove(pod: Pod): Promise<void> {
    const { uid } = pod.metadata;
    if (this.#removing.has(uid)) return;
    this.#removing.add(uid);
    await removePod(pod, this.#node, () => this.#stopped);
    this.#removing.delete(uid);
  }

  #measureLater(): void {
    this.#cancelMeasure = this.#node.clock.after(this.#node.policy.memoryPeriod, () => {
      this.#measure();
      if (!this.#stopped) this.#measureLater();
    });
  }

  #measure(): void {
    const limits = [...this.#workers.values()].flatMap((worker) => worker.limits());
    const used = memoryOfGroups(new Set(limits.map(({ group }) => group)));
    for (const { group, bytes, exceed } of limits) if ((used.get(group) ?? 0) > bytes) exceed();
  }
}
