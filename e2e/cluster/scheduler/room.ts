import type { Node, Pod } from '../controllers/machinery/kinds.ts';
import { type Amounts, demandOf, minus, plus, supplyOf } from './demand.ts';

/** A node with the pods on it, as one scheduling pass sees it. */
export class Room {
  readonly node: Readonly<Node>;
  readonly supply: Amounts;
  readonly #pods = new Set<Readonly<Pod>>();
  #used: Amounts = {};

  constructor(node: Readonly<Node>) {
    this.node = node;
    this.supply = supplyOf(node);
  }

  get name(): string {
    return this.node.metadata.name ?? '';
  }

  get used(): Amounts {
    return this.#used;
  }

  get pods(): ReadonlySet<Readonly<Pod>> {
    return this.#pods;
  }

  add(pod: Readonly<Pod>): void {
    this.#pods.add(pod);
    this.#used = plus(this.#used, demandOf(pod));
  }

  remove(pod: Readonly<Pod>): void {
    if (this.#pods.delete(pod)) this.#used = minus(this.#used, demandOf(pod));
  }

  label(key: string): string | undefined {
    return this.node.metadata.labels?.[key];
  }
}
