/** Credentials of an artifact, as its Secret is mounted: one file per key. Many tools' customary keys are understood. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../termination.ts';

export interface Credentials {
  /** Value of an Authorization header: `token`, or `username` and `password`. */
  readonly authorization?: string;
  readonly basic?: { readonly username: string; readonly password: string };
  /** Keys of S3 and of stores like it. */
  readonly keys?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly region?: string;
  /** Base URL of the store, instead of the scheme's own. */
  readonly endpoint?: string;
  /** A service account key of Google Cloud, JSON. */
  readonly serviceAccount?: string;
  /** The content of a `kubernetes.io/dockerconfigjson` Secret. */
  readonly dockerConfig?: string;
  /** Certificates, PEM, that the store's may be signed by, besides the public ones. */
  readonly authorities?: string;
}

/** The spellings of each key, the first of which is documented as ours. */
const spellings = {
  token: ['token', 'HF_TOKEN'],
  username: ['username'],
  password: ['password'],
  accessKeyId: ['accessKeyId', 'AWS_ACCESS_KEY_ID'],
  secretAccessKey: ['secretAccessKey', 'AWS_SECRET_ACCESS_KEY'],
  sessionToken: ['sessionToken', 'AWS_SESSION_TOKEN'],
  region: ['region', 'AWS_REGION', 'AWS_DEFAULT_REGION'],
  endpoint: ['endpoint', 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'],
  serviceAccount: ['serviceAccount.json', 'key.json', 'gcloud-application-credentials.json'],
  dockerConfig: ['.dockerconfigjson'],
  authorities: ['ca.crt'],
} as const;

type Field = keyof typeof spellings;

const manyLines: ReadonlySet<Field> = new Set(['serviceAccount', 'dockerConfig', 'authorities']);
/** A Secret cannot hold more. */
const maxBytes = 2 ** 20;

/**
 * @param folder undefined when no Secret is asked for
 * @throws Failure ArtifactUnauthorized when there is no Secret yet; ConfigurationInvalid when it holds nothing that is
 *   understood, or half of a pair
 */
export function readCredentials(folder: string | undefined): Credentials {
  if (folder === undefined) return {};
  // The kubelet links its own entries, which begin with two dots, to where the keys lie.
  const found = existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith('..')) : [];
  if (found.length === 0) {
    const message = 'the Secret of artifact.credentials does not exist, or is empty';
    throw new Failure('ArtifactUnauthorized', message);
  }
  const read = (field: Field): string | undefined => {
    for (const key of spellings[field]) {
      const value = readKey(folder, key, manyLines.has(field));
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const [token, username, password] = [read('token'), read('username'), read('password')];
  const [accessKeyId, secretAccessKey] = [read('accessKeyId'), read('secretAccessKey')];
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    throw invalid('has only one of accessKeyId and secretAccessKey');
  }
  const basic =
    username === undefined && password === undefined
      ? undefined
      : { username: username ?? '', password: password ?? '' };
  const sessionToken = read('sessionToken');
  const credentials: Credentials = {
    ...optional('authorization', token === undefined ? basicHeader(basic) : `Bearer ${token}`),
    ...optional('basic', basic),
    ...optional('region', read('region')),
    ...optional('endpoint', read('endpoint')),
    ...optional('serviceAccount', read('serviceAccount')),
    ...optional('dockerConfig', read('dockerConfig')),
    ...optional('authorities', read('authorities')),
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { keys: { accessKeyId, secretAccessKey, ...optional('sessionToken', sessionToken) } }),
  };
  if (Object.keys(credentials).length === 0) {
    const known = Object.values(spellings).map(([key]) => key);
    throw invalid(`has ${found.join(', ')}; understood are ${known.join(', ')}`);
  }
  return credentials;
}

export function basicHeader(basic: Credentials['basic']): string | undefined {
  if (basic === undefined) return undefined;
  return `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`;
}

function readKey(folder: string, key: string, manyLines: boolean): string | undefined {
  const path = join(folder, key);
  if (!existsSync(path)) return undefined;
  if (statSync(path).size > maxBytes) throw invalid(`has a ${key} of more than 1 MiB`);
  const value = readFileSync(path, 'utf8').trim();
  if (!manyLines && /[\r\n\0]/.test(value)) throw invalid(`has more than one line in ${key}`);
  return value === '' ? undefined : value;
}

const invalid = (what: string): Failure =>
  new Failure('ConfigurationInvalid', `the Secret of artifact.credentials ${what}`);

const optional = <K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } =>
  value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V });
