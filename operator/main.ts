/**
 * The operator's process: configuration, signals and the way out. Everything else is in the rooms beside this file.
 *
 * Exit codes: 0 after a signal, 1 when it cannot go on (the lease is lost, something unforeseen happened), 2 when its
 * configuration is wrong.
 */
import type { Config } from './config.ts';
import { ConfigError, loadConfig, usage } from './config.ts';
import { Operator } from './operator.ts';
import { createLogger, messageOf } from './telemetry/logs.ts';

if (process.argv.includes('--help')) {
  console.log(usage());
} else {
  await main(configuration());
}

function configuration(): Config {
  try {
    return loadConfig(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(`${error.message}\n--help explains every flag.`);
    process.exit(2);
  }
}

async function main(config: Config): Promise<void> {
  const logger = createLogger(config.logLevel);
  const crash = (why: string, error: unknown): never => {
    // Written at once and not through the logger, whose stream may not be flushed any more.
    const stack = error instanceof Error ? error.stack : undefined;
    const line = {
      level: 'error',
      message: `${why}: ${messageOf(error)}`,
      stack,
      timestamp: new Date().toISOString(),
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    process.exit(1);
  };
  process.on('uncaughtException', (error) => crash('uncaught exception', error));
  process.on('unhandledRejection', (error) => crash('unhandled rejection', error));

  let operator: Operator;
  try {
    operator = new Operator(config, logger);
  } catch (error) {
    console.error(messageOf(error));
    process.exit(2);
  }
  operator.failed.then((reason) => crash('the operator ends', new Error(reason)));
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return crash('stopped twice', new Error(signal));
      stopping = true;
      logger.info(`stopping on ${signal}`);
      operator.stop().then(
        () => process.exit(0),
        (error: unknown) => crash('could not stop in order', error),
      );
    });
  }
  operator.start().catch((error: unknown) => {
    if (!stopping) crash('could not start', error);
  });
}
