/**
 * Fire drills: a version that goes bad on purpose, a while after it began to serve, so that a rollback can be
 * rehearsed on a real cluster with real traffic. Only ever on because the version's spec asks for it.
 */
import type { Logger } from '../logger.ts';
import type { Drill } from './config.ts';
import type { Misbehaviour, ServedModel } from './model.ts';

/** Exit code of a drilled exit. */
export const drillExitCode = 70;

const announcements: Readonly<Record<Drill['action'], string>> = {
  unready: 'the readiness probe will fail',
  wrong: 'answers will be wrong',
  fail: 'requests will fail',
  'fail-late': 'gRPC requests will fail after their answers have begun',
  slow: 'answers will be slow',
  exit: 'the process will exit',
};

const misbehaviours: Readonly<Record<Misbehaviour, string>> = {
  wrong: 'answers are wrong',
  fail: 'requests fail',
  'fail-late': 'gRPC requests fail after their answers have begun',
  slow: 'answers are slow',
};

export function startDrill(drill: Drill | undefined, model: ServedModel, logger: Logger): void {
  if (drill === undefined) return;
  const { action, afterMs } = drill;
  logger.warn(`DRILL: ${announcements[action]} in ${afterMs} ms`, { drill });
  setTimeout(() => {
    const at = new Date().toISOString();
    if (action === 'unready') {
      model.hold('a fire drill: SLUICE_DRILL asked for the readiness probe to fail');
      logger.warn('DRILL: the readiness probe fails from now on; requests are still answered', { at });
      return;
    }
    if (action !== 'exit') {
      model.misbehave(action);
      logger.warn(`DRILL: ${misbehaviours[action]} from now on`, { at });
      return;
    }
    // Written at once: a logger's stream would lose the line when the process exits.
    process.stdout.write(
      `${JSON.stringify({ command: 'serve', level: 'warn', message: 'DRILL: the process exits now', at, timestamp: at })}\n`,
    );
    process.exit(drillExitCode);
  }, afterMs).unref();
}
