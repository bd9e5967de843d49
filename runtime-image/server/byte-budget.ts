/**
 * Bounds the bytes of all requests that are being received, waited for and answered at one time. Without it enough
 * large requests at once would end the process for want of memory, and with it all the small ones.
 */
import { InferenceError } from './protocol/errors.ts';

/** What a chunk takes besides its bytes: a view, and memory of its own when it came in a packet of its own. */
const chunkOverhead = 256;

export class ByteBudget {
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get held(): number {
    return this.#held;
  }

  /** A share that is empty yet. */
  share(): ByteShare {
    let bytes = 0;
    let released = false;
    const add = (more: number) => {
      if (released) throw new InferenceError('Cancelled', 'the client ended the request before its answer');
      if (this.#held + more > this.#limit) {
        throw new InferenceError(
          'Exhausted',
          `the requests of the moment hold ${this.#held} bytes, and ${more} more are over the limit of ${this.#limit}`,
        );
      }
      this.#held += more;
      bytes += more;
    };
    return {
      add,
      addChunk: (more) => add(more + chunkOverhead),
      atLeast: (total) => add(Math.max(0, total - bytes)),
      release: () => {
        this.#held -= bytes;
        bytes = 0;
        released = true;
      },
    };
  }
}

/** What one request holds. */
export interface ByteShare {
  /** @throws InferenceError Exhausted when there is no room; Cancelled when it has been given back */
  add(bytes: number): void;
  /** Adds what is kept as one of many pieces, which may be small. @throws as add does */
  addChunk(bytes: number): void;
  /**
   * For the answer: its memory takes the place of the request's, so the larger of the two counts.
   * @throws as add does
   */
  atLeast(bytes: number): void;
  /** Gives everything back, for good: who is still at work for the request learns it when he adds. Again does nothing. */
  release(): void;
}
