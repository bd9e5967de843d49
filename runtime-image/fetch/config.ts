/** Configuration of `fetch`, read once from the environment. */
import { env, paths } from '#contract';
import { isDigest } from '../artifact-record.ts';
import { digest, type Environment, integer, list, optional, required } from '../environment.ts';
import { Failure } from '../termination.ts';
import { type Credentials, readCredentials } from './credentials.ts';
import { isPlainPath } from './location.ts';
import type { ProgressAddress } from './progress-server.ts';
import { isReserved } from './store.ts';

export interface SiblingFile {
  /** Below the folder of the artifact's URI, and below the model folder. */
  readonly path: string;
  /** Lower-case hex; undefined accepts any content. */
  readonly sha256?: string;
}

export interface FetchConfig {
  readonly uri: string;
  /** Lower-case hex; undefined accepts any content. */
  readonly sha256: string | undefined;
  readonly files: readonly SiblingFile[];
  readonly modelDir: string;
  /** Besides `https`. */
  readonly schemes: readonly string[];
  readonly privateHosts: readonly string[];
  /** Base URLs by scheme. */
  readonly endpoints: Readonly<Record<string, string>>;
  readonly fileRoot: string | undefined;
  readonly claimRoot: string | undefined;
  readonly cacheDir: string | undefined;
  readonly owner: string | undefined;
  readonly maxBytes: number;
  readonly credentials: Credentials;
  /** Where to tell how far fetching is; undefined is nowhere. */
  readonly metrics?: ProgressAddress;
}

/** @throws Failure ConfigurationInvalid naming the variable */
export function readConfig(source: Environment): FetchConfig {
  return {
    uri: required(source, env.artifactUri),
    sha256: digest(source, env.artifactSha256),
    files: readFiles(optional(source, env.artifactFiles)),
    modelDir: optional(source, env.modelDir) ?? paths.modelDir,
    schemes: list(source, env.artifactSchemes).map((scheme) => scheme.toLowerCase()),
    privateHosts: list(source, env.artifactPrivateHosts),
    endpoints: readEndpoints(list(source, env.artifactEndpoints)),
    fileRoot: optional(source, env.fileRoot),
    claimRoot: optional(source, env.claimDir),
    cacheDir: optional(source, env.cacheDir),
    owner: optional(source, env.artifactOwner),
    maxBytes: integer(source, env.artifactMaxBytes, 32 * 2 ** 30, { min: 1, max: 2 ** 49 }),
    credentials: readCredentials(optional(source, env.artifactCredentials)),
    ...(optional(source, env.metricsPort) === undefined
      ? {}
      : {
          metrics: {
            port: integer(source, env.metricsPort, 0, { min: 0, max: 65_535 }),
            address: optional(source, env.bindAddress),
          },
        }),
  };
}

function readEndpoints(words: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    words.map((word) => {
      const [, scheme, url] = /^(s3|gs|hf)=(https?:\/\/.+)$/.exec(word) ?? [];
      if (scheme === undefined || url === undefined) {
        throw new Failure(
          'ConfigurationInvalid',
          `${env.artifactEndpoints}: ${JSON.stringify(word)} is not s3, gs or hf with = and a URL`,
        );
      }
      return [scheme, url];
    }),
  );
}

function readFiles(text: string | undefined): readonly SiblingFile[] {
  if (text === undefined) return [];
  const invalid = (cause?: unknown) =>
    new Failure('ConfigurationInvalid', `${env.artifactFiles} is not a list of {path, sha256}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(cause);
  }
  if (!Array.isArray(value)) throw invalid();
  return value.map((item) => {
    const { path, sha256 } = (item ?? {}) as { path?: unknown; sha256?: unknown };
    if (typeof path !== 'string' || !isPlainPath(path)) throw invalid();
    if (isReserved(path)) {
      const message = `${env.artifactFiles}: ${JSON.stringify(path)} is a name of Sluice's own`;
      throw new Failure('ConfigurationInvalid', message);
    }
    if (sha256 === undefined) return { path };
    if (!isDigest(sha256)) throw invalid();
    return { path, sha256 };
  });
}
