/**
 * `gs:` artifacts, over the XML API, which speaks to public buckets, to access tokens, and, like S3, to HMAC keys. A service
 * account's key is exchanged for a token.
 */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { Failure } from '../../termination.ts';
import type { Credentials } from '../credentials.ts';
import { discard, type HttpClient, plain, type Resource } from '../http-client.ts';
import { escapePath } from '../location.ts';
import { readToken, renewing } from './bearer-token.ts';
import { baseUrl } from './endpoint.ts';
import { s3Object } from './s3.ts';

const publicEndpoint = 'https://storage.googleapis.com';
const tokenEndpoint = 'https://oauth2.googleapis.com/token';
const scope = 'https://www.googleapis.com/auth/devstorage.read_only';

export interface GsObject {
  readonly bucket: string;
  readonly object: string;
  readonly credentials: Credentials;
  /** Base URL of the store; absent means Google's. */
  readonly endpoint: string | undefined;
  readonly client: HttpClient;
  /** Seconds since 1970. */
  readonly now: () => number;
}

/** @throws Failure ConfigurationInvalid */
export function gsObject(wanted: GsObject): Resource {
  const { bucket, object, credentials, endpoint = publicEndpoint } = wanted;
  if (credentials.keys !== undefined)
    return s3Object({ bucket, key: object, credentials, endpoint, defaultRegion: 'auto' });
  const url = `${baseUrl(endpoint)}/${bucket}/${escapePath(object)}`;
  const { authorization, serviceAccount } = credentials;
  if (serviceAccount === undefined)
    return { url, ...(authorization === undefined ? {} : { authorize: () => ({ authorization }) }) };
  const account = readAccount(serviceAccount);
  // One token does for every part and every try, until it runs out.
  let token: Promise<string> | undefined;
  const resource = {
    url,
    authorize: async () => {
      token ??= accessToken(account, wanted).catch((thrown) => {
        token = undefined;
        throw thrown;
      });
      return { authorization: `Bearer ${await token}` };
    },
  };
  return renewing(resource, () => {
    token = undefined;
    return true;
  });
}

interface ServiceAccount {
  readonly email: string;
  readonly key: KeyObject;
  readonly keyId: string | undefined;
  readonly tokenUri: string;
}

function readAccount(text: string): ServiceAccount {
  const invalid = (what: string, cause?: unknown) =>
    new Failure('ConfigurationInvalid', `the Secret's service account key ${what}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid('is not JSON', cause);
  }
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const { client_email: email, private_key: pem, private_key_id: keyId, token_uri: uri } = fields;
  if (typeof email !== 'string' || typeof pem !== 'string')
    throw invalid('has no client_email and private_key');
  try {
    return {
      email,
      key: createPrivateKey(pem),
      keyId: typeof keyId === 'string' ? keyId : undefined,
      tokenUri: typeof uri === 'string' ? uri : tokenEndpoint,
    };
  } catch (cause) {
    throw invalid('has a private_key that cannot be read', cause);
  }
}

/** The exchange of RFC 7523. */
async function accessToken(account: ServiceAccount, { client, now }: GsObject): Promise<string> {
  const issued = Math.floor(now());
  const claims = { iss: account.email, scope, aud: account.tokenUri, iat: issued, exp: issued + 3600 };
  const head = {
    alg: 'RS256',
    typ: 'JWT',
    ...(account.keyId === undefined ? {} : { kid: account.keyId }),
  };
  const unsigned = `${base64(head)}.${base64(claims)}`;
  const assertion = `${unsigned}.${sign('RSA-SHA256', Buffer.from(unsigned), account.key).toString('base64url')}`;
  const content = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion,
  }).toString();
  const { answer, url } = await client.send(
    { url: account.tokenUri, headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    {},
    { method: 'POST', content },
  );
  if (answer.statusCode === 400) {
    await discard(answer);
    throw new Failure('ArtifactUnauthorized', `${plain(url.href)} refuses the service account's key`);
  }
  return readToken({ answer, url }, client, ['access_token']);
}

const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
