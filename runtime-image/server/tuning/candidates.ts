/** What is tried when a server is tuned, and which of the measured is the best. Pure. */

/** How a server may run its model. */
export interface Shape {
  readonly workers: number;
  readonly threads: number;
  /** Rows of one computation; 1 is no batching. */
  readonly batchSize: number;
}

export interface Measured extends Shape {
  readonly rowsPerSecond: number;
  /** Milliseconds, from asking the engine to its answer, under as much load as it takes. */
  readonly p50: number;
  readonly p99: number;
}

export interface Room {
  /** Cores, which may be a fraction. */
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly modelBytes: number;
  /** GPUs; 0 means that the CPU computes. */
  readonly gpus: number;
  /** Workers that a process can have. */
  readonly mostWorkers: number;
}

export const batchSizes: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];

/** Of the weights of a model, what a worker may come to hold: the file, the session's own layout, and activations. */
const copies = 3;
/** For everything else, of the memory that there is. */
const memoryShare = 0.75;

/** Pairs of workers and threads that use what there is: few workers of many threads, many of few, and all between. */
export function splits({
  cpus,
  memoryBytes,
  modelBytes,
  gpus,
  mostWorkers,
}: Room): readonly Pick<Shape, 'workers' | 'threads'>[] {
  const fits = Math.max(1, Math.floor((memoryBytes * memoryShare) / Math.max(1, modelBytes * copies)));
  if (gpus > 0) {
    const least = Math.min(gpus, mostWorkers);
    const counts = [least, 2 * gpus].filter(
      (workers) => workers === least || workers <= Math.min(fits, mostWorkers),
    );
    return counts.map((workers) => ({ workers, threads: 1 }));
  }
  const cores = Math.max(1, Math.floor(cpus));
  const found: { workers: number; threads: number }[] = [];
  for (let workers = 1; workers <= Math.min(cores, fits, mostWorkers); workers *= 2) {
    found.push({ workers, threads: Math.floor(cores / workers) });
  }
  return found;
}

/** Milliseconds that a request may wait for others: a part of the target, and never more than is of use. */
export function delayFor(targetMs: number): number {
  return Math.max(1, Math.min(5, Math.floor(targetMs / 10)));
}

/** So much more throughput is worth more memory, or waiting longer. */
const worthwhile = 1.05;

/**
 * The measured shape with the most rows a second among those whose p99 is within the target; of about equal ones, that
 * with fewer workers and the smaller batch. When none is within it, the one with the lowest p99.
 * @returns undefined when nothing was measured
 */
export function best(
  measured: readonly Measured[],
  targetMs: number,
): { readonly shape: Measured; readonly met: boolean } | undefined {
  const within = measured.filter(({ p99 }) => p99 <= targetMs);
  if (within.length === 0) {
    const [quickest] = [...measured].sort((a, b) => a.p99 - b.p99);
    return quickest === undefined ? undefined : { shape: quickest, met: false };
  }
  const most = Math.max(...within.map(({ rowsPerSecond }) => rowsPerSecond));
  const [shape] = within
    .filter(({ rowsPerSecond }) => rowsPerSecond * worthwhile >= most)
    .sort((a, b) => a.workers - b.workers || a.batchSize - b.batchSize || a.threads - b.threads);
  return shape === undefined ? undefined : { shape, met: true };
}
