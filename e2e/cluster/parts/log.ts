import type { Logger } from '../node/ports.ts';

type Level = keyof Logger;

const levels: readonly Level[] = ['debug', 'info', 'warn', 'error'];

/** Lines of JSON on standard output, from `least` upwards. */
export function jsonLogger(component: string, least: Level = 'info'): Logger {
  const write = (level: Level, message: string, details?: object): void => {
    if (levels.indexOf(level) < levels.indexOf(least)) return;
    const line = { time: new Date().toISOString(), level, component, message, ...details };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  };
  return {
    debug: (message, details) => write('debug', message, details),
    info: (message, details) => write('info', message, details),
    warn: (message, details) => write('warn', message, details),
    error: (message, details) => write('error', message, details),
  };
}
