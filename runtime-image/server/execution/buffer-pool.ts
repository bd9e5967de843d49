/**
 * Buffers that carry inputs to a worker and come back empty. Making one for every request would cost more than
 * filling it: memory outside of the heap is what the garbage collector is driven by.
 */

/** Smaller ones are cheaper to make than to keep, larger ones too rare. */
const smallest = 4096;
const largest = 16 * 2 ** 20;
const keptPerSize = 4;

export class BufferPool {
  readonly #free = new Map<number, ArrayBuffer[]>();

  /** A buffer of at least so many bytes, with anything in it. */
  take(bytes: number): ArrayBuffer {
    const size = sizeOf(bytes);
    const kept = this.#free.get(size)?.pop();
    // Not zeroed: whoever takes it writes what is read.
    return kept ?? (Buffer.allocUnsafeSlow(size).buffer as ArrayBuffer);
  }

  /** Takes a buffer back, if it is of use. */
  give(buffer: ArrayBuffer): void {
    const size = buffer.byteLength;
    if (size < smallest || size > largest || size !== sizeOf(size)) return;
    const kept = this.#free.get(size) ?? [];
    if (kept.length < keptPerSize) kept.push(buffer);
    this.#free.set(size, kept);
  }
}

/** Powers of two where buffers are kept, so that they fit other requests too. */
function sizeOf(bytes: number): number {
  return bytes < smallest || bytes > largest ? bytes : 2 ** Math.ceil(Math.log2(bytes));
}
