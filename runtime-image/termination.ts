/**
 * Why a process of this image ends: one error class with a typed reason, and the one place that writes it where
 * the kubelet picks it up.
 */
import { writeFileSync } from 'node:fs';
import { env, type FailureReason, paths, type TerminationMessage } from '#contract';

/** The kubelet keeps 4096 bytes of a termination message; a cut one would no longer be JSON. */
const maxBytes = 4096;
/** What JSON adds around the text, with room to spare. */
const maxTextBytes = 3072;

/** A failure that ends the process and that a person (or the operator) can act on. */
export class Failure extends Error {
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Failure';
    this.reason = reason;
  }

  /** Anything that was thrown, as a failure; what is not one already is a fault of ours. */
  static from(thrown: unknown): Failure {
    if (thrown instanceof Failure) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new Failure('InternalError', message, { cause: thrown });
  }
}

/** One line of JSON of at most 4 KiB, whatever the message holds. */
export function renderTermination(message: TerminationMessage): string {
  if (message.ok) return JSON.stringify(message);
  let text = message.message;
  for (;;) {
    const line = JSON.stringify({ ...message, message: text });
    const bytes = Buffer.byteLength(line);
    if (bytes <= maxBytes) return line;
    // Escapes can make the JSON several times longer than the text, so cut until it fits.
    text = `${text.slice(0, Math.min(maxTextBytes, Math.floor(text.length * 0.8)))}…`;
  }
}

/** Leaves the message for the kubelet. Returns false where that is impossible (no container, no such file). */
export function writeTermination(message: TerminationMessage): boolean {
  try {
    writeFileSync(process.env[env.terminationLog] ?? paths.terminationLog, renderTermination(message));
    return true;
  } catch {
    return false;
  }
}
