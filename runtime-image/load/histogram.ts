/**
 * Latencies in constant memory: buckets grow by 1 %, from 10 microseconds to 11 minutes, so that a quantile is off by
 * less than 1 %, however many values were recorded.
 */
const smallest = 0.01;
const growth = Math.log(1.01);
const buckets = Math.ceil(Math.log(660_000 / smallest) / growth) + 2;

export class Histogram {
  readonly #counts = new Float64Array(buckets);
  #count = 0;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  /** The largest value recorded, exactly; 0 when there is none. */
  get max(): number {
    return this.#max;
  }

  /** Records one value in milliseconds. */
  record(ms: number): void {
    const index = ms <= smallest ? 0 : Math.min(buckets - 1, Math.ceil(Math.log(ms / smallest) / growth));
    this.#counts[index]! += 1;
    this.#count += 1;
    if (ms > this.#max) this.#max = ms;
  }

  /** The value, in milliseconds, that a share `q` (0..1) of all values do not exceed; undefined when empty. */
  quantile(q: number): number | undefined {
    if (this.#count === 0) return undefined;
    const rank = Math.max(1, Math.ceil(q * this.#count));
    let seen = 0;
    for (let index = 0; index < buckets; index += 1) {
      seen += this.#counts[index]!;
      // The upper edge of the bucket, never beyond what was seen.
      if (seen >= rank) return Math.min(smallest * Math.exp(index * growth), this.#max);
    }
    return this.#max;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#max = 0;
  }
}
