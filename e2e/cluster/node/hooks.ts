/** Carries out postStart and preStop hooks. */
import { type Exec, getHttp } from './handlers.ts';
import type { Container, Handler } from './pod.ts';
import type { Clock } from './ports.ts';

/** Runs the hook for at most `timeout` milliseconds. Says what went wrong, or nothing. */
export async function runHook(
  handler: Handler,
  container: Container,
  address: string,
  timeout: number,
  exec: Exec,
  clock: Clock,
): Promise<string | undefined> {
  try {
    if (handler.exec) {
      const { exitCode, output } = await exec(handler.exec.command, timeout);
      const command = `command '${handler.exec.command.join(' ')}'`;
      if (exitCode === undefined) return `${command} did not end in time`;
      return exitCode === 0 ? undefined : `${command} exited with ${exitCode}: ${output}`;
    }
    if (handler.httpGet) {
      const { result, output } = await getHttp(handler.httpGet, container, address, timeout);
      return result === 'failure' ? output : undefined;
    }
    const milliseconds = Math.min((handler.sleep?.seconds ?? 0) * 1000, timeout);
    await new Promise<void>((resolve) => {
      clock.after(milliseconds, resolve);
    });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
