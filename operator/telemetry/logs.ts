/**
 * telemetry: logs, metrics and the HTTP server that shows them. It holds no logic of the operator; it is told what
 * happened by hooks that the composition root connects.
 *
 * This file: one JSON object on a line. What is logged during a visit carries which controller, which object and
 * which visit it was, without anybody passing that along.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import winston from 'winston';

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

interface Visit {
  readonly controller: string;
  /** `namespace/name` or `name`. */
  readonly object: string;
  readonly reconcileID: string;
}

const visits = new AsyncLocalStorage<Visit>();

const withVisit = winston.format((info) => Object.assign(info, visits.getStore()));

/** @param stream where lines go; absent: standard output. */
export function createLogger(level: LogLevel, stream?: NodeJS.WritableStream): winston.Logger {
  return winston.createLogger({
    level,
    format: winston.format.combine(
      winston.format.timestamp(),
      winston.format.errors({ stack: true }),
      withVisit(),
      winston.format.json(),
    ),
    transports: [
      stream === undefined ? new winston.transports.Console() : new winston.transports.Stream({ stream }),
    ],
  });
}

/** Runs one visit of a controller, so that its log lines can be told from those of others. */
export function inVisit<T>(controller: string, object: string, run: () => Promise<T>): Promise<T> {
  return visits.run({ controller, object, reconcileID: randomUUID() }, run);
}

/** An error for a log line: its message and those of its causes. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause === undefined) return error.message;
  const cause = messageOf(error.cause);
  return error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}
