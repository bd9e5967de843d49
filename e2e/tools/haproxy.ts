/** HAProxy, which carries the requests in the local cluster and in tests of the router. */
import { type Program, provide } from './program.ts';
import type { Progress } from './progress.ts';

const haproxy: Program = {
  title: 'HAProxy',
  name: 'haproxy',
  package: 'haproxy',
  elsewhere: 'Fedora: dnf install haproxy; macOS: brew install haproxy',
  variable: 'SLUICE_HAPROXY',
  version: { argument: '-v', pattern: /version (\d+)\.(\d+)/ },
  oldest: [2, 6],
};

/** Absolute path of an `haproxy` that runs here and is new enough. */
export async function provideHaproxy(cache: string, progress: Progress): Promise<string> {
  return provide(haproxy, cache, progress);
}
