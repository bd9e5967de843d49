/** Structured logs of every process in the image: one JSON object on a line, on stdout, with milliseconds. */
import winston from 'winston';
import { env } from '#contract';

export type Logger = winston.Logger;

/** A logger that names the command it speaks for, and the model and version where the pod has them. */
export function createLogger(command: string): Logger {
  const about = Object.fromEntries(
    [
      ['model', process.env[env.model]],
      ['version', process.env[env.version]],
      ['pod', process.env[env.podName]],
    ].filter(([, value]) => value !== undefined && value !== ''),
  );
  return winston.createLogger({
    level: process.env[env.logLevel] || 'info',
    levels: winston.config.npm.levels,
    defaultMeta: { command, ...about },
    format: winston.format.combine(
      winston.format.timestamp(),
      winston.format.errors({ stack: true }),
      winston.format.json(),
    ),
    transports: [new winston.transports.Console()],
  });
}
