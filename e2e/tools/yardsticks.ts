/** What benchmarks measure with, and against. */
import { type Program, provide } from './program.ts';
import type { Progress } from './progress.ts';

const yardsticks = {
  /** Load over HTTP/1.1. */
  wrk: {
    title: 'wrk',
    name: 'wrk',
    package: 'wrk',
    elsewhere: 'macOS: brew install wrk',
    variable: 'SLUICE_WRK',
    version: { argument: '-v', pattern: /^wrk \D*(\d+)\.(\d+)/ },
    oldest: [4, 0],
  },
  /** Load over HTTP/2, hence gRPC. */
  h2load: {
    title: 'h2load',
    name: 'h2load',
    package: 'nghttp2-client',
    elsewhere: 'Fedora: dnf install nghttp2; macOS: brew install nghttp2',
    variable: 'SLUICE_H2LOAD',
    version: { argument: '--version', pattern: /nghttp2\/(\d+)\.(\d+)/ },
    // Debian 11's; it must know --log-file.
    oldest: [1, 43],
  },
  /** Another proxy that splits traffic. */
  nginx: {
    title: 'nginx',
    name: 'nginx',
    package: 'nginx',
    startsServer: true,
    elsewhere: 'Fedora: dnf install nginx; macOS: brew install nginx',
    variable: 'SLUICE_NGINX',
    version: { argument: '-v', pattern: /nginx\/(\d+)\.(\d+)/ },
    // The first stable one that is told on the command line where its errors go.
    oldest: [1, 20],
  },
} as const satisfies Record<string, Program>;

export type Yardstick = keyof typeof yardsticks;

/** Absolute path of each. One after the other, since there is one apt-get at a time. */
export async function provideYardsticks<Name extends Yardstick>(
  names: readonly Name[],
  cache: string,
  progress: Progress,
): Promise<Readonly<Record<Name, string>>> {
  const paths: [Name, string][] = [];
  for (const name of names) paths.push([name, await provide(yardsticks[name], cache, progress)]);
  return Object.fromEntries(paths) as Record<Name, string>;
}
