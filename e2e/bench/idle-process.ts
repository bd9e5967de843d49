/** The yardstick for delays: a process that has nothing to do, on the same machine at the same time. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export const resolutionMs = 10;

if (import.meta.main) {
  const delays = monitorEventLoopDelay({ resolution: resolutionMs });
  delays.enable();
  process.once('SIGTERM', () => {
    process.stdout.write(`${delays.percentile(99) / 1e6}\n`, () => process.exit(0));
  });
  process.stdout.write('ready\n');
  // Something to wait for.
  setInterval(() => undefined, 60_000);
}
