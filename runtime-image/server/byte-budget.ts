/**
 * Bounds the bytes of all requests that are being received, waited for and answered at one time. Without it enough
 * large requests at once would end the process for want of memory, and with it all the small ones.
 */
import { InferenceError } from './protocol/errors.ts';

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
    return {
      add: (more) => {
        if (this.#held + more > this.#limit) {
          throw new InferenceError(
            'Exhausted',
            `the requests of the moment hold ${this.#held} bytes, and ${more} more are over the limit of ${this.#limit}`,
          );
        }
        this.#held += more;
        bytes += more;
      },
      release: () => {
        this.#held -= bytes;
        bytes = 0;
      },
    };
  }
}

/** What one request holds. */
export interface ByteShare {
  /** @throws InferenceError Exhausted when there is no room */
  add(bytes: number): void;
  /** Gives everything back; again does nothing. */
  release(): void;
}
