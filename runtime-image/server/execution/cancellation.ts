/**
 * Says that nobody waits for an answer any more. An AbortSignal would do, at ten times the price: one is made for
 * every request, and making its reason alone costs more than decoding a small message.
 */
export class Cancellation {
  #cancelled = false;
  #listener: (() => void) | undefined;

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Calling it again, or after the answer, does nothing. */
  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#listener?.();
  }

  /** The one listener; undefined once there is nothing to cancel. */
  onCancel(listener: (() => void) | undefined): void {
    this.#listener = listener;
  }
}
