/** `s3:` artifacts: AWS and every store that speaks its protocol; signed requests (SigV4), or none for public buckets. */
import { AwsV4Signer } from 'aws4fetch';
import { Failure } from '../../termination.ts';
import type { Credentials } from '../credentials.ts';
import { type Headers, header, type Resource } from '../http-client.ts';
import { escapePath } from '../location.ts';
import { baseUrl } from './endpoint.ts';

export interface S3Object {
  readonly bucket: string;
  readonly key: string;
  readonly credentials: Credentials;
  /** Base URL of the store; absent means AWS. */
  readonly endpoint: string | undefined;
  /** When neither the Secret nor the store says. */
  readonly defaultRegion: string;
}

/** @throws Failure ConfigurationInvalid */
export function s3Object(object: S3Object): Resource {
  return inRegion(object, object.credentials.region ?? object.defaultRegion);
}

function inRegion(object: S3Object, region: string): Resource {
  // It becomes a part of a host name.
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(region)) {
    throw new Failure('ConfigurationInvalid', `the region ${JSON.stringify(region)} is not a region's name`);
  }
  const { keys } = object.credentials;
  return {
    url: `${base(object, region)}/${escapePath(object.key)}`,
    ...(keys === undefined ? {} : { authorize: (url) => signature(url, region, keys) }),
    // A bucket in another region is refused, with the right region in a header.
    instead: (answer) => {
      const right = header(answer, 'x-amz-bucket-region');
      return right === undefined || right === region ? undefined : inRegion(object, right);
    },
  };
}

function base({ bucket, endpoint }: S3Object, region: string): string {
  if (endpoint !== undefined) return `${baseUrl(endpoint)}/${bucket}`;
  const host = `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
  // A certificate for all buckets does not match a name with another dot.
  return bucket.includes('.') ? `https://${host}/${bucket}` : `https://${bucket}.${host}`;
}

async function signature(url: URL, region: string, keys: NonNullable<Credentials['keys']>): Promise<Headers> {
  const signer = new AwsV4Signer({ ...keys, method: 'GET', url: url.href, service: 's3', region });
  const { headers } = await signer.sign();
  return Object.fromEntries(headers as Iterable<[string, string]>);
}
