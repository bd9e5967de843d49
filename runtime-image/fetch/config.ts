/** Configuration of `fetch`, read once from the environment. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { env, paths } from '#contract';
import { type Environment, integer, list, optional, required } from '../environment.ts';
import { Failure } from '../termination.ts';

export interface FetchConfig {
  readonly uri: string;
  /** Lower-case hex; undefined accepts any content. */
  readonly sha256: string | undefined;
  readonly modelDir: string;
  /** Besides `https`. */
  readonly schemes: readonly string[];
  readonly privateHosts: readonly string[];
  readonly fileRoot: string | undefined;
  readonly maxBytes: number;
  /** Value of an Authorization header, for the artifact's own origin only. */
  readonly authorization: string | undefined;
}

export function readConfig(source: Environment): FetchConfig {
  const sha256 = optional(source, env.artifactSha256)?.toLowerCase();
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new Failure('ConfigurationInvalid', `${env.artifactSha256} is not 64 hexadecimal digits`);
  }
  return {
    uri: required(source, env.artifactUri),
    sha256,
    modelDir: optional(source, env.modelDir) ?? paths.modelDir,
    schemes: list(source, env.artifactSchemes).map((scheme) => scheme.toLowerCase()),
    privateHosts: list(source, env.artifactPrivateHosts),
    fileRoot: optional(source, env.fileRoot),
    maxBytes: integer(source, env.artifactMaxBytes, 32 * 2 ** 30, { min: 1, max: 2 ** 49 }),
    authorization: readAuthorization(optional(source, env.artifactCredentials)),
  };
}

/** `token`, or `username` and `password`: one file per key, as a Secret is mounted. */
export function readAuthorization(folder: string | undefined): string | undefined {
  if (folder === undefined || !existsSync(folder)) return undefined;
  const token = secret(folder, 'token');
  if (token !== undefined) return `Bearer ${token}`;
  const username = secret(folder, 'username');
  const password = secret(folder, 'password');
  if (username === undefined && password === undefined) {
    throw new Failure(
      'ConfigurationInvalid',
      'the credentials Secret has neither token nor username and password',
    );
  }
  return `Basic ${Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')}`;
}

function secret(folder: string, key: string): string | undefined {
  const path = join(folder, key);
  if (!existsSync(path)) return undefined;
  const value = readFileSync(path, 'utf8').trim();
  if (/[\r\n\0]/.test(value)) {
    throw new Failure('ConfigurationInvalid', `the credentials Secret's ${key} has more than one line`);
  }
  return value === '' ? undefined : value;
}
