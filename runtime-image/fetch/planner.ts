/** From a URI to what has to be fetched. */
import { env, modelFile } from '#contract';
import { Failure } from '../termination.ts';
import type { PrivateHosts } from './address-policy.ts';
import type { Cache, Remembered } from './cache.ts';
import type { FetchConfig } from './config.ts';
import type { HttpClient, Resource } from './http-client.ts';
import { type Location, parseLocation } from './location.ts';
import { gsObject } from './sources/gs.ts';
import { hfFile } from './sources/hf.ts';
import { ociPlan } from './sources/oci.ts';
import { type Blob, kindOf, type LocalFile, type Plan } from './sources/plan.ts';
import { s3Object } from './sources/s3.ts';

export interface Planner {
  readonly config: FetchConfig;
  readonly client: HttpClient;
  readonly privateHosts: PrivateHosts;
  readonly cache: Cache | undefined;
  readonly remembered: Remembered | undefined;
  /** Seconds since 1970. */
  readonly now: () => number;
}

/** The location is parsed first, so that what is not allowed is refused before anything else happens. */
export const locate = ({ uri, schemes }: FetchConfig): Location => parseLocation(uri, schemes);

/** @throws Failure, or what a request to a registry throws */
export async function plan(location: Location, planner: Planner): Promise<Plan> {
  const { config, client, privateHosts, cache, remembered } = planner;
  if (location.scheme === 'oci') {
    if (config.files.length > 0) throw siblings('an artifact of a registry');
    const asked = new URL(`http://${location.registry}`);
    return ociPlan({
      location,
      credentials: config.credentials,
      client,
      clearText: privateHosts.allowsClearText(asked),
      sha256: config.sha256,
      remembered: config.sha256 === undefined ? remembered?.digest : undefined,
      cache,
    });
  }
  const kind = kindOf(location.path);
  if (kind !== 'file' && config.files.length > 0) throw siblings('an archive');
  const digest = config.sha256 ?? remembered?.digest;
  const main: Blob = {
    path: kind === 'file' ? modelFile : '',
    kind,
    ...(digest === undefined ? {} : { sha256: digest }),
    from: source(location, planner),
  };
  const beside = config.files.map((file): Blob => {
    const known = file.sha256 ?? (config.sha256 === undefined ? remembered?.files[file.path] : undefined);
    return {
      path: file.path,
      kind: 'file',
      ...(known === undefined ? {} : { sha256: known }),
      from: source(sibling(location, file.path), planner),
    };
  });
  return { blobs: [main, ...beside] };
}

type FileLocation = Exclude<Location, { scheme: 'oci' }>;

/** The same place with another last part. */
function sibling(location: FileLocation, path: string): FileLocation {
  if (location.scheme === 'https' || location.scheme === 'http') {
    const url = new URL(path.split('/').map(encodeURIComponent).join('/'), location.url);
    return { ...location, url: url.href, path: url.pathname };
  }
  return { ...location, path: location.path.replace(/[^/]*$/, path) };
}

function source(location: FileLocation, { config, client, now }: Planner): Resource | LocalFile {
  const { credentials, endpoints, uri } = config;
  const { authorization } = credentials;
  switch (location.scheme) {
    case 'https':
    case 'http':
      return {
        url: location.url,
        ...(authorization === undefined ? {} : { authorize: () => ({ authorization }) }),
      };
    case 's3':
      return s3Object({
        bucket: location.bucket,
        key: location.path,
        credentials,
        endpoint: credentials.endpoint ?? endpoints['s3'],
        defaultRegion: 'us-east-1',
      });
    case 'gs':
      return gsObject({
        bucket: location.bucket,
        object: location.path,
        credentials,
        endpoint: credentials.endpoint ?? endpoints['gs'],
        client,
        now,
      });
    case 'hf':
      return hfFile(location, credentials, credentials.endpoint ?? endpoints['hf']);
    case 'file':
      return local(config.fileRoot, env.fileRoot, location.path, uri);
    case 'pvc':
      return local(config.claimRoot, env.claimDir, location.path, uri);
  }
}

function local(root: string | undefined, variable: string, path: string, uri: string): LocalFile {
  if (root === undefined)
    throw new Failure('ConfigurationInvalid', `${variable} is not set, so no file can be fetched`);
  return { root, path, uri };
}

const siblings = (what: string): Failure =>
  new Failure(
    'ConfigurationInvalid',
    `artifact.files names files beside a single file, and ${what} has its files within`,
  );
